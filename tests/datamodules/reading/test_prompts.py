"""Masks, boxes and points from whatever a user has painted, typed or saved."""

import numpy as np
import pytest
from PIL import Image

from datamodules.reading.guards import DataError
from datamodules.reading.mask_files import davis_palette
from datamodules.reading.prompts import BoxPrompt, MaskPrompt, PointPrompt, read_prompts
from tests.helpers.refusal import refused

IDS = np.array([[0, 0, 7, 7], [0, 3, 3, 0], [0, 3, 255, 0]], np.uint8)


def save(path, array, palette=None):
    image = Image.fromarray(array)
    if palette is not None:
        image.putpalette(palette.ravel().tolist())
    image.save(path)
    return path


def test_an_indexed_mask_keeps_its_ids_and_its_palette(tmp_path):
    palette = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
    prompt = MaskPrompt.of(save(tmp_path / "mask.png", IDS, palette))
    assert prompt.objects == (3, 7)  # 255 beside other ids is void
    assert np.array_equal(prompt.ids, np.where(IDS == 255, 0, IDS))
    assert np.array_equal(prompt.palette, palette)


@pytest.mark.parametrize("black", [1, 255])
def test_black_is_the_background_of_an_indexed_mask_that_starts_with_another_colour(tmp_path, black):
    palette = np.full((256, 3), 9, np.uint8)
    palette[[0, black]] = [[200, 0, 0], [0, 0, 0]]
    mask = np.array([[black, black, 0], [black, 0, 0]], np.uint8)
    prompt = MaskPrompt.of(save(tmp_path / "mask.png", mask, palette))
    assert np.array_equal(prompt.ids, mask == 0)
    assert prompt.palette[1].tolist() == [200, 0, 0]


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA"])
def test_white_on_black_is_one_object_in_a_visible_colour(tmp_path, mode):
    path = tmp_path / "mask.png"
    Image.fromarray(np.uint8(IDS > 0) * np.uint8(255)).convert(mode).save(path)
    prompt = MaskPrompt.of(str(path))
    assert np.array_equal(prompt.ids, IDS > 0)
    assert prompt.palette[1].tolist() == [128, 0, 0]


def test_painted_colours_are_numbered_from_dark_to_light_and_kept(tmp_path):
    colours = np.array([[0, 0, 0], [250, 250, 0], [0, 40, 90]], np.uint8)
    numbers = np.array([[0, 1, 1], [0, 2, 2]])
    prompt = MaskPrompt.of(save(tmp_path / "mask.png", colours[numbers]))
    assert prompt.ids.tolist() == [[0, 2, 2], [0, 1, 1]]
    assert prompt.palette[:3].tolist() == [[0, 0, 0], [0, 40, 90], [250, 250, 0]]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4), np.uint8), "mask is empty"),
        (np.full((4, 4), 9, np.uint8), "no pixel of the mask is black"),
        (np.arange(256, dtype=np.uint8).reshape(16, 16), "256 colours; a mask is painted in flat ones"),
        (np.full((4, 4), 1000, np.uint16), "16-bit mask; .* save 8-bit indexed PNGs"),
    ],
)
def test_anything_but_a_mask_is_refused(tmp_path, array, message):
    path = save(tmp_path / "mask.png", array)
    assert str(path) in refused(DataError, message, MaskPrompt.of, path)


@pytest.mark.parametrize("typed", ["1.5,2,30,4", "[1.5, 2, 30, 4]", [1.5, 2, 30, 4]])
def test_a_box_as_it_is_typed(typed):
    assert BoxPrompt.of(typed).metadata()["box"] == [1.5, 2, 30, 4]
    refused(DataError, "expected 4 numbers", BoxPrompt.of, "1,2,3")
    refused(DataError, "expected 4 numbers", BoxPrompt.of, "a,b,c,d")
    refused(DataError, "width and a height above 0", BoxPrompt.of, [1, 2, 0, 4])


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, "{"], ids=["levels", "digits", "cut off"])
@pytest.mark.parametrize("prompt", [PointPrompt, BoxPrompt])
def test_hostile_json_is_one_line(tmp_path, text, prompt):
    path = tmp_path / "prompt.json"
    path.write_text(text)
    assert refused(DataError, r"prompt\.json: is not JSON \(.*\); correct it$", prompt.of, path)


def test_a_point_outside_the_frame_is_named():
    with pytest.raises(DataError, match=r"point tail at 8,1 lies outside frame 0 of 8 × 6 px"):
        PointPrompt.of({"nose": (7, 5), "tail": (8, 1)}).check((6, 8))


def test_exactly_one_kind_of_prompt():
    (prompt,) = read_prompts(box=[1, 2, 3, 4])
    assert isinstance(prompt, BoxPrompt)
    refused(DataError, r"exactly one of mask, box and points .* got none", read_prompts)
    refused(DataError, "got mask and box", read_prompts, mask=IDS, box=[1, 2, 3, 4])


def test_grey_ids_stay_255_alone_is_an_object_and_what_is_transparent_is_background(tmp_path):
    grey = np.array([[0, 1, 2], [0, 3, 3]], np.uint8)
    assert np.array_equal(MaskPrompt.of(save(tmp_path / "mask.png", grey)).ids, grey)
    alone = save(tmp_path / "mask.png", np.uint8(IDS > 0) * np.uint8(255), davis_palette())
    assert MaskPrompt.of(alone).objects == (255,)
    picture = np.full((2, 3, 4), 200, np.uint8)
    picture[:, 0, 3] = 0
    assert MaskPrompt.of(save(tmp_path / "mask.png", picture)).ids.tolist() == [[0, 1, 1], [0, 1, 1]]
