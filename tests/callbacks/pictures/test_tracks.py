"""Tracks over a frame: dots where visible, crosses where hidden, rings for the truth."""

import numpy as np
import torch

from callbacks.pictures.tracks import overlay_tracks, rainbow

BLACK = torch.zeros(3, 60, 80, dtype=torch.uint8)


def test_colours_follow_the_height_and_not_the_order() -> None:
    places = np.array([[5.0, 50], [1, 10], [3, 30]])
    colours = rainbow(places)
    assert len(set(colours)) == 3
    assert rainbow(places[::-1]) == colours[::-1]
    assert colours[1][0] == 255  # the highest is red
    assert max(colours[1][1:]) < 50
    assert rainbow(places[:0]) == []


def test_a_visible_point_is_a_dot_with_a_tail_and_a_hidden_one_a_cross() -> None:
    points = np.stack([np.stack([np.arange(6) * 8 + 10.5, np.full(6, 30.5)], 1)])
    occluded = np.zeros((1, 6), bool)
    colour = (255, 0, 0)
    dot = overlay_tracks(BLACK, points, occluded, 5, [colour])
    assert tuple(dot[30, 50]) == colour
    assert dot[30, 40, 0] > 0  # the tail
    assert not dot[20:26].any()
    occluded[0, 5] = True
    cross = overlay_tracks(BLACK, points, occluded, 5, [colour])
    assert cross[28, 48, 0] > 100  # the arms of the cross
    assert cross[28, 50, 0] == 0
    assert cross[30, 44, 0] == 0  # no tail leads to a hidden point


def test_the_truth_is_a_white_ring_where_it_is_visible() -> None:
    points, truth = np.full((1, 1, 2), 20.5), np.full((1, 1, 2), 40.5)
    shown = overlay_tracks(BLACK, points, np.zeros((1, 1), bool), 0, [(255, 0, 0)], truth, np.zeros((1, 1), bool))
    ring = shown[40, 41:46]
    assert ring.max() > 200
    assert (ring == ring[:, :1]).all()  # grey to white
    hidden = overlay_tracks(BLACK, points, np.zeros((1, 1), bool), 0, [(255, 0, 0)], truth, np.ones((1, 1), bool))
    assert not hidden[36:46, 36:46].any()


def test_points_far_outside_and_unknown_ones_do_not_matter() -> None:
    points = np.array([[[1e12, -1e12]], [[np.nan, np.nan]]])
    picture = overlay_tracks(BLACK, points, np.zeros((2, 1), bool), 0, [(255, 0, 0)] * 2)
    assert not picture.any()
