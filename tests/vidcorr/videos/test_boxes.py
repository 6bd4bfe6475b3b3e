"""Conventions of boxes, their text files, and crops equal to the golden ones."""

import cv2
import numpy as np
import pytest

from tests.helpers.refusal import refused
from vidcorr.videos.boxes import centred, context_side, read_boxes, square_crop
from vidcorr.videos.files import DataError

CHEQUERED = 255 * np.eye(8, dtype=np.uint8)[..., None].repeat(3, -1)
REFUSED = {
    "1,2,3,4\n\n1,2,3,4,5\n": r"line 3: expected numbers \(x,y,w,h\), got",
    "x,y,w,h": "line 1: expected",
    "1,2,3,1_0": "line 1: expected",
    "0.1,0.2,0.5,0.25": "fractions of the frame",
    "0.1,0.3,1.0,0.25": "fractions of the frame",
}


def test_files_hold_boxes_with_any_separator_or_are_refused(tmp_path):
    path = tmp_path / "boxes.txt"
    refused(DataError, r"boxes\.txt: cannot be read \(No such file", read_boxes, path)
    path.write_text("1,2,3,4\n", encoding="utf-16")
    refused(DataError, "boxes.txt: not text in UTF-8", read_boxes, path)
    for content, message in REFUSED.items():
        path.write_text(content)
        refused(DataError, rf"boxes\.txt(, |: ){message}", read_boxes, path)
    for content, boxes in {"1, 1\t1.5 1\r\n": [[1, 1, 1.5, 1]], "1,1,1,1": [[1, 1, 1, 1]], "\n": []}.items():
        path.write_text(content)
        assert read_boxes(path).tolist() == boxes


def test_crops_are_the_golden_ones(golden):
    expected = golden("siamfc_tracking")
    for number, (y, x, side, size) in enumerate(expected["crop_cases"]):
        crop = square_crop(expected["frames"][0], (y, x), side, int(size))
        assert np.abs(crop.astype(int) - expected[f"crop{number}_vfs"]).max() <= 1
    assert np.unique(square_crop(CHEQUERED, (3.5, 3.5), 8, 24, cv2.INTER_NEAREST)).tolist() == [0, 255]
    y, x, height, width = centred(expected["init_box"])
    side = context_side(height, width)
    assert side == pytest.approx(expected["state"][0, 4], abs=1e-4)
    assert np.array_equal(square_crop(expected["frames"][0], (y, x), side, 120), expected["exemplar_crop"])
    for number, factor in enumerate(expected["scale_factors"]):
        crop = square_crop(expected["frames"][1], (y, x), side * 255 / 120 * factor, 255)
        assert np.abs(crop[::4, ::4].astype(int) - expected["search_crops_f1_sampled"][number]).max() <= 1
