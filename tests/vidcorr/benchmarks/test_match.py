"""Matching of key points on generated pairs, whose answer is known.

Also tests `benchmarks/pairs.py`, `pictures/pairs.py`.
"""

import re

import numpy as np
import pytest
from torch import nn

from tests.helpers.refusal import refused
from vidcorr import MatchBenchmark
from vidcorr.datasets.generated import write_spair

SMALL = {"input_size": 64}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_spair(tmp_path_factory.mktemp("data") / "set", 4, views=3, points=12, frames=9, size=(48, 64))


def colours(stride=4):
    """Return a network of the mean colours of cells of some px, and the pictures that it sees."""
    network, seen = nn.AvgPool2d(stride), []
    network.register_forward_pre_hook(lambda _, images: seen.extend(images[0]))
    return network, seen


@pytest.mark.parametrize("name", ["dift", "sd-dino", "geoaware", "insid3"])
def test_scores_of_a_protocol_are_those_of_its_pairs(root, name):
    network, seen = colours()
    result = MatchBenchmark(root=root, protocol=name, changes=SMALL).evaluate(network)
    assert set(result.scores) < set(MatchBenchmark(root=root, protocol=name).score_names)
    assert 0 <= result.scores["PCK@0.1-point"] < 1
    of_pairs = [value for values in result.values("PCK@0.1").values() for value in values]
    assert np.nanmean(of_pairs) == pytest.approx(result.scores["PCK@0.1-image"])
    assert list(result.values("PCK@0.1")) == [f"scene00{n}" for n in range(4)]
    assert result.data["pairs"] == len(of_pairs) == 12
    assert len(seen) == 12  # every picture once


def test_input_size_becomes_a_multiple_of_the_stride(root, tmp_path):
    benchmark = MatchBenchmark(root=root, protocol="sd-dino", changes={"thresholds": [0.1]}, limit_sequences=1)
    result = benchmark.evaluate(nn.AvgPool2d(52), tmp_path)
    assert result.stage.protocol.name == "sd-dino+feature_stride=52+input_size=832+thresholds=0.1"
    assert not re.search(r"\.\d{4}", next(tmp_path.glob("predictions/*")).read_text())  # thousandths of a pixel
    other = MatchBenchmark(root=root, protocol="sd-dino", changes={"input_size": 100})
    refused(ValueError, "multiple of the network's 52 px; 104 is the nearest", other.evaluate, nn.AvgPool2d(52))
