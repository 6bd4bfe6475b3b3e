"""Conventions of boxes, their text files, and crops equal to the golden ones."""

import numpy as np
import pytest

from tests.helpers.refusal import refused
from vidcorr.videos.boxes import centred, context_side, read_boxes, square_crop
from vidcorr.videos.files import DataError


@pytest.mark.parametrize("separator", ["\t", ", "])
def test_boxes_are_read_with_any_separator(tmp_path, separator):
    path = tmp_path / "groundtruth_rect.txt"
    path.write_text("".join(f"{separator.join(row)}\r\n" for row in (["1", "2", "3.5", "4"], ["-5", "6", "7", "8"])))
    assert read_boxes(path).tolist() == [[1, 2, 3.5, 4], [-5, 6, 7, 8]]


@pytest.mark.parametrize("line", ["1,2,3,4,5", "x,y,w,h", "1,2,3,1_0"])
def test_a_line_that_is_not_a_box_is_named(tmp_path, line):
    path = tmp_path / "groundtruth_rect.txt"
    path.write_text(f"1,2,3,4\n\n{line}\n")
    refused(DataError, r"groundtruth_rect.txt, line 3: expected x,y,w,h, got", read_boxes, path)


def test_files_that_hold_no_boxes_are_refused(tmp_path):
    refused(DataError, r"nowhere.txt: cannot be read \(No such file", read_boxes, tmp_path / "nowhere.txt")
    path = tmp_path / "boxes.txt"
    path.write_text("1,2,3,4\n", encoding="utf-16")
    refused(DataError, "boxes.txt: not text in UTF-8", read_boxes, path)
    for fractions in ("0.1,0.2,0.5,0.25\n", "0.1,0.3,1.0,0.25\n"):
        path.write_text(fractions)
        refused(DataError, "boxes.txt: fractions of the frame", read_boxes, path)
    path.write_text("1,1,1,1\n")
    assert len(read_boxes(path)) == 1
    path.write_text("\n")
    assert read_boxes(path).shape == (0, 4)


def test_square_crops_are_the_golden_ones(golden):
    expected = golden("siamfc_tracking")
    for number, (y, x, side, size) in enumerate(expected["crop_cases"]):
        crop = square_crop(expected["frames"][0], (y, x), side, int(size))
        assert np.abs(crop.astype(int) - expected[f"crop{number}_vfs"]).max() <= 1


def test_golden_exemplar_and_search_crops(golden):
    expected = golden("siamfc_tracking")
    y, x, height, width = centred(expected["init_box"])
    side = context_side(height, width)
    assert side == pytest.approx(expected["state"][0, 4], abs=1e-4)
    assert np.array_equal(square_crop(expected["frames"][0], (y, x), side, 120), expected["exemplar_crop"])
    for number, factor in enumerate(expected["scale_factors"]):
        crop = square_crop(expected["frames"][1], (y, x), side * 255 / 120 * factor, 255)
        assert np.abs(crop[::4, ::4].astype(int) - expected["search_crops_f1_sampled"][number]).max() <= 1
