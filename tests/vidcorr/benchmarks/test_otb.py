"""The OTB benchmark from the frames on disk to scores, files and plots, with and without a Trainer."""

import pytest

from tests.helpers.refusal import refused
from tests.helpers.training import fit_in
from vidcorr import OtbBenchmark, SiamFC
from vidcorr.backbones import load
from vidcorr.benchmarks.network import view_for
from vidcorr.callbacks import BenchmarkCallback
from vidcorr.datasets.generated import write_otb

NETWORK = "tests.helpers.encoders:TinyResNet"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_otb(tmp_path_factory.mktemp("otb") / "otb", 3, frames=6, size=(96, 96))


def test_dilations_are_a_resnets_without_a_stride(root):
    resnet, other = load("tests.helpers.encoders:TinyResNet"), load("tests.helpers.encoders:Blocky")
    chosen = [view_for(OtbBenchmark(root, None, stride=stride), resnet, resnet) for stride in (None, 8)]
    assert [(view.stage, view.dilated) for view in chosen] == [("res5", True), ("res5", False)]
    assert view_for(OtbBenchmark(root, None), other, other).stride == 4
    by_text = OtbBenchmark(root, None, changes={"dilated": "text"})
    for benchmark, expected in ((OtbBenchmark(root, None), False), (by_text, "text")):
        named = load("torchvision:resnet18@res5", seed=None)
        assert view_for(benchmark, named, named).dilated == expected
    assert view_for(by_text, resnet, resnet).dilated == "text"
    refused(ValueError, "dilations are for ResNets", view_for, by_text, other, other)


def test_a_trained_siamfc_keeps_its_own_dilations(root):
    method = load(SiamFC(NETWORK, dilated="text"))
    assert view_for(OtbBenchmark(root, None), method, method).dilated == "text"


def test_two_of_a_kind_need_names_of_their_own(root, tmp_path):
    kinds = [OtbBenchmark(root, None, limit_sequences=1, changes={"dilated": dilated}) for dilated in (True, "text")]
    line = "two benchmarks are called otb: give one another name"
    refused(ValueError, line, fit_in, tmp_path, *map(BenchmarkCallback, kinds))
