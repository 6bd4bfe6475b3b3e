"""Tracks over a frame: dots, crosses, tails and their gaps, the truth."""

import numpy as np
import torch

from callbacks.pictures.overlays import TAIL, overlay_tracks, rainbow

FRAME = torch.full((3, 120, 200), 60, dtype=torch.uint8)
RED = (255, 0, 0)


def drawn(places, occluded=None, t=None, **truth):
    points = np.array([places], float) + 0.5
    hidden = np.zeros(points.shape[:2], bool) if occluded is None else np.array([occluded])
    return overlay_tracks(FRAME, points, hidden, points.shape[1] - 1 if t is None else t, [RED], **truth)


def changed(picture, x, y):
    return bool((picture[y, x] != 60).any())


def test_a_point_has_a_dot_and_a_tail_that_fades():
    picture = drawn([(20, 60), (40, 60), (60, 60)])
    assert tuple(picture[60, 60]) == RED
    assert changed(picture, 50, 60)
    assert changed(picture, 30, 60)
    assert picture[60, 50, 0] > picture[60, 30, 0] > 60
    assert not changed(picture, 80, 60)


def test_a_tail_is_as_long_as_it_says():
    places = [(10 + 8 * t, 60) for t in range(TAIL + 4)]
    picture = drawn(places)
    first = (TAIL + 3) - (TAIL - 1) - 1
    assert changed(picture, places[first][0] + 4, 60)
    assert not changed(picture, places[first][0] - 4, 60)


def test_a_hidden_point_has_a_cross_and_no_tail():
    picture = drawn([(20, 60), (40, 60), (60, 60)], [False, False, True])
    assert changed(picture, 61, 61)
    assert changed(picture, 59, 61)
    assert not changed(picture, 50, 60)
    assert changed(picture, 30, 60)


def test_a_jump_is_not_drawn_as_motion():
    picture = drawn([(20, 60), (30, 60), (170, 60)])
    assert changed(picture, 25, 60)
    assert not changed(picture, 100, 60)
    assert tuple(picture[60, 170]) == RED


def test_the_truth_is_a_ring_with_a_line_from_the_point():
    truth = np.array([[(60.5, 20.5)]])
    picture = drawn([(60, 60)], truth=truth, truth_occluded=np.array([[False]]))
    assert picture[40, 60].min() > 200
    assert picture[23, 60].min() > 200
    assert not changed(drawn([(60, 60)], truth=truth, truth_occluded=np.array([[True]])), 60, 40)


def test_points_that_are_not_finite_or_far_away_are_not_drawn():
    assert not (drawn([(np.nan, np.nan)]) != 60).any()
    assert not (drawn([(1e9, -1e9)]) != 60).any()


def test_neighbours_have_like_colours():
    colours = np.array(rainbow(np.array([[0, 1.0], [0, 90.0], [0, 2.0]])), float)
    assert np.linalg.norm(colours[0] - colours[2]) < np.linalg.norm(colours[0] - colours[1])
    assert len(set(rainbow(np.random.default_rng(0).random((20, 2))))) == 20
