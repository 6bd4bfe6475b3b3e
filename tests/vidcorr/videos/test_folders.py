"""Names in folders: which are data, and the order of frames, for every reader."""

import json
import os
import re
from pathlib import Path

import pytest

import vidcorr.datasets
import vidcorr.videos
from tests.helpers.refusal import refused
from vidcorr.datasets import Jhmdb
from vidcorr.datasets.generated import write_jhmdb
from vidcorr.datasets.generated.writers import write_text
from vidcorr.videos.files import DataError
from vidcorr.videos.folders import list_frames, list_images, names_in
from vidcorr.videos.source import FrameFolder, list_videos

READERS = [*Path(vidcorr.datasets.__file__).parent.glob("*.py"), *Path(vidcorr.videos.__file__).parent.glob("*.py")]


@pytest.mark.parametrize("reader", READERS, ids=lambda path: path.stem)
def test_readers_list_folders_by_the_one_rule(reader):
    listing = re.findall(r".*\b(?:iterdir|listdir|scandir|walk|r?glob)\(.*", reader.read_text())
    assert len(listing) == (reader.stem == "folders"), listing


def test_what_systems_leave_behind_is_no_data(tmp_path):
    root = write_jhmdb(tmp_path / "data", 1, frames=3, size=(32, 32))
    frames = root / "Rename_Images"
    before = [sequence.frames for sequence in Jhmdb(root)], list_videos(frames).entries
    for path in list(root.rglob("*")):
        for name in (f"__MACOSX/{path.name}", f".ipynb_checkpoints/{path.name}", f"._{path.name}", ".DS_Store"):
            write_text(path.parent / name, [])
    assert before == ([sequence.frames for sequence in Jhmdb(root)], list_videos(frames).entries)


def test_only_regular_files_and_folders_are_data(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    for target in ("folder", "file.png", "pipe.png", "gone.png"):
        (tmp_path / f"link-{target}").symlink_to(tmp_path / target)
    assert names_in(tmp_path / "gone") == ([], [])
    assert names_in(tmp_path) == (["folder", "link-folder"], ["file.png", "link-file.png", "link-gone.png"])
    (tmp_path / "dog").symlink_to(tmp_path / "nowhere")  # a folder of frames or masks, which would be passed over
    refused(DataError, f"{tmp_path}/dog: a link to {tmp_path}/nowhere, which does not exist", names_in, tmp_path)


NAMES = json.loads(Path(__file__).with_name("orders.json").read_text())
"""Names of frames → why their order is refused; names in a folder → why it is no video, by every door."""


@pytest.mark.parametrize(("names", "message"), NAMES["orders"])
def test_an_order_with_two_readings_is_refused(names, message, tmp_path):
    for name in names:
        (tmp_path / name).touch()
    if message:
        refused(DataError, message, list_images, tmp_path)
    else:
        assert [path.name for path in list_images(tmp_path)] == names


@pytest.mark.parametrize(("names", "message"), NAMES["videos"])
def test_a_folder_is_a_video_by_one_rule_of_names(names, message, tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    for open_frames in (list_frames, FrameFolder):
        if message is None:
            open_frames(folder)
        else:
            refused(DataError, message, open_frames, folder)
    if message is None:
        assert [Path(entry.file) for entry in list_videos(tmp_path).entries] == [folder]
    else:
        refused(DataError, "no folders of frames" if names == ["notes.txt"] else message, list_videos, tmp_path)


def test_images_beside_films_are_no_frames(tmp_path):
    for name in ("film.mp4", "other.mp4", "film_1.jpg", "film_2.jpg"):
        write_text(tmp_path / name, [])
    assert [Path(entry.file).name for entry in list_videos(tmp_path).entries] == ["film.mp4", "other.mp4"]


def test_a_video_below_frames_is_refused_for_training(tmp_path):
    write_text(tmp_path / "dog/0.png", [])
    write_text(tmp_path / "dog/old/0.png", [])
    refused(DataError, "gone: no such folder", list_frames, tmp_path / "gone")
    refused(DataError, "dog: holds frames, and the video .*dog/old lies below it", list_videos, tmp_path, strict=False)
