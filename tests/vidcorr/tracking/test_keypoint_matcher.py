"""Key points matched by the features of two pictures."""

import numpy as np
import pytest
from torch import nn

from vidcorr.backbones import build_feature_extractor
from vidcorr.datasets.spair import MatchPair
from vidcorr.protocols import MatchingProtocol
from vidcorr.results.pictures.overlays import write_picture
from vidcorr.tracking import keypoint_matcher
from vidcorr.tracking.keypoint_matcher import KeypointMatcher

COLOURS = nn.Sequential(nn.AvgPool2d(4))
COLOURS.stride = 4


@pytest.fixture
def pair(tmp_path):
    """Two pictures of noise with five points."""
    rng = np.random.default_rng(0)
    files, sizes = (tmp_path / "a.png", tmp_path / "b.png"), ((48, 64), (40, 56))
    for path, size in zip(files, sizes, strict=True):
        write_picture(path, rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    points = rng.uniform(0, 47, (5, 2)), rng.uniform(0, 39, (5, 2))
    return MatchPair("a", "cat", files, sizes, points, (0, 1, 2, 3, 4))


def test_features_of_a_category_are_kept_as_far_as_they_fit(pair, monkeypatch):
    of_dogs = MatchPair("b", "dog", pair.files, pair.sizes, pair.points, (0, 1, 2, 3, 4))
    rules = MatchingProtocol.named("dift").with_changes(input_size=64)
    for room, kept in ((keypoint_matcher.KEPT_OF_PICTURES, [True, True]), (3 * 16 * 16 * 4, [True, False])):
        monkeypatch.setattr(keypoint_matcher, "KEPT_OF_PICTURES", room)
        matcher = KeypointMatcher(build_feature_extractor(COLOURS), rules)
        assert [matcher.features_of(pair, which) is matcher.features_of(pair, which) for which in (0, 1)] == kept
        assert matcher.features_of(of_dogs, 0) is not matcher.features_of(pair, 0)
