"""Masks: the two forms that are read, all others refused; what 255 means among a video's, and each is decoded once.

Also tests `videos/mask_folder.py`.
"""

from base64 import b64decode
from itertools import product
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.helpers.palettes import with_palette
from tests.helpers.refusal import refused
from vidcorr.datasets.generated.writers import write_masks
from vidcorr.videos import mask_folder
from vidcorr.videos.files import DataError
from vidcorr.videos.mask_folder import MaskFolder, claim_indices
from vidcorr.videos.masks import StoredMask, davis_palette, read_mask, stored_mask, write_ids
from vidcorr.videos.prompts import MaskPrompt

IDS = np.zeros((24, 32), np.uint8)
IDS[2:10, 2:14], IDS[8:20, 16:30], IDS[14:22, 2:10] = 1, 2, 9
SHAPE = (IDS > 0).astype(np.uint8) * 255
COLOURS = davis_palette()


def test_a_mask_is_resized_by_nearest_pixel(tmp_path):
    write_ids(tmp_path / "mask.png", IDS, COLOURS)
    half = np.array(Image.fromarray(IDS).resize((16, 12), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(MaskFolder(tmp_path).read(0, (12, 16)), half)


GREY_OF_4_BITS = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAQAAAABBAAAAAAZp70QAAAAC0lEQVR4nGMQMgAAAFcAQ1PQ9b0AAAAASUVORK5CYII="
)
WHITE_GROUND = COLOURS.copy()
WHITE_GROUND[0], WHITE_GROUND[1] = 255, 0
OTHER_FORMS = {
    "JPEG": lambda path: Image.fromarray(SHAPE).save(path, format="JPEG"),
    "grey of 4 bits": lambda path: path.write_bytes(GREY_OF_4_BITS),
    "grey of 16 bits": lambda path: Image.fromarray(IDS.astype(np.uint16)).save(path),
    "grey with a transparent value": lambda path: Image.fromarray(IDS).save(path, transparency=2),
    "half transparent RGB": lambda path: Image.fromarray(np.dstack([COLOURS[IDS], IDS + 9])).save(path),
    "a half transparent index": lambda path: with_palette(IDS).save(path, transparency=bytes([255, 128])),
    "background at another index": lambda path: with_palette(1 - SHAPE // 255, WHITE_GROUND).save(path),
}  # fmt: skip
"""Form that is refused → what writes it."""


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_every_other_form_is_refused(form, tmp_path):
    OTHER_FORMS[form](tmp_path / "mask.png")
    for read in (read_mask, MaskPrompt.of):
        refused(DataError, r"mask\.png: not a mask", read, tmp_path / "mask.png")


OPACITY = np.where(IDS == 1, 0, 255).astype(np.uint8)
RIGHT = {
    "indices of 8 bits": (with_palette(IDS), {}, IDS),
    "grey of 8 bits": (Image.fromarray(IDS), {}, IDS),
    "indices of 1 bit": (with_palette(SHAPE // 255, COLOURS[:2]), {"bits": 1}, SHAPE // 255),
    "indices of 4 bits": (with_palette(IDS, COLOURS[:16]), {"bits": 4}, IDS),
    "grey of 1 bit": (Image.fromarray(SHAPE).convert("1"), {}, SHAPE // 255),
    "a clear index 0 that is not black": (with_palette(IDS, WHITE_GROUND), {"transparency": 0}, IDS),
    "a clear index 1": (with_palette(IDS), {"transparency": 1}, np.where(IDS == 1, 0, IDS)),
    "clear pixels": (Image.fromarray(np.dstack([COLOURS[IDS], OPACITY])), {}, np.where(IDS == 1, 0, IDS)),
}
"""Form → picture, options of its file, ids."""


@pytest.mark.parametrize("form", RIGHT)
def test_few_bits_hold_ids_and_what_is_transparent_is_background(form, tmp_path):
    picture, options, ids = RIGHT[form]
    path = tmp_path / "m.png"
    picture.save(path, **options)
    prompt = MaskPrompt.of(path)
    for found in (read_mask(path), MaskFolder(tmp_path).read(0), prompt.labels):
        np.testing.assert_array_equal(found, ids)


RED_AND_BLUE = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_few_colours_are_ids_of_all_masks_of_a_video(mode, tmp_path):
    ids = np.minimum(IDS, 2)

    def write(name, colours):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(colours).convert(mode).save(tmp_path / name)

    write("davis.png", COLOURS[IDS])
    assert read_mask(tmp_path / "davis.png").tolist() == IDS.tolist()
    write("others.png", RED_AND_BLUE[ids])
    prompt = MaskPrompt.of(tmp_path / "others.png")
    assert prompt.labels.tolist() == np.choose(ids, (0, 2, 1)).tolist()  # blue sorts first
    write("video/0.png", RED_AND_BLUE[ids])
    write("video/1.png", RED_AND_BLUE[np.where(ids == 1, 1, 0)])
    video = MaskFolder(tmp_path / "video")
    assert (video.shown(0), video.shown(1)) == ((1, 2), (2,))  # red is 2 in all masks
    predictions = MaskFolder(tmp_path / "video", truth=MaskFolder(tmp_path / "video"))
    assert predictions.read(1).tolist() == video.read(1).tolist()


def test_many_colours_and_colours_that_the_truth_lacks_are_refused(tmp_path):
    (tmp_path / "truth").mkdir()
    (tmp_path / "ids").mkdir()
    Image.fromarray(RED_AND_BLUE[np.minimum(IDS, 1)]).save(tmp_path / "truth/0.png")
    Image.fromarray(IDS).save(tmp_path / "ids/0.png")
    Image.fromarray(RED_AND_BLUE[np.minimum(IDS, 2)]).save(tmp_path / "0.png")
    for truth in (MaskFolder(tmp_path / "truth"), MaskFolder(tmp_path / "ids")):
        line = r"0\.png: colour #0000ff is none of the annotations'"
        refused(DataError, line, MaskFolder(tmp_path, truth=truth).read, 0)
    smooth = Image.fromarray(RED_AND_BLUE[np.minimum(IDS, 2)]).resize((61, 47), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "smooth.png")
    refused(DataError, r"smooth\.png: .* colours are a picture", read_mask, tmp_path / "smooth.png")


def test_a_colour_with_two_indices_in_a_video_is_refused():
    first = StoredMask(Path("0.png"), np.eye(2, dtype=np.uint8), {0x800000: 1}, has_ids=True)
    claimed = {}
    claim_indices(claimed, first)
    message = "^3.png: colour #800000 has index 2, and 1 in another mask of the video"
    refused(DataError, message, claim_indices, claimed, first._replace(source=Path("3.png"), colours={0x800000: 2}))


def test_smoothed_edges_without_a_palette_are_refused_by_where_they_lie(tmp_path):
    """Discs with smoothed edges, of many values or few; ids of a palette, side by side or sparse, are no shades."""
    path = tmp_path / "mask.png"
    pixels = np.zeros((96, 128), np.uint8)
    cv2.circle(pixels, (60, 50), 30, 255, -1)
    shades = cv2.resize(pixels, (53, 40), interpolation=cv2.INTER_AREA)
    for image in (Image.fromarray(shades), Image.fromarray(shades).convert("P")):
        image.save(path)
        for read in (read_mask, MaskPrompt.of):
            assert str(path) in refused(DataError, "grey values are no ids but smoothed edges", read, path)
    write_ids(path, shades, COLOURS)
    np.testing.assert_array_equal(read_mask(path), shades)
    for value, half in product((8, 38, 100, 255), (Image.Resampling.BOX, Image.Resampling.BILINEAR)):
        Image.fromarray(np.minimum(pixels, value)).resize((64, 48), half).save(path)
        refused(DataError, "grey values are no ids but smoothed edges", read_mask, path)
    for ids in (np.arange(41), [0, 38, 75, 113, 255], range(0, 61, 3)):
        Image.fromarray(np.array([ids], np.uint8).repeat(3, 0).repeat(3, 1)).save(path)
        assert np.unique(read_mask(path)).tolist() == list(ids)
    two_thin_objects = np.array([[0] * 9 + [1, 2] + [3] * 9], np.uint8)
    stairs_of_objects = np.pad(np.add.outer(np.arange(2, 14) // 2, np.arange(12) // 2), 14).astype(np.uint8)
    for ids in (two_thin_objects, stairs_of_objects):
        Image.fromarray(ids).save(path)
        np.testing.assert_array_equal(read_mask(path), ids)


def folder_of(path, *rows, **rules):
    """Return a folder of masks of a row of pixels each."""
    write_masks(path, {t: np.array([row], np.uint8) for t, row in enumerate(rows)})
    return MaskFolder(path, **rules)


MEANINGS = [
    ({}, [[0, 0], [0, 255]], None, {1: 1}, [[0, 0], [0, 1]]),
    ({}, [[0, 0, 0], [0, 0, 255], [2, 2, 255]], 255, {2: 2}, [[0, 0, 0], [0, 0, 255], [2, 2, 255]]),
    ({}, [[1, 255]], 255, {1: 0}, [[1, 255]]),
    ({}, [[0, 0]], 255, {}, [[0, 0]]),
    ({"has_void": False}, [[0, 255, 255, 2]], None, {2: 0, 255: 0}, [[0, 255, 255, 2]]),
    ({"has_void": False}, [[0, 2], [0, 255]], None, {2: 0, 255: 1}, [[0, 2], [0, 255]]),
]
"""Rules, rows of masks, void, first masks of the objects, rows as they are read."""


@pytest.mark.parametrize(("rules", "rows", "void", "starts", "read"), MEANINGS)
def test_255_is_void_or_the_object_of_a_video_without_ids_or_an_id(tmp_path, rules, rows, void, starts, read):
    masks = folder_of(tmp_path / "masks", *rows, **rules)
    assert (masks.void, masks.starts(), masks.size) == (void, starts, (0, 0))
    assert [masks.read(t)[0].tolist() for t in masks] == read


def test_a_mask_is_decoded_once_though_most_hold_only_void(monkeypatch, tmp_path):
    masks = folder_of(tmp_path / "void", [0, 7, 255], *[[0, 0, 255]] * 6, *[[0, 7, 255]] * 5)
    decoded = Mock(side_effect=stored_mask)
    monkeypatch.setattr(mask_folder, "stored_mask", decoded)
    assert masks.starts() == {7: 0}
    assert [masks.read(t).tolist()[0][1] for t in masks] == [7] + [0] * 6 + [7] * 5
    assert sorted(call.args[0] for call in decoded.call_args_list) == sorted(masks.values())


def test_what_255_means_is_refused_where_it_may_be_two_things(tmp_path):
    """A score would differ. Void alone in a frame is void where other frames hold it beside ids, as in VOST."""
    mixed = folder_of(tmp_path / "mixed", [0, 1, 0], [0, 0, 255])
    said = r"00001\.png: holds only 0 and 255, other masks of the video ids"
    for read in (mixed.shown, mixed.read):
        refused(DataError, said, read, 1)
    outweighed = folder_of(tmp_path / "outweighed", [1, 255, 255])
    said = "value 255 means void .* has 2 pixels, more than the 1 of all objects"
    assert "00000.png" in refused(DataError, said, outweighed.read, 0)
    assert "array" in refused(DataError, said, MaskPrompt.of, outweighed.stored(0))
