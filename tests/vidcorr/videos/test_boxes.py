"""Conventions of boxes, their text files, and crops equal to the golden ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.refusal import refused
from vidcorr.videos.boxes import centred, context_side, one_based, read_boxes, read_numbers, square_crop
from vidcorr.videos.files import DataError
from vidcorr.videos.prompts import read_prompt


def test_one_based_in_one_based_out() -> None:
    boxes = np.random.default_rng(0).uniform(-50, 300, (200, 4))
    np.testing.assert_allclose(one_based(centred(boxes)), boxes, rtol=0, atol=1e-12)
    whole = np.array([[1, 1, 1, 1], [7, 3, 4, 9], [-3, 0, 2, 5]], dtype=np.float64)
    assert np.array_equal(one_based(centred(whole)), whole)


@pytest.mark.parametrize("separator", [",", "\t", " ", ", ", "  "])
def test_separators(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "groundtruth_rect.txt"
    path.write_text("".join(f"{separator.join(row)}\r\n" for row in (["1", "2", "3.5", "4"], ["-5", "6", "7", "8"])))
    assert read_boxes(path).tolist() == [[1, 2, 3.5, 4], [-5, 6, 7, 8]]


@pytest.mark.parametrize("line", ["1,2,3", "1,2,3,4,5", "a,b,c,d", "1,2,three,4", ","])
def test_a_line_that_is_not_a_box_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "groundtruth_rect.txt"
    path.write_text(f"1,2,3,4\n\n{line}\n")
    refused(DataError, f"groundtruth_rect.txt: line 3 is '{line}'", read_boxes, path)
    with pytest.raises(DataError, match=r"nowhere.txt: cannot be read \(No such file or directory\)"):
        read_boxes(tmp_path / "nowhere.txt")


def test_encodings_with_a_byte_order_mark_are_read_and_others_refused(tmp_path: Path) -> None:
    path = tmp_path / "cover.label"
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
        path.write_text("8\n\n7.5\n", encoding=encoding)
        assert read_numbers(path, ("part",)).tolist() == [[8], [7.5]]
    path.write_text("8\n7é\n", encoding="latin-1")
    refused(DataError, r"cover.label: not text in UTF-8 \(.*\); save it as UTF-8", read_numbers, path, ("part",))
    path.write_text("8\n7 7\n")
    refused(DataError, r"cover.label: line 2 is '7 7'; expected part", read_numbers, path, ("part",))
    path.write_text("\n")
    assert read_numbers(path, ("a", "b")).shape == (0, 2)


def test_golden_crops(golden: Any) -> None:
    expected = golden("siamfc_tracking")
    for number, (y, x, side, size) in enumerate(expected["crop_cases"]):
        crop = square_crop(expected["frames"][0], (y, x), side, int(size))
        assert np.abs(crop.astype(int) - expected[f"crop{number}_vfs"]).max() <= 1


def test_golden_exemplar_and_search_crops(golden: Any) -> None:
    expected = golden("siamfc_tracking")
    y, x, height, width = centred(expected["init_box"])
    side = context_side(height, width)
    assert side == pytest.approx(expected["state"][0, 4], abs=1e-4)
    assert np.array_equal(square_crop(expected["frames"][0], (y, x), side, 120), expected["exemplar_crop"])
    for number, factor in enumerate(expected["scale_factors"]):
        crop = square_crop(expected["frames"][1], (y, x), side * 255 / 120 * factor, 255)
        assert np.abs(crop[::4, ::4].astype(int) - expected["search_crops_f1_sampled"][number]).max() <= 1


def test_crops_of_any_size_and_place_are_whole() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    draws = np.random.default_rng(1)
    for _ in range(300):
        side = 10 ** draws.uniform(-2, 4)
        crop = square_crop(picture, tuple(draws.uniform(-30, 30, 2)), side, int(draws.integers(1, 40)))
        assert crop.min() >= picture.min()
    assert square_crop(picture, (2, 2), 1e30, 12).shape == (12, 12, 3)


@pytest.mark.parametrize(
    "text",
    [
        "8;10;14;12\n10;10,5;14;12",
        "8\t10\t14\t12\n10\t10,5\t14\t12",
        "8 10 14 12\n10 10,5 14 12",
        "8,10,14,12,\n10,10.5,14,12,",
        "8,\t10,\t14,\t12\n10,\t10.5,\t14,\t12",
        '"8","10","14","12"\n"10","10.5","14","12"',
        "[8, 10, 14, 12]\n[10.0, 10.5, 14.0, 12.0]",
        "# by a tracker\n\n8.0e0,1.0e1,14,12\n10,10.5,14,12",
    ],
)
def test_lines_of_four_numbers_have_a_single_reading(text: str, tmp_path: Path) -> None:
    path = tmp_path / "boxes.txt"
    path.write_text(text)
    assert read_boxes(path).tolist() == [[8, 10, 14, 12], [10, 10.5, 14, 12]]
    assert read_prompt(box=str(path)).labels.tolist() == [[8, 10, 14, 12]]


@pytest.mark.parametrize("line", [",1,2,3,4", "1,,2,3,4", "1,5;2,5", "1,5 2,5", "1_0,2,3,4", "1,2,3,4,5,6,7,8"])
def test_a_line_of_other_numbers_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "boxes.txt"
    path.write_text(f"1,2,3,4\n{line}\n")
    refused(DataError, "boxes.txt: line 2 is", read_boxes, path)


@pytest.mark.parametrize("comment", ["# x y w h", "#x,y,width,height", "# x1, y1, x2, y2"])
def test_columns_in_a_comment_are_refused(comment: str, tmp_path: Path) -> None:
    """`numpy.savetxt(header=…)` writes them; boxes count from 0 below columns, and from 1 without."""
    path = tmp_path / "boxes.txt"
    path.write_text(f"{comment}\n1,2,3,4\n")
    refused(DataError, "boxes.txt: the columns are in a comment", read_boxes, path)
