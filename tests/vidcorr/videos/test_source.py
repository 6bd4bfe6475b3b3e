"""Folders and lists of videos: what is found, in which order, and what is wrong with a source."""

import os
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import cv2

from tests.helpers.numbered_videos import numbered_frame, read_number, write_folder
from tests.helpers.refusal import refused
from vidcorr.videos.files import DataError, DecodingError
from vidcorr.videos.folders import names_in
from vidcorr.videos.source import list_videos, open_video


def names(root, entries):
    return [Path(entry.file).relative_to(root).as_posix() for entry in entries]


def test_a_list_with_labels_and_spaces(tmp_path):
    for name in ("my dog 2.mp4", "b.mp4", "take 3", "\udcff.mp4"):
        (tmp_path / name).touch() if name.endswith("4") else write_folder(tmp_path / name, 2)
    lines = f"\nmy dog 2.mp4 7\n{tmp_path / 'b.mp4'},0\n{tmp_path}//b.mp4,3\n{tmp_path}/./take 3, 12\n\udcff.mp4 1\n"
    (tmp_path / "list.txt").write_bytes(os.fsencode(lines))
    entries = list_videos(tmp_path / "list.txt").entries
    assert names(tmp_path, entries) == ["my dog 2.mp4", "b.mp4", "b.mp4", "take 3", "\udcff.mp4"]
    assert [entry.file for entry in entries] == [str(Path(entry.file)) for entry in entries]
    assert [entry.label for entry in entries] == [7, 0, 3, 12, 1]


LISTS = {
    "\n": r"list\.txt: the list is empty",
    "a.mp4;3\n": r"list\.txt: .*a\.mp4;3 is no folder of frames and no video file",
    "a.mp4\na.pdf\n": r"a\.pdf is no folder",
    "a.mp4 1\nb.mp4\n": "1 of 2 lines have a label",
    "a.mp4\n.\n": "c.png and d.png have no order by number",
}


def test_a_list_in_another_form_is_refused(tmp_path):
    refused(DataError, rf"{tmp_path}: no folders of frames and no video files", list_videos, tmp_path)
    for name in ("a.mp4", "b.mp4", "a.pdf", "c.png", "d.png"):
        (tmp_path / name).touch()
    refused(DataError, r"gone\.mp4: no such file or folder", list_videos, tmp_path / "gone.mp4")
    (tmp_path / "x.zarr/0").mkdir(parents=True)
    (tmp_path / "x.nii.gz").touch()
    for name in ("x.zarr", "x.nii.gz"):
        refused(DataError, f"{name}: .*folder", open_video, tmp_path / name)
    refused(DataError, r"a\.pdf: not a folder or a list \(\.txt\)", list_videos, tmp_path / "a.pdf")
    for text, message in LISTS.items():
        (tmp_path / "list.txt").write_text(text)
        refused(DataError, message, list_videos, tmp_path / "list.txt")


def test_a_folder_is_listed_once_and_when_it_changes_and_of_a_list_the_first_alone(tmp_path, monkeypatch):
    """The listing of 3,000 frames takes longer than the reading of two."""
    listed = Mock(side_effect=names_in)
    monkeypatch.setattr("vidcorr.videos.folders.names_in", listed)
    folder = write_folder(tmp_path / "v", 3)
    entries = list_videos(tmp_path / "v").entries
    lengths = []
    for _ in range(3):
        with open_video(folder) as video:
            lengths.append(video.num_frames)
    assert listed.call_count == 1
    write_folder(folder, 4)
    os.utime(folder, ns=(0, folder.stat().st_mtime_ns + 1))
    with open_video(entries[0].file) as video:
        assert [*lengths, video.num_frames] == [3, 3, 3, 4]
        assert [Path(name).stem for name in video.names] == ["00", "01", "02", "03"]
        assert [read_number(frame) for frame in video.read([3, 1, 1, 40])] == [3, 1, 1, 3]
    for name in "abc":
        write_folder(tmp_path / name, 2)
    (tmp_path / "list.txt").write_text("a\nb\nc\n")
    listed.reset_mock()
    assert len(list_videos(tmp_path / "list.txt").entries) == 3
    assert [Path(call.args[0]).name for call in listed.call_args_list] == ["a"]


def test_pictures_of_two_sizes_are_refused(tmp_path):
    folder = write_folder(tmp_path / "v", 3)
    cv2.imwrite(str(folder / "01.png"), numbered_frame(1)[:16])
    with open_video(folder) as video:
        for check in (lambda: list(video.frames()), partial(video.read, [0, 1])):
            refused(DecodingError, r"01\.png: is 160 × 16 px, other frames 160 × 32 px", check)


def test_links_are_followed_and_no_folder_is_listed_twice(tmp_path):
    root = tmp_path / "root"
    for folder in (root / "a", root / "z", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
        (folder / "x.mp4").touch()
    for link, target in {"a/round": root, "a/z": root / "z", "b": tmp_path / "elsewhere"}.items():
        (root / link).symlink_to(target)
    (root / "c").symlink_to(tmp_path / "elsewhere")
    (root / "loop.mp4").symlink_to(root / "loop.mp4")
    entries = list_videos(root).entries
    assert names(root, entries) == ["a/x.mp4", "a/z/x.mp4", "b/x.mp4", "loop.mp4"]
    refused(DecodingError, r"loop\.mp4: cannot be opened as a video \(Too many levels", open_video, entries[3].file)
