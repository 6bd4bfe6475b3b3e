"""Masks: reading and writing ids, and the one check of the objects that masks introduce."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.refusal import refused
from vidcorr.videos.files import DataError, write_ids
from vidcorr.videos.images import read_image
from vidcorr.videos.mask_files import object_ids, read_mask, read_mask_image
from vidcorr.videos.mask_videos import check_introductions, ids_by_value, renumbered
from vidcorr.videos.palettes import davis_palette


def written(path: Path, *values: int) -> Path:
    write_ids(path, np.array([values, values], np.uint8), davis_palette())
    return path


def test_ids_are_written_and_read(tmp_path: Path) -> None:
    path = written(tmp_path / "mask.png", 0, 3, 254, 255)
    assert read_mask(path).tolist() == [[0, 3, 254, 255]] * 2
    assert Image.open(path).mode == "P"
    assert object_ids(read_mask(path)) == (3, 254)
    assert read_mask(path, (4, 8)).shape == (4, 8)
    assert [file.name for file in tmp_path.iterdir()] == ["mask.png"]  # nothing unfinished is left


def test_a_jpeg_is_no_mask(tmp_path: Path) -> None:
    path = tmp_path / "mask.jpg"
    Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save(path)
    for read in (read_mask, read_mask_image):
        assert refused(DataError, r"mask\.jpg: a JPEG does not keep the values of a mask; save it as a PNG", read, path)


def test_every_object_is_in_the_mask_that_introduces_it(tmp_path: Path) -> None:
    masks = {0: written(tmp_path / "0.png", 0, 1, 2), 5: written(tmp_path / "5.png", 1, 0, 255)}
    check_introductions(masks, {1: 0, 2: 0}, {}, "")
    check_introductions(masks, {1: 5}, {}, "")
    for starts, told in (
        ({1: 0, 3: 5}, r"5\.png: object 3 starts here, but no pixel .*; mend it"),
        ({1: 0, 7: 0, 4: 0}, r"0\.png: object 4, 7 starts here"),
        *(({number: 5}, rf"object {number} starts here, .*\(ids are 1 to 254\)") for number in (-1, 0, 255, 300)),
    ):
        refused(DataError, told, check_introductions, masks, starts, {}, "mend it")


def test_255_is_the_object_of_a_video_that_has_no_other_id(tmp_path: Path) -> None:
    empty, white, both = (written(tmp_path / f"{n}.png", *ids) for n, ids in enumerate(([0, 0], [0, 255], [2, 255])))
    assert ids_by_value([empty, white]) == {255: 1}
    assert ids_by_value([empty, white, both]) == ids_by_value([empty]) == {}
    assert renumbered(read_mask(white), {255: 1}).tolist() == [[0, 1]] * 2
    check_introductions({0: white}, {1: 0}, {255: 1}, "")
    refused(DataError, "object 1 starts here", check_introductions, {0: white}, {1: 0}, {}, "")


@pytest.mark.parametrize("read", [read_mask, lambda path: read_mask_image(path).ids, read_image])
def test_a_png_with_a_flipped_bit_is_refused_or_has_the_same_pixels(tmp_path: Path, read) -> None:
    """Pillow and OpenCV decode a third of such files to other pixels without a word."""
    ids = np.zeros((48, 64), np.uint8)
    ids[10:30, 20:50], ids[25:40, 5:25] = 1, 2
    write_ids(tmp_path / "mask.png", ids, davis_palette())
    sound, expected = (tmp_path / "mask.png").read_bytes(), read(tmp_path / "mask.png")
    generator, refusals = np.random.default_rng(0), 0
    for bit in generator.integers(8 * len(sound), size=60).tolist():
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / "mask.png").write_bytes(damaged)
        try:
            assert np.array_equal(read(tmp_path / "mask.png"), expected)
        except DataError as error:
            refusals += "mask.png" in str(error)
    assert refusals > 55
