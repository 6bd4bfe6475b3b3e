"""Boxes, points and COCO's masks from files that name frames, and several values of a flag."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from datamodules import FrameStream
from datamodules.prompted_video import placed_prompts
from datamodules.reading.guards import DataError
from datamodules.reading.mask_files import decode_rle, encode_rle, read_coco_masks
from datamodules.reading.prompts import BoxPrompt, MaskPrompt, PointPrompt, read_prompts, separated
from datamodules.synthetic.writers import write_frames
from tests.helpers.refusal import refused


def test_several_values_each_with_its_frame(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert separated("a.png") == [("a.png", None)]
    assert separated("a.png;b@x.png@120;") == [("a.png", None), ("b@x.png", "120")]
    assert separated(["1,2,3,4@2.5s", "5,6,7,8"]) == [("1,2,3,4", "2.5s"), ("5,6,7,8", None)]
    (tmp_path / "one;two@3.png").touch()
    assert separated("one;two@3.png") == [("one;two@3.png", None)]
    assert separated(";") == [(";", None)]
    array = np.zeros((2, 2))
    assert separated(array)[0][0] is array


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("b.txt", "1 2 3 4", [([1, 2, 3, 4], None, "")]),
        ("b.csv", "1e1,2,3,4\n5,6,7,8", [([10, 2, 3, 4], None, "")]),
        ("b.csv", "x,y,width,height\n1,2,3,4\n5,6,7,8", [([1, 2, 3, 4], None, ""), ([5, 6, 7, 8], None, "")]),
        ("b.csv", "frame,name,x,y,width,height,score\n7,car,1,2,3,4,9\n8,b,5,6,7,8,9",
         [([1, 2, 3, 4], "7", "car"), ([5, 6, 7, 8], "8", "b")]),
        ("b.json", "[1, 2, 3, 4]", [([1, 2, 3, 4], None, "")]),
        ("b.json", '{"x": 1, "y": 2, "w": 3, "h": 4}', [([1, 2, 3, 4], None, "")]),
        ("b.json", "[[1, 2, 3, 4], [5, 6, 7, 8]]", [([1, 2, 3, 4], None, ""), ([5, 6, 7, 8], None, "")]),
        ("b.json", '[{"frame": 5, "name": "a", "x": 1, "y": 2, "width": 3, "height": 4}]', [([1, 2, 3, 4], 5, "a")]),
    ],
)  # fmt: skip
def test_boxes_of_a_file(name, text, expected, tmp_path):
    (tmp_path / name).write_text(text)
    found = BoxPrompt.all_of(tmp_path / name)
    assert [([box.x, box.y, box.width, box.height], box.frame, box.name) for box in found] == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("p.csv", "a,1,2\nb,3,4", [(("a", "b"), [[1, 2], [3, 4]], None)]),
        ("p.csv", "joint,x,y\na,1,2\nb,3,4", [(("a", "b"), [[1, 2], [3, 4]], None)]),
        ("p.csv", "frame,x,y\n3,1,2", [(("1",), [[1, 2]], "3")]),
        ("p.csv", "frame,name,x,y,score\n3,a,1,2,.5\n9,a,3,4,.5", [(("a",), [[1, 2]], "3"), (("a",), [[3, 4]], "9")]),
        ("p.json", '{"a": [1, 2], "b": {"x": 3, "y": 4, "frame": 7}}',
         [(("a",), [[1, 2]], None), (("b",), [[3, 4]], 7)]),
        ("p.json", "[[1, 2], [3, 4]]", [(("1", "2"), [[1, 2], [3, 4]], None)]),
        ("p.json", '[{"x": 1, "y": 2}, {"x": 3, "y": 4, "name": 7}]', [(("1", "7"), [[1, 2], [3, 4]], None)]),
    ],
)  # fmt: skip
def test_points_of_a_file(name, text, expected, tmp_path):
    (tmp_path / name).write_text(text)
    found = PointPrompt.all_of(tmp_path / name)
    assert [(prompt.names, prompt.points.tolist(), prompt.frame) for prompt in found] == expected


@pytest.mark.parametrize(
    ("flag", "name", "text", "message"),
    [
        ("box", "b.csv", "frame,x,y,width\n1,2,3,4", r"expected 4 numbers, x,y,width,height, got \[.*None\]"),
        ("box", "b.csv", "frame,x,y,width,height\n1,2,3", "expected frame,x,y,width,height in each line, got '1,2,3'"),
        ("box", "b.csv", "left,top,w,h\n1,2,3,4", "expected 4 numbers, x,y,width,height, got 'left,top,w,h'"),
        ("box", "b.csv", "x,y,width,height,name", r"b\.csv: holds no box; write one in a line"),
        ("box", "b.json", f"[1, 2, 3, {10**400}]", "expected 4 numbers"),
        ("box", "b.json", "[[1, 2, 3], [1, 2]]", "expected 4 numbers, x,y,width,height"),
        ("points", "p.csv", "frame,name,x,y\n1,a,2,3\n1,a,4,5", "two points have the same name"),
        ("points", "p.csv", "nose,1\n", "expected name,x,y in each line, got 'nose,1'"),
        ("points", "p.csv", "", "at least one point"),
        pytest.param("points", "p.csv", "n" * 200_000 + ",1,2", "is not a CSV file", id="a long name"),
        ("points", "p.json", '{"a": {"X": 1, "y": 2}}', r"expected 2 numbers, x,y, got \[None, 2\]"),
        ("points", "p.json", '{"a": [1, 2, 3]}', "expected 2 numbers, x,y"),
        ("mask", "m.json", "{", r"m\.json: is not JSON .*; correct it$"),
        ("mask", "m.json", "[]", "expected COCO's images and annotations"),
        ("mask", "m.json", '{"images": [], "annotations": []}', "holds no mask"),
    ],
)
def test_a_file_that_is_wrong_is_named(flag, name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    assert str(tmp_path / name) in refused(DataError, message, read_prompts, **{flag: str(tmp_path / name)})


@pytest.fixture
def stream(tmp_path):
    write_frames(tmp_path / "frames", np.zeros((6, 8, 9, 3), np.uint8), [f"{t:03d}.png" for t in range(6)])
    return FrameStream(tmp_path / "frames", start=1)


def test_masks_of_a_folder_belong_to_the_frames_of_their_names(stream, tmp_path):
    (tmp_path / "masks").mkdir()
    for name, value in (("004", 2), ("002", 1)):
        Image.fromarray(np.eye(8, 9, dtype=np.uint8) * np.uint8(value)).save(tmp_path / f"masks/{name}.png")
    placed = placed_prompts(read_prompts(mask=str(tmp_path / "masks")), stream)
    assert [prompt.frame for prompt in placed] == [2, 4]
    refused(DataError, r"already names frame 002; leave @3 out", read_prompts, mask=f"{tmp_path / 'masks'}@3")
    (tmp_path / "none").mkdir()
    refused(DataError, "none: holds no mask; name the masks of a folder", read_prompts, mask=str(tmp_path / "none"))


def test_prompts_are_placed_in_the_order_of_their_frames_and_named(stream):
    boxes = placed_prompts(read_prompts(box="car=0,0,2,2@4;1,1,2,2;2,2,3,3@0.1s"), stream)
    assert [(box.name, box.frame) for box in boxes] == [("1", 1), ("2", 3), ("car", 4)]
    boxes = placed_prompts(read_prompts(box="1,1,2,2;1=0,0,2,2@4;2,2,3,3@0.1s"), stream)
    assert [(box.name, box.frame) for box in boxes] == [("2", 1), ("3", 3), ("1", 4)]
    (alone,) = placed_prompts(BoxPrompt.of([0, 0, 2, 2]), stream)
    assert (alone.name, alone.frame) == ("", 1)


def test_prompts_that_cannot_be_placed_are_refused(stream, tmp_path):
    (tmp_path / "p.json").write_text('{"a": {"x": 1, "y": 2, "frame": [1]}}')
    mistakes = {
        "frame: expected a frame's number": read_prompts(points=str(tmp_path / "p.json")),
        "expected prompts of one kind, got box and points": [BoxPrompt.of([0, 0, 2, 2]), PointPrompt.of([[1, 1]])],
        "expected prompts of one kind, got none": [],
        "outside frame 4 of 9 × 8 px": read_prompts(box="0,0,20,2@4"),
        "frame 0 is not in the part of the video from frame 1": read_prompts(box="0,0,2,2@0"),
        "array: two prompts of frame 1 for 1": [MaskPrompt.of(np.eye(8, 9, dtype=np.uint8))] * 2,
    }
    for message, prompts in mistakes.items():
        assert refused(DataError, message, placed_prompts, prompts, stream)


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
    assert refused(DataError, r"vidcorr\[coco\]", encode_rle, np.ones((2, 2), bool))


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 1, 5, 1, 5, 5]],
        *({"size": [2, 2], "counts": counts} for counts in ([1, 1], [-1, 5], [1.5, 2.5], "\x01", "o", "11", 24 * "o")),
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
