"""Masks: reading and writing ids, and the one check of the objects that masks introduce."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.refusal import refused
from vidcorr.commands.score_masks import score
from vidcorr.videos.files import DataError, write_ids
from vidcorr.videos.images import read_image
from vidcorr.videos.mask_files import object_ids, read_mask, read_mask_image
from vidcorr.videos.mask_videos import check_introductions, ids_by_value, renumbered
from vidcorr.videos.palettes import davis_palette
from vidcorr.videos.prompts import MaskPrompt


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


IDS = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 0]], np.uint8)


def stored(path: Path, samples: np.ndarray, depth: int, kind: int, **chunks: bytes) -> Path:
    """Write a PNG with samples (H, W) or (H, W, C) of `depth` bits as they are; `kind`: its colour type."""
    rows = []
    for row in samples.reshape(len(samples), -1).tolist():
        bits = "".join(f"{value:0{depth}b}" for value in row)
        bits += "0" * (-len(bits) % 8)
        rows.append(b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big"))
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in {"IHDR": header, **chunks, "IDAT": zlib.compress(b"".join(rows)), "IEND": b""}.items():
        content += struct.pack(">I", len(data)) + name.encode() + data
        content += struct.pack(">I", zlib.crc32(name.encode() + data))
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_indices_of_any_depth(depth: int, tmp_path: Path) -> None:
    ids = np.minimum(IDS, 2**depth - 1)
    palette = davis_palette()[: ids.max() + 1].tobytes()
    assert read_mask(stored(tmp_path / "m.png", ids, depth, 3, PLTE=palette)).tolist() == ids.tolist()


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_white_of_any_depth_is_255(depth: int, tmp_path: Path) -> None:
    shape = (IDS > 0) * (2**depth - 1)
    assert read_mask(stored(tmp_path / "m.png", shape, depth, 0)).tolist() == ((IDS > 0) * 255).tolist()


@pytest.mark.parametrize("depth", [2, 4])
def test_greys_of_2_and_4_bits_may_be_ids_or_scaled(depth: int, tmp_path: Path) -> None:
    """Decoders scale them: the ids 1, 2, 3 become 17, 34, 51, and DAVIS's rules then score 48 missing objects as 1."""
    path = stored(tmp_path / "m.png", IDS, depth, 0)
    for read in (read_mask, MaskPrompt.of):
        refused(DataError, rf"m\.png: grey of {depth} bits, whose values may be ids or scaled greys", read, path)


def test_16_bits_per_channel_are_read_if_nothing_is_lost(tmp_path: Path) -> None:
    """Pillow keeps the upper byte: ids below 256 would all become background."""
    path = tmp_path / "m.png"
    opaque = np.full(IDS.shape, 65535)
    refused(DataError, "16 bits per channel", read_mask, stored(path, np.dstack([IDS.astype(int), opaque]), 16, 4))
    colours = davis_palette()[IDS].astype(int)
    refused(DataError, "16 bits per channel", read_mask, stored(path, colours, 16, 2))
    assert read_mask(stored(path, colours * 257, 16, 2)).tolist() == IDS.tolist()
    assert read_mask(stored(path, np.dstack([colours * 257, opaque]), 16, 6)).tolist() == IDS.tolist()


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_grey_is_background(depth: int, tmp_path: Path) -> None:
    path = stored(tmp_path / "m.png", IDS, depth, 0, tRNS=struct.pack(">H", 2))
    assert read_mask(path).tolist() == np.where(IDS == 2, 0, IDS).tolist()


@pytest.mark.parametrize(("colour", "alpha"), [(0, 255), (1, 100), ("VOC", 100)])
def test_objects_that_alpha_hides_are_refused(colour: object, alpha: int, tmp_path: Path) -> None:
    """Black objects on a transparent ground, and half transparent objects, would be an empty mask."""
    path = tmp_path / "m.png"
    alphas = np.where(IDS, alpha, 0).astype(np.uint8)
    layers = (davis_palette()[IDS], alphas) if colour == "VOC" else (IDS * np.uint8(colour), alphas)
    Image.fromarray(np.dstack(layers)).save(path)
    for read in (read_mask, MaskPrompt.of):
        refused(DataError, r"m\.png: holds nothing but black and transparent pixels", read, path)
    Image.fromarray(np.zeros((4, 4, 2), np.uint8)).save(path)
    assert not read_mask(path).any()  # an empty layer


def reduced(path: Path, ids: np.ndarray, colours: np.ndarray, order: list[int]) -> Path:
    """Write ids in colours as a program that keeps only the colours that occur, in an order of its own."""
    place = np.zeros(256, np.uint8)
    place[order] = range(len(order))
    image = Image.fromarray(place[ids])
    image.putpalette(colours[order].ravel().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def test_colours_of_a_known_palette_in_another_order_are_refused(tmp_path: Path) -> None:
    """Pillow's `quantize` of RGBA masks does this; by the indices, objects change places."""
    path = tmp_path / "m.png"
    said = r"m\.png: index 1 has the colour of id 2 of DAVIS"
    refused(DataError, said, read_mask, reduced(path, IDS, davis_palette(), [0, 2, 1, 3]))
    assert read_mask(reduced(path, IDS, davis_palette(), [0, 1, 2, 3])).tolist() == IDS.tolist()
    assert read_mask(reduced(path, IDS, davis_palette(), [2, 1, 3, 0])).tolist() == IDS.tolist()
    without = np.where(IDS == 1, 0, IDS)
    refused(DataError, said, read_mask, reduced(path, without, davis_palette(), [0, 2, 3]))
    Image.fromarray(davis_palette()[without]).save(path)
    assert read_mask(path).tolist() == without.tolist()


@pytest.mark.parametrize("rules", ["davis-2017", "youtube-vos", "vos-benchmark"])
def test_palettes_that_change_within_a_video_are_refused(rules: str, tmp_path: Path) -> None:
    colours = np.array([(0, 0, 0), (250, 20, 30), (20, 30, 250), (9, 200, 9)], np.uint8)
    for t in range(4):
        reduced(tmp_path / f"truth/v/{t}.png", IDS, colours, [0, 1, 2, 3])
        reduced(tmp_path / f"same/v/{t}.png", IDS, colours, [0, 1, 2, 3])
        reduced(tmp_path / f"mine/v/{t}.png", IDS, colours, [0, 2, 1, 3] if t == 2 else [0, 1, 2, 3])
    assert next(iter(score(tmp_path / "truth", tmp_path / "same", rules).scores.values())) == 1
    said = r"mine/v/2\.png: its palette gives the colour \(20, 30, 250\) to id 1, unlike that of 0\.png"
    refused(DataError, said, score, tmp_path / "truth", tmp_path / "mine", rules)
