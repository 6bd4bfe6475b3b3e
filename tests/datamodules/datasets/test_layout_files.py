"""Frames and lists of a layout."""

from pathlib import Path

import pytest

from datamodules.datasets.layout_files import list_pictures, read_list, read_names, require_sequences
from datamodules.reading.errors import DataError


def test_pictures_come_in_natural_order_without_hidden_and_other_files(tmp_path: Path) -> None:
    for name in ("10.jpg", "9.JPG", "2.png", ".3.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in list_pictures(tmp_path)] == ["2.png", "9.JPG", "10.jpg"]
    assert list_pictures(tmp_path / "nowhere") == ()


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


def test_missing_sequences_are_counted(tmp_path: Path) -> None:
    (tmp_path / "bear").mkdir()
    require_sequences(tmp_path, ["bear"], "val.txt")
    with pytest.raises(DataError, match=r"swing: sequence listed in val\.txt has no folder \(and 1 more\)"):
        require_sequences(tmp_path, ["bear", "swing", "walk"], "val.txt")
