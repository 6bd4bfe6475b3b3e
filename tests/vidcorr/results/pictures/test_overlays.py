"""Labels drawn over frames: masks, boxes, tracks; animations of sequences, and their curves.

Also tests `pictures/animations.py`.
"""

import json

import numpy as np
import torch
from PIL import Image

from vidcorr.results.pictures import overlay_masks
from vidcorr.results.pictures.animations import SequenceAnimation
from vidcorr.results.pictures.overlays import as_picture, distinct_colours, draw_boxes, draw_points, overlay_tracks

GREY = torch.full((3, 180, 240), 128, dtype=torch.uint8)
YELLOW = np.tile(np.array([255, 255, 0], np.uint8), (256, 1))
RED_ONLY = np.array([1, 0, 0], np.uint8)


def test_a_frame_of_floats_is_drawn_by_its_colours_in_0_to_1():
    colours = torch.tensor([-0.5, 0.5, 1.5]).view(3, 1, 1)
    assert as_picture(colours).tolist() == [[[0, 128, 255]]]


def test_an_object_is_tinted_outlined_and_labelled():
    mask = torch.zeros(180, 240, dtype=torch.uint8)
    mask[50:90, 60:110] = 7
    drawn = overlay_masks(GREY, mask, YELLOW * RED_ONLY, labelled=True)
    assert drawn[70, 80].tolist() == [round(0.55 * 128 + 0.45 * 255), 70, 70]
    assert (np.abs(drawn[50:90, 55:115].astype(int) - (255, 0, 0)).max(2) < 30).sum() > 80  # the line in its colour
    assert (drawn[45:95, 55:115].max(2) < 40).any()  # within a dark one
    assert (drawn[20:46, 50:100] != 128).any()
    assert (drawn[100:] == 128).all()
    small = overlay_masks(GREY[:, :120], mask[:120], labelled=True)  # an image without room for letters
    assert (small == overlay_masks(GREY[:, :120], mask[:120])).all()


def test_boxes_may_leave_the_frame_or_be_lost():
    boxes = np.array([[20.0, 30, 40, 50], [1e12, 0, 10, 10], [np.nan, 1, 2, 3], [-30, -30, 300, 300]])
    drawn = draw_boxes(GREY, boxes, [(0, 255, 0)] * 4, ["a", "far", "lost", ""])
    assert (np.abs(drawn[28:33, 40].astype(int) - (0, 255, 0)).max(1) < 30).any()
    assert drawn[60, 100].tolist() == [128, 128, 128]
    assert (draw_boxes(GREY, boxes[2:3], [(0, 255, 0)], ["lost"]) == 128).all()


FRAME = torch.full((3, 120, 200), 60, dtype=torch.uint8)
RED = (255, 0, 0)


def drawn(places, occluded=None):
    points = np.array([places], float) + 0.5
    hidden = np.zeros(points.shape[:2], bool) if occluded is None else np.array([occluded])
    return overlay_tracks(FRAME, points, hidden, points.shape[1] - 1, [RED])


def changed(picture, x, y):
    return bool((picture[y, x] != 60).any())


def test_a_point_has_a_dot_and_a_tail_but_not_over_a_jump():
    picture = drawn([(20, 60), (40, 60), (60, 60)])
    assert tuple(picture[60, 60]) == RED
    assert changed(picture, 50, 60)
    assert not changed(picture, 80, 60)
    picture = drawn([(20, 60), (30, 60), (170, 60)])
    assert changed(picture, 25, 60)
    assert not changed(picture, 100, 60)


def test_a_hidden_point_has_a_cross_and_no_tail():
    picture = drawn([(20, 60), (40, 60), (60, 60)], [False, False, True])
    assert changed(picture, 62, 62)
    assert changed(picture, 58, 62)
    assert not changed(picture, 50, 60)
    assert changed(picture, 30, 60)


def test_a_visible_annotated_point_has_a_ring_and_a_line_to_the_found_one():
    found = np.array([[(60.5, 30.5)], [(160.5, 30.5)]])
    truth, hidden = found - (20, 0), np.array([[False], [True]])
    picture = overlay_tracks(FRAME, found, np.zeros((2, 1), bool), 0, [RED, RED], truth, hidden)
    assert picture[30, 35].min() > 150  # the ring has a radius of 5 pixels
    assert picture[30, 50].min() > 150
    assert (picture[:, 100:156] == 60).all()


def test_points_that_are_not_finite_or_far_away_are_not_drawn():
    assert not (drawn([(np.nan, np.nan)]) != 60).any()
    assert not (drawn([(1e9, -1e9)]) != 60).any()


def test_a_long_sequence_is_shown_in_part(tmp_path):
    animation = SequenceAnimation(tmp_path, "walk", 100, "semantic")
    wanted = animation.chosen
    assert (len(wanted), wanted[0], wanted[-1]) == (32, 0, 99)
    for _ in wanted:
        animation.add(np.zeros((120, 160, 3), np.uint8))
    animation.close({"mIoU": (range(2), [0.5, float("nan")])})
    assert Image.open(tmp_path / "animations/semantic/walk.webp").size == (8 * 320, 4 * 240)
    assert not (tmp_path / "animations/semantic/walk.truth.webp").exists()
    content = json.loads((tmp_path / "animations/semantic/walk.json").read_text())
    assert content["curves"] == {"mIoU": [[0, 1], [0.5, None]]}


def test_colours_are_hues_at_equal_distances_from_red():
    assert distinct_colours(3) == [(255, 38, 38), (38, 255, 38), (38, 38, 255)]


def test_a_prompted_point_is_a_disc_within_a_light_and_a_dark_ring():
    found = torch.tensor([[50.0, 40.0, 1.0], [torch.nan, 1.0, 1.0]])
    row = draw_points(FRAME, found, ["", ""], [RED, RED])[40]
    assert row[46].max() < 60 < 150 < row[47].min()
    assert tuple(row[50]) == RED
    assert (row[:45] == 60).all()
