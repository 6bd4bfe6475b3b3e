"""The meta.json of YouTube-VOS: categories and first frames, and files that are not one."""

import json
from pathlib import Path
from typing import Any

import pytest

from datamodules.datasets.youtube_vos_meta import read_meta
from datamodules.reading.errors import DataError


def write(folder: Path, videos: Any) -> Path:
    path = folder / "meta.json"
    path.write_text(json.dumps({"videos": videos}))
    return path


def test_categories_and_first_frames(tmp_path: Path) -> None:
    dog, hidden = {"category": "dog", "frames": ["00010", "00005"]}, {"frames": ["00000"]}
    path = write(tmp_path, {"a": {"objects": {"1": dog, "2": hidden, "3": {"category": "cat", "frames": []}}}})
    assert read_meta(path) == {"a": {1: ("dog", 5), 2: ("", 0)}}


@pytest.mark.parametrize("videos", [[], {"a": {}}, {"a": {"objects": {"one": {"frames": ["0"]}}}}, {"a": None}])
def test_another_file_is_named(videos: Any, tmp_path: Path) -> None:
    path = write(tmp_path, videos)
    with pytest.raises(DataError, match=r"not a YouTube-VOS meta\.json") as refused:
        read_meta(path)
    assert str(refused.value).startswith(f"{path}: ")


def test_names_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"meta\.json"):
        read_meta(write(tmp_path, {"../a": {"objects": {}}}))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file; unpack the complete archive"):
        read_meta(tmp_path / "meta.json")
