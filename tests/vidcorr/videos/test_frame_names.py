"""Of which frame a file is: what states it, of a film and of a folder, as a word, in a folder and in a zip."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.refusal import refused
from tests.helpers.tool_files import coco, indexed, labelme
from vidcorr.videos.annotation_files import read_masks
from vidcorr.videos.files import DataError
from vidcorr.videos.frame_names import FrameNames

STEMS = [f"{t:05d}" for t in range(0, 50, 5)]
"""Names of a folder's images: every fifth frame, as of YouTube-VOS."""
NAMES = json.loads(Path(__file__).with_name("frame_names.json").read_text())
"""Name of a file → the frame that it states of the film clip.mp4; names of files → the frame of the last of them."""


def test_what_a_name_states_of_a_film() -> None:
    assert {name: FrameNames(None, "clip").index(name) for name in NAMES["film"]} == NAMES["film"]


@pytest.mark.parametrize(("given", "frame"), NAMES["series"])
def test_a_beginning_that_all_files_share_is_of_a_series(given: list[str], frame: int | None) -> None:
    assert FrameNames(None, "clip", given).index(given[-1]) == frame


def test_all_that_states_a_frame_agrees_or_both_are_named(tmp_path: Path) -> None:
    shapes = [("a", "cat")]

    def frames(word: Any, stems: list[str] | None = None) -> list[int | None]:
        return [prompt.frame for prompt in read_masks([str(word)], stems, "clip")]

    for name, image, expected in (("00003", "00003.png", 3), ("a", "frame_000003.png", 3), ("00003", "cat.png", 3)):
        assert frames(labelme(tmp_path / f"{name}.json", shapes, imagePath=image)) == [expected]
    path = labelme(tmp_path / "00003.json", shapes, imagePath="00000.png")
    assert frames(f"{path}@8") == [8]  # the word wins
    objects = [("a", "cat", {})]
    assert frames(coco(tmp_path / "c.json", objects, "x.jpg", frame_index=4)) == [4]
    assert frames(coco(tmp_path / "c.json", objects, "00004.jpg", frame_id=4)) == [4]
    assert frames(coco(tmp_path / "c.json", objects, "00005.jpg", frame_index=4), STEMS) == [1]  # of another film
    line = "is of frame 5 by its file_name .00005.jpg., 4 by its frame_index"
    refused(DataError, line, frames, coco(tmp_path / "c.json", objects, "00005.jpg", frame_index=4))
    line = "c.json: its name c.json and file_name cat.jpg names no frame of the video; give c.json@FRAME"
    refused(DataError, line, frames, coco(tmp_path / "c.json", objects, "cat.jpg"))


def test_what_states_nothing_is_the_first_frame_only_if_it_is_a_png_given_alone(tmp_path: Path) -> None:
    path = indexed(tmp_path / "m" / "mask@3.png", {"a": 1})
    assert read_masks([str(path)], None, "clip")[0].frame is None
    path = path.rename(path.with_name("mask.png"))
    assert read_masks([str(path)], None, "clip")[0].frame is None
    line = "its name mask.png names no frame of the video; give mask.png@FRAME"
    refused(DataError, line, read_masks, [str(path.parent)], None, "clip")
    assert read_masks([f"{path.parent}@6"], None, "clip")[0].frame == 6
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.write(path, "../.work/00004.png")  # as zip and Python store paths from elsewhere
        archive.write(path, "../.work/00009.png")
    words = [str(tmp_path / "m.zip")]
    assert [prompt.frame for prompt in read_masks(words, None, "clip")] == [4, 9]
    refused(DataError, "has 2 files: @FRAME is for a file of one frame", read_masks, [f"{words[0]}@3"], None, "clip")
