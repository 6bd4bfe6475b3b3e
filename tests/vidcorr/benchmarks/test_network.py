"""The features of an evaluation: network, benchmark and protocol choose them in this order."""

import pytest

from vidcorr import DavisBenchmark, OtbBenchmark
from vidcorr.backbones import EncoderSpec, load
from vidcorr.benchmarks.network import view_for

RECIPE = DavisBenchmark("", protocol="vidcorr")


VIEWS = [
    ("vidcorr-r18", RECIPE, ("res2+res3", 4)),
    ("vidcorr-r18@res4/8", RECIPE, ("res4", 8)),
    ("raw_colour", RECIPE, ("colour", 8)),
    ("vidcorr-r18", DavisBenchmark("", protocol="vidcorr", stage="res2"), ("res2", 4)),
    ("vidcorr-r18", DavisBenchmark("", protocol="vidcorr-fast"), ("res4", 8)),
    ("vidcorr-r18", OtbBenchmark(""), ("res4", 8)),  # it has no res5
    ("untrained", OtbBenchmark(""), ("res5", 8)),
    ("untrained@res3", OtbBenchmark(""), ("res3", 8)),
    ("untrained@res4", DavisBenchmark("", protocol="vidcorr", stride=16), ("res4", 16)),
]


@pytest.mark.parametrize(("text", "benchmark", "view"), VIEWS)
def test_the_protocols_view_is_for_resnets_whose_features_nobody_names(text, benchmark, view):
    network = EncoderSpec(text)
    extractor = view_for(benchmark, network, load(network))
    assert (extractor.stage, extractor.stride) == view
