"""Matching of key points on generated pairs: sizes of their input.

Also tests `benchmarks/pairs.py`, `pictures/pairs.py`.
"""

import re

from torch import nn

from tests.helpers.refusal import refused
from vidcorr import MatchBenchmark
from vidcorr.datasets.generated import write_spair


def test_input_size_becomes_a_multiple_of_the_stride(tmp_path):
    root = write_spair(tmp_path / "set", 1, views=3, points=12, frames=9, size=(48, 64))
    benchmark = MatchBenchmark(root=root, protocol="sd-dino", changes={"thresholds": [0.1]})
    result = benchmark.evaluate(nn.AvgPool2d(52), tmp_path / "out")
    assert result.stage.protocol.name == "sd-dino+feature_stride=52+input_size=832+thresholds=0.1"
    assert not re.search(r"\.\d{4}", next(tmp_path.glob("out/predictions/*")).read_text())  # thousandths of a pixel
    other = MatchBenchmark(root=root, protocol="sd-dino", changes={"input_size": 100})
    refused(ValueError, "multiple of the network's 52 px; 104 is the nearest", other.evaluate, nn.AvgPool2d(52))
