"""COCO's run lengths: plain and compressed masks, and what is refused."""

import json
import sys

import numpy as np
import pytest

from datamodules.reading.errors import DataError
from datamodules.reading.prompt_files import decode_rle, encode_rle, read_coco_masks
from tests.helpers.refusal import refused


def test_masks_come_back_from_plain_and_compressed_run_lengths():
    mask = np.array([[0, 1, 1], [0, 0, 1]], bool)
    assert encode_rle(mask) == {"size": [2, 3], "counts": "2111"}
    for counts in ("2111", [2, 1, 1, 2]):
        assert np.array_equal(decode_rle({"size": [2, 3], "counts": counts}), mask)
    draw = np.random.default_rng(0)
    for mask in (np.zeros((4, 5), bool), np.ones((1, 1), bool), draw.random((40, 30)) < 0.3):
        assert np.array_equal(decode_rle(encode_rle(mask)), mask)


def test_without_pycocotools_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    refused(DataError, r"vidcorr\[coco\]", encode_rle, np.ones((2, 2), bool))


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 1, 5, 1, 5, 5]],
        {"size": [2, 2], "counts": [1, 1]},
        {"size": [2, 2], "counts": [-1, 5]},
        {"size": [2, 2], "counts": "\x01"},
        {"size": [2, 2], "counts": "o"},
        {"size": [2, 2], "counts": "11"},  # of two pixels
        {"size": [2, 2], "counts": [1.5, 2.5]},
        {"size": [2, 2], "counts": "oooooooooooooooooooooooo"},
        {"size": [10**6, 10**6], "counts": [10**12]},
        {"size": [0, 3], "counts": []},
        {"size": [2], "counts": []},
        None,
    ],
)
def test_anything_but_a_mask_is_refused(segmentation):
    with pytest.raises(DataError):
        decode_rle(segmentation)


def test_masks_of_a_file_are_put_together_by_frame(tmp_path):
    a, b = np.eye(3, dtype=bool), np.ones((3, 3), bool)
    content = {
        "images": [{"id": 4, "frame": 60}, {"id": 5}],
        "annotations": [
            {"image_id": 4, "category_id": 1, "segmentation": encode_rle(b)},
            {"image_id": 4, "category_id": 1, "track_id": 9, "segmentation": encode_rle(a)},
            {"image_id": 5, "category_id": 2, "segmentation": {"size": [3, 3], "counts": [0, 9]}},
        ],
    }
    path = tmp_path / "m.json"
    path.write_text(json.dumps(content))
    found = read_coco_masks(path)
    assert sorted(found) == [5, 60]
    assert np.array_equal(found[60], np.where(a, 9, 1))
    assert np.array_equal(found[5], np.full((3, 3), 2))
    content["annotations"][0]["category_id"] = 300
    wrong = {"expected COCO's images and annotations": {"images": [], "annotations": [{"image_id": 1}]}}
    for message, other in (wrong | {"object 300 of frame 60: expected objects of 1 to 255": content}).items():
        path.write_text(json.dumps(other))
        refused(DataError, rf"m\.json: {message}", read_coco_masks, path)
