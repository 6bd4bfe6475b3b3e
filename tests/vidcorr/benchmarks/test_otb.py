"""The OTB benchmark from the frames on disk to scores, files and plots, with and without a Trainer."""

import pytest

from tests.helpers.refusal import refused
from tests.helpers.training import fit_in
from vidcorr import OtbBenchmark
from vidcorr.backbones import load
from vidcorr.benchmarks.network import view_for
from vidcorr.callbacks import BenchmarkCallback
from vidcorr.datasets.generated import write_otb


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_otb(tmp_path_factory.mktemp("otb") / "otb", 3, frames=6, size=(96, 96))


def test_dilations_are_a_resnets_without_a_stride(root):
    resnet, other = load("tests.helpers.encoders:TinyResNet"), load("tests.helpers.encoders:Blocky")
    chosen = [view_for(OtbBenchmark(root, None, stride=stride), resnet, resnet) for stride in (None, 8)]
    assert [(view.stage, view.dilated) for view in chosen] == [("res5", True), ("res5", False)]
    assert view_for(OtbBenchmark(root, None), other, other).stride == 4
    for dilated, expected in ((None, False), ("released", "released")):
        named = load("torchvision:resnet18@res5", seed=None)
        assert view_for(OtbBenchmark(root, None, dilated=dilated), named, named).dilated == expected
    refused(ValueError, "dilations are for ResNets", view_for, OtbBenchmark(root, None, dilated=True), other, other)


def test_two_of_a_kind_need_names_of_their_own(root, tmp_path):
    kinds = [OtbBenchmark(root, None, limit_sequences=1, changes={"scales": n}) for n in (1, 3)]
    line = "two benchmarks are called otb: give one another name"
    refused(ValueError, line, fit_in, tmp_path, *map(BenchmarkCallback, kinds))
