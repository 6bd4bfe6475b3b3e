"""Frames and lists of a layout."""

from pathlib import Path

import pytest

from datamodules.datasets.layout_files import (
    list_frames,
    match_masks,
    read_list,
    read_names,
    require_all_masks,
)
from datamodules.reading.errors import DataError


def test_lists_are_stripped_and_hold_each_line_once(tmp_path: Path) -> None:
    path = tmp_path / "val.txt"
    path.write_text("bear\n\n  swing \nbear\n")
    assert read_list(path, "look there") == ("bear", "swing")
    with pytest.raises(DataError, match=r"other\.txt: no such list; look there"):
        read_list(tmp_path / "other.txt", "look there")
    path.write_text("\n")
    with pytest.raises(DataError, match="the list is empty"):
        read_list(path, "look there")
    path.write_text("../bear\n")
    with pytest.raises(DataError, match=r"'\.\./bear' is not the plain name"):
        read_names(path, "look there")


def test_a_sequence_has_frames_and_masks_named_after_them(tmp_path: Path) -> None:
    for name in ("f/00000.jpg", "f/00005.jpg", "m/00005.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    frames = list_frames(tmp_path / "f")
    masks = match_masks(tmp_path / "m", frames)
    assert masks == {1: tmp_path / "m/00005.png"}
    with pytest.raises(DataError, match=r"m: 1 masks for 2 frames, the first without one is 00000\.jpg; unpack them"):
        require_all_masks(tmp_path / "m", masks, frames, "unpack them")
    (tmp_path / "m/00003.png").touch()
    with pytest.raises(DataError, match=r"00003\.png: mask without its frame in .*f; add the frame or remove the mask"):
        match_masks(tmp_path / "m", frames)
    frames[0].unlink()
    with pytest.raises(DataError, match="f: 1 frames; a sequence needs at least 2"):
        list_frames(tmp_path / "f")
