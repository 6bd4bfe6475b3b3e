"""Masks, boxes and points that a user has painted, typed or saved."""

import numpy as np
from PIL import Image

from tests.helpers.refusal import refused
from vidcorr.videos.files import DataError
from vidcorr.videos.prompts import BoxPrompt, MaskPrompt, PointPrompt

IDS = np.array([[0, 0, 7, 7], [0, 3, 3, 0], [0, 3, 255, 0]], np.uint8)


def test_a_mask_without_objects_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "mask.png")
    refused(DataError, "mask.png: holds no object", MaskPrompt.of, tmp_path / "mask.png")
    for array in (IDS[None], IDS / 2, np.full((4, 4), 256), np.full((4, 4), -1)):
        refused(DataError, r"expected \(H, W\) integer ids of 0 to 255", MaskPrompt.of, array)


TABLES = {
    "": "expected the heading frame,point,x,y, got ''",
    "frame;point;x;y\n0;a;1,5;2": "expected the heading frame,point,x,y, got 'frame;point;x;y'",
    "frame,point,x,y\n0,a,1,2\n1.0,a,1,2": "line 3: a frame is a whole number, got '1.0'",
    "frame,point,x,y\n0,a,,,0": "holds no points",
    f"frame,point,x,y\n0,{'a' * 140_000},1,2": "field larger than field limit",
    "frame,point,x,y\n3,a,1,2\n3,a,3,4": "frame 3 names a point twice",
    "frame,point,x,y\n3,a,1,": "expected x,y",
}


def test_a_table_holds_the_points_of_its_frames(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text('frame,point,x,y,score\r\n00003,nose,1,2,1\r\n00003,"a, b",3,4.5,1\r\n00004,nose,,,0\r\n,,,\r\n')
    (points,) = PointPrompt.read_table(str(path))
    assert (points.objects, points.labels.tolist(), points.frame) == (("nose", "a, b"), [[1, 2], [3, 4.5]], 3)
    path.write_text("frame,box,x,y,width,height,score\n00009,2,5,6,7,8,1\n00003,1,1,2,3,4,\n00003,2,5,6,7,9,\n")
    boxes = BoxPrompt.read_table(path)
    assert [(prompt.frame, prompt.objects) for prompt in boxes] == [(3, ("1", "2")), (9, ("2",))]
    assert boxes[0].labels.tolist() == [[1, 2, 3, 4], [5, 6, 7, 9]]
    refused(DataError, "points: expected x,y", PointPrompt.of, path)
    path.write_text("frame,point,x,y", "utf-16")
    refused(DataError, "not text in UTF-8", PointPrompt.read_table, path)
    for text, message in TABLES.items():
        path.write_text(text)
        assert str(path) in refused(DataError, message, PointPrompt.read_table, path)


OUTSIDE = {
    BoxPrompt: {
        "has no area": ["1,2,0,4", "1,2,4,0"],
        "lies outside the frame of 9 × 8 px": ["9,0,2,2", "0,8,2,2", "-2,0,2,2", "0,-2,2,2"],
        "is in fractions of the frame: give pixels, of 9 × 8 px": ["0.1,0.2,0.5,0.5", "0,0,1,0.5"],
    },
    PointPrompt: {"lies outside the frame of 9 × 8 px": ["9,1", "1,8", "-1,0", "0,-1"]},
}


def test_a_prompt_outside_its_frame_is_refused():
    for kind, messages in OUTSIDE.items():
        for message, texts in messages.items():
            for text in texts:
                refused(DataError, f"{text}:? {message}", kind.of(text).fitted_to_frame, (8, 9))
    for text in ("0.4,0.7", "1,0.5"):
        refused(DataError, "points: are in fractions of the frame", PointPrompt.of(text).fitted_to_frame, (8, 9))
    points = PointPrompt.of(["0,0", "8,7"]), PointPrompt.of(["0.5,0.5", "8,7"]), PointPrompt.of("1,1")
    inside = BoxPrompt.of(["0,0,9,8", "8,7,1,1"]), *points, MaskPrompt.of(np.ones((8, 9), bool))
    for prompt in inside:
        prompt.fitted_to_frame((8, 9))


def test_a_mask_is_of_the_frame_that_its_word_or_its_name_says(tmp_path):
    for name in ("b.png", "00012.png", "b@3.png", "mask_00012.png"):
        Image.fromarray(IDS).save(tmp_path / name)
    frames = {("b.png@7", None): 7, ("00012.png", None): 12, ("b.png", None): None, ("b@3.png@3", None): 3}
    frames |= {("b.png", "ab"): 1, ("b.png", "ac"): None, ("b.png@0", "ab"): 0, ("00012.png", "ab"): 12}
    for (word, names), frame in frames.items():
        numbers = names and {name: number for number, name in enumerate(names)}
        assert MaskPrompt.read(str(tmp_path / word), numbers).frame == frame
    plates = {f"shot.{number}": number for number in range(9, 13)}
    for word, first, frame in (("00012.png", 9, 12), ("mask_00012.png", 12, None)):
        assert MaskPrompt.read(str(tmp_path / word), plates, first).frame == frame
    for word, numbers in (("mask_00012.png", None), ("b@3.png", None), ("b@3.png", plates)):
        message = f"{word}: say of which frame it is, .*{word}@FRAME"
        refused(DataError, message, MaskPrompt.read, str(tmp_path / word), numbers)
