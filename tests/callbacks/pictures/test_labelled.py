"""Objects and boxes as they are drawn over a frame."""

import numpy as np
import pytest
import torch

from callbacks.pictures.labelled import draw_boxes, draw_masks, thickness_of

GREY = torch.full((3, 120, 160), 128, dtype=torch.uint8)


def test_lines_are_thick_enough_at_any_size():
    assert [thickness_of((height, 2 * height)) for height in (96, 240, 480, 1080)] == [2, 2, 4, 9]


def test_an_object_is_tinted_outlined_and_labelled():
    mask = torch.zeros(120, 160, dtype=torch.uint8)
    mask[50:90, 60:110] = 7
    drawn = draw_masks(GREY, mask, {7: (255, 0, 0)})
    assert drawn[70, 80].tolist() == [round(0.55 * 128 + 0.45 * 255), 70, 70]
    assert (np.abs(drawn[50:90, 55:115].astype(int) - (255, 0, 0)).max(2) < 30).sum() > 80  # the line in its colour
    assert (drawn[45:95, 55:115].max(2) < 40).any()  # within a dark one
    label = drawn[20:48, 50:100].astype(int)
    ground = (label == (255, 0, 0)).all(2)
    assert ground.sum() > 30
    assert (label[ground.any(1)].min(2) > 200).sum() > 3  # white letters on red
    assert drawn[100:, :].tolist() == GREY[:, 100:].permute(1, 2, 0).tolist()
    other = draw_masks(GREY, mask, {7: (255, 0, 0)}, {7: "a long name"})
    assert (other != drawn).any()


def test_boxes_may_leave_the_frame_or_be_lost():
    boxes = np.array([[20.0, 30, 40, 50], [1e12, 0, 10, 10], [np.nan, 1, 2, 3], [-30, -30, 300, 300]])
    drawn = draw_boxes(GREY, boxes, [(0, 255, 0)] * 4, ["a", "far", "lost", ""])
    assert (np.abs(drawn[28:33, 40].astype(int) - (0, 255, 0)).max(1) < 30).any()
    assert drawn[60, 100].tolist() == [128, 128, 128]
    nothing = draw_boxes(GREY, boxes[2:3], [(0, 255, 0)], ["lost"])
    assert (nothing == 128).all()


@pytest.mark.parametrize("place", [(0, 0), (110, 150), (0, 150)])
def test_labels_stay_within_the_picture(place):
    mask = torch.zeros(120, 160, dtype=torch.uint8)
    mask[place[0] : place[0] + 8, place[1] : place[1] + 8] = 1
    letters = (draw_masks(GREY, mask, {1: (255, 255, 0)}, {1: "object"}) == (255, 255, 0)).all(2).sum()
    mask = torch.zeros(120, 160, dtype=torch.uint8)
    mask[60:68, 60:68] = 1
    assert letters > 0.8 * (draw_masks(GREY, mask, {1: (255, 255, 0)}, {1: "object"}) == (255, 255, 0)).all(2).sum()
