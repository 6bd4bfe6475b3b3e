"""Chained tracking."""

from lightning_modules.functional.points import track_points
from tests.helpers.points import FRAMES, SHARP, protocol, queries_and_truth


def test_a_chained_point_outside_the_picture_is_hidden(moving):
    queries, truth = queries_and_truth([0])
    bottom = int(truth[0, 2, 1]) + 4  # between frames 2 and 3 the point leaves the picture, not the features
    rules = protocol("gmrw-chained", **SHARP["gmrw-chained"])
    tracks = track_points(moving.__getitem__, FRAMES, queries, rules, size=(bottom, 128))
    assert tracks.occluded[0].tolist() == [False] * 3 + [True] * 3
