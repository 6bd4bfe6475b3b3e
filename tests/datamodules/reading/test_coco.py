"""COCO's run lengths: against a loop over pixels, and against pycocotools where that is installed."""

import numpy as np
import pytest

from datamodules.reading.coco import (
    compressed,
    decode_rle,
    encode_rle,
    mask_of,
    masks_by_frame,
    run_lengths,
    uncompressed,
)
from datamodules.reading.errors import DataError


def masks(count=30):
    draw = np.random.default_rng(0)
    yield from (np.zeros((4, 5), bool), np.ones((4, 5), bool), np.eye(7, dtype=bool), np.ones((1, 1), bool))
    for _ in range(count):
        size = draw.integers(1, 40, 2)
        yield draw.random(size) < draw.random()
    large = np.zeros((300, 500), bool)
    large[40:250, 100:400] = True
    yield large


def plain_runs(mask):
    """Count runs pixel by pixel, down the columns."""
    lengths, value = [0], False
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            if bool(mask[row, column]) != value:
                value = not value
                lengths.append(0)
            lengths[-1] += 1
    return lengths


def test_runs_are_those_of_a_loop_and_come_back():
    for mask in masks():
        counts = run_lengths(mask)
        assert counts == plain_runs(mask)
        assert np.array_equal(mask_of(counts, mask.shape), mask)
        assert uncompressed(compressed(counts)) == counts
        for segmentation in (encode_rle(mask), {"size": list(mask.shape), "counts": counts}):
            assert np.array_equal(decode_rle(segmentation), mask)


def plain_string(counts):
    """Write the string as the format is described: bit by bit, with signed numbers of any length."""
    text = ""
    for number, count in enumerate(counts):
        value = count - (counts[number - 2] if number >= 3 else 0)
        bits = 5
        while not -(1 << bits - 1) <= value < 1 << bits - 1:
            bits += 5
        pattern = value % (1 << bits)
        groups = [pattern >> shift & 31 for shift in range(0, bits, 5)]
        text += "".join(chr(48 + group + (32 if k < len(groups) - 1 else 0)) for k, group in enumerate(groups))
    return text


def test_the_string_is_that_of_the_format():
    draw = np.random.default_rng(1)
    for _ in range(200):
        counts = draw.integers(0, 2 ** draw.integers(1, 30), draw.integers(1, 20)).tolist()
        assert compressed(counts) == plain_string(counts)
        assert uncompressed(plain_string(counts)) == counts


def test_pycocotools_reads_and_writes_the_same():
    tools = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    for mask in masks():
        theirs = tools.encode(np.asfortranarray(mask.astype(np.uint8)))
        ours = encode_rle(mask)
        assert (ours["size"], ours["counts"].encode()) == (theirs["size"], theirs["counts"])
        assert np.array_equal(tools.decode(ours), mask)


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 1, 5, 1, 5, 5]],
        {"size": [2, 2], "counts": [1, 1]},
        {"size": [2, 2], "counts": [-1, 5]},
        {"size": [2, 2], "counts": "\x01"},
        {"size": [2, 2], "counts": "o"},
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


def test_masks_of_a_file_are_put_together_by_frame():
    a, b = np.eye(3, dtype=bool), np.ones((3, 3), bool)
    content = {
        "images": [{"id": 4, "frame": 60}, {"id": 5}],
        "annotations": [
            {"image_id": 4, "category_id": 1, "segmentation": encode_rle(b)},
            {"image_id": 4, "category_id": 1, "track_id": 9, "segmentation": encode_rle(a)},
            {"image_id": 5, "category_id": 2, "segmentation": {"size": [3, 3], "counts": [0, 9]}},
        ],
    }
    found = masks_by_frame(content)
    assert sorted(found) == [5, 60]
    assert np.array_equal(found[60], np.where(a, 9, 1))
    assert np.array_equal(found[5], np.full((3, 3), 2))
    for wrong in ({}, [], {"images": [], "annotations": [{"image_id": 1}]}):
        with pytest.raises(DataError, match="expected COCO's images and annotations"):
            masks_by_frame(wrong)
    content["annotations"][0]["category_id"] = 300
    with pytest.raises(DataError, match="object 300: expected a number of 1 to 255"):
        masks_by_frame(content)
