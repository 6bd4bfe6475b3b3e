"""Masks, boxes and points from whatever a user has painted, typed or saved, and their frames."""

import numpy as np
import pytest
from PIL import Image

from tests.helpers.refusal import refused
from vidcorr.datasets.generated.writers import write_frames
from vidcorr.videos.files import DataError
from vidcorr.videos.palettes import davis_palette
from vidcorr.videos.prompts import BoxPrompt, MaskPrompt, PointPrompt, read_prompt
from vidcorr.videos.stream import FrameStream, placed

IDS = np.array([[0, 0, 7, 7], [0, 3, 3, 0], [0, 3, 255, 0]], np.uint8)
WHITE = np.where(IDS, 255, 0).astype(np.uint8)
GREY = np.array([[0, 1, 2], [0, 3, 3]], np.uint8)
PALETTE = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
PAINT = np.array([[0, 0, 0], [250, 250, 0], [0, 40, 90]], np.uint8)
TRANSPARENT = np.full((2, 3, 4), 200, np.uint8)
TRANSPARENT[:, 0, 3] = 0


def indexed(ids: np.ndarray, palette: np.ndarray) -> Image.Image:
    image = Image.fromarray(ids)
    image.putpalette(palette.ravel().tolist())
    return image


@pytest.mark.parametrize(
    ("image", "ids", "palette"),
    [
        pytest.param(indexed(IDS, PALETTE), np.where(IDS == 255, 0, IDS), PALETTE, id="255 beside other ids is void"),
        pytest.param(
            indexed(WHITE, davis_palette()), WHITE // 255, davis_palette()[[0, 255]], id="255 alone is object 1"
        ),
        *(
            pytest.param(Image.fromarray(WHITE).convert(mode), IDS > 0, davis_palette(), id=f"white on black, {mode}")
            for mode in ("1", "L", "RGB", "RGBA")
        ),
        pytest.param(Image.fromarray(GREY), GREY, davis_palette(), id="grey ids"),
        pytest.param(
            Image.fromarray(PAINT[[[0, 1, 1], [0, 2, 2]]]), [[0, 2, 2], [0, 1, 1]], PAINT[[0, 2, 1]], id="dark to light"
        ),
        pytest.param(
            Image.fromarray(PAINT[[[0, 0, 2], [0, 2, 2]]]).quantize(),
            [[0, 0, 1], [0, 1, 1]],
            PAINT[[0, 2]],
            id="quantised",
        ),
        pytest.param(Image.fromarray(TRANSPARENT), [[0, 1, 1]] * 2, davis_palette(), id="transparent background"),
    ],
)
def test_ids_and_palette_of_a_painted_mask(tmp_path, image, ids, palette):
    image.save(tmp_path / "mask.png")
    prompt = MaskPrompt.of(str(tmp_path / "mask.png"))
    assert np.array_equal(prompt.labels, ids)
    assert np.array_equal(prompt.palette[: len(palette)], palette)
    assert prompt.objects == tuple(np.setdiff1d(ids, 0))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4), np.uint8), "holds no object; mark or list at least one"),
        (np.full((4, 4), 9, np.uint8), "no pixel of the mask is black"),
        (np.arange(256, dtype=np.uint8).reshape(16, 16), "256 colours; a painted mask has flat colours"),
        (np.full((4, 4), 1000, np.uint16), "mask of mode I;16; expected"),
    ],
)
def test_anything_but_a_mask_is_refused(tmp_path, array, message):
    Image.fromarray(array).save(tmp_path / "mask.png")
    assert str(tmp_path / "mask.png") in refused(DataError, message, MaskPrompt.of, tmp_path / "mask.png")


@pytest.mark.parametrize("typed", ["1.5,2,30,4", "[1.5, 2, 30, 4]", [1.5, 2, 30, 4]])
def test_a_box_as_it_is_typed(typed):
    assert BoxPrompt.of(typed).metadata()["box"] == [1.5, 2, 30, 4]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"exactly one of mask, box and points, .* got none"),
        ({"mask": IDS, "box": [1, 2, 3, 4]}, "got mask and box"),
        ({"box": "1,2,3"}, "expected 4 numbers"),
        ({"box": "a,b,c,d"}, "expected 4 numbers"),
    ],
)
def test_what_is_no_prompt_is_refused(given, message):
    assert refused(DataError, message, read_prompt, **given)


@pytest.mark.parametrize(
    ("flag", "name", "text", "expected"),
    [
        ("box", "b.txt", "1 2 3 4", {"box": [1, 2, 3, 4]}),
        ("box", "b.csv", "1e1,2,3,4\n5,6,7,8", {"box": [10, 2, 3, 4]}),
        ("box", "b.csv", "x,y,width,height\n1,2,3,4\n5,6,7,8", {"boxes": {"1": [1, 2, 3, 4], "2": [5, 6, 7, 8]}}),
        ("box", "b.csv", "frame,name,x,y,width,height,score\n7,car,1,2,3,4,9\n7,,5,6,7,8,9",
         {"frame": "7", "boxes": {"car": [1, 2, 3, 4], "1": [5, 6, 7, 8]}}),
        ("points", "p.csv", "a,1,2\nb,3,4", {"points": {"a": [1, 2], "b": [3, 4]}}),
        ("points", "p.csv", "frame,x,y\n3,1,2", {"frame": "3", "points": {"1": [1, 2]}}),
        ("points", "p.csv", "frame,name,x,y,score\n3,a,1,2,.5\n3,b,3,4,.5",
         {"frame": "3", "points": {"a": [1, 2], "b": [3, 4]}}),
    ],
)  # fmt: skip
def test_boxes_and_points_of_a_file(flag, name, text, expected, tmp_path):
    (tmp_path / name).write_text(text)
    found = read_prompt(**{flag: str(tmp_path / name)}).metadata()
    assert found == {"kind": flag, "source": str(tmp_path / name)} | expected


@pytest.mark.parametrize(
    ("flag", "name", "text", "message"),
    [
        ("box", "b.csv", "frame,x,y,width\n1,2,3,4", "columns frame,x,y,width are not known; .* has x,y,width,height"),
        ("box", "b.csv", "frame,x,y,width,height\n1,2,3", "expected frame,x,y,width,height in each line, got '1,2,3'"),
        ("box", "b.csv", "cx,cy,w,h\n1,2,3,4", "columns cx,cy,w,h are not known"),
        ("box", "b.csv", "x,y,width,height,name", r"b\.csv: holds no object"),
        ("points", "p.csv", "frame,name,x,y\n1,a,2,3\n1,a,4,5", "two points have the same name"),
        ("points", "p.csv", "nose,1\n", "expected name,x,y in each line, got 'nose,1'"),
        ("points", "p.csv", "", "holds no object"),
        pytest.param("points", "p.csv", "n" * 200_000 + ",1,2", "is not a CSV file", id="a long name"),
        ("points", "p.csv", "frame,x,y\n3,1,2\n9,3,4", "names 2 frames; a prompt is for one frame"),
        ("box", "b.csv", "name,x,y,width,height\na,1,2,3,4\na,1,2,3,4", "two boxes have the same name"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_named(flag, name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    assert str(tmp_path / name) in refused(DataError, message, read_prompt, **{flag: str(tmp_path / name)})


@pytest.fixture
def stream(tmp_path):
    write_frames(tmp_path / "frames", np.zeros((6, 8, 9, 3), np.uint8), [f"{t:03d}.png" for t in range(6)])
    return FrameStream(tmp_path / "frames", start=1)


def test_the_frame_at_the_end_of_a_prompt(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b@x.png", "one@3.png"):
        Image.fromarray(np.eye(2, dtype=np.uint8)).save(name)
    for text, frame in (("a.png", None), ("b@x.png@120", "120"), ("one@3.png", None), ("a.png@ 7", "7")):
        assert read_prompt(mask=text).frame == frame
    (tmp_path / "b.csv").write_text("frame,x,y,width,height\n2,0,0,2,2")
    assert refused(DataError, r"already names frame 2; leave @3 out", read_prompt, box="b.csv@3")


def test_boxes_without_a_name_are_numbered(stream):
    for given in ("car=0,0,2,2;1,1,2,2;2,2,3,3@3", ["car=0,0,2,2", "1,1,2,2", "2,2,3,3@3"]):
        boxes = placed(read_prompt(box=given), stream)
        assert (boxes.objects, boxes.frame) == (("car", "1", "2"), 3)
    assert read_prompt(box="1,1,2,2;1=0,0,2,2").objects == ("2", "1")
    alone = placed(BoxPrompt.of([0, 0, 2, 2]), stream)
    assert (alone.objects, alone.frame) == (("",), 1)


def test_a_prompt_that_cannot_be_placed_is_refused(stream, tmp_path):
    (tmp_path / "p.csv").write_text("frame,x,y\nsoon,1,2")
    mistakes = {
        "frame: expected a frame index": read_prompt(points=str(tmp_path / "p.csv")),
        "a box needs a width and a height above 0, got 0 x 4": BoxPrompt.of([1, 2, 0, 4]),
        "outside frame 4 of 9 × 8 px": read_prompt(box="0,0,20,2@4"),
        "point tail at 9,1 lies outside frame 1 of 9 × 8 px": PointPrompt.of({"nose": (8, 7), "tail": (9, 1)}),
        "frame 0 is not in the part of the video from frame 1": read_prompt(box="0,0,2,2@0"),
    }
    for message, prompt in mistakes.items():
        assert refused(DataError, message, placed, prompt, stream)


@pytest.mark.parametrize("flag", ["mask", "points", "box"])
def test_a_missing_file_in_a_folder_with_an_at_sign_is_named_whole(flag, tmp_path):
    path = tmp_path / "me@lab" / "first.csv"
    refused(DataError, r"me@lab/first\.csv: ", read_prompt, **{flag: str(path)})
