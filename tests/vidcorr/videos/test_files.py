"""A partial file never stands under the name of a complete one; progress without a terminal; cores of this process."""

import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from vidcorr.videos.files import csv_of_records, csv_text, partial_path, remove, unfinished, write_atomically


def test_bytes_are_those_of_the_text(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("before")
    write_atomically(path, "é\r\n" + os.fsdecode(b"\xff\n"))
    assert path.read_bytes() == b"\xc3\xa9\r\n\xff\n"
    assert list(tmp_path.iterdir()) == [path]


def test_csv_has_the_columns_of_all_records():
    records = [{"name": "a", "one": 0.5}, {"name": 'b "2", c', "two": None, "one": 1}]
    assert csv_of_records(records) == 'name,one,two\r\na,0.5,\r\n"b ""2"", c",1,\r\n'
    assert csv_text([("a", None), (1, 2.5)], "\n") == "a,\n1,2.5\n"


def test_a_folder_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    def make(error: OSError | None = None) -> None:
        with unfinished(tmp_path / "made") as folder:
            folder.mkdir()
            (folder / "new").write_text("new")
            if error:
                raise error

    with pytest.raises(OSError, match="disk full"):
        make(OSError("disk full"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "made").mkdir()
    make()
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["made", "made/new"]


@pytest.mark.parametrize("folder", [False, True])
def test_a_folder_that_holds_something_is_never_replaced(tmp_path: Path, folder: bool) -> None:
    """`score --json results/` once deleted the folder with all that was in it."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "old").write_text("old")

    def make() -> None:
        with unfinished(tmp_path / "made") as new:
            new.mkdir() if folder else new.write_text("file")

    with pytest.raises(OSError, match=r"(?i)directory.*made") as refusal:
        make()
    assert refusal.value.filename == str(tmp_path / "made")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["made", "made/old"]


@pytest.mark.parametrize("length", [1, 240, 254, 255])
def test_the_unfinished_place_has_a_permitted_name(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("é" * (length // 2) + "x" * (length % 2))
    for process in (None, 123456):
        place = partial_path(path, process)
        assert place.parent == tmp_path
        assert len(place.name.encode()) <= 255
        place.write_text("")
        remove(place)
        assert partial_path(path.with_name(path.name[:-1] + "y"), process) != place
    write_atomically(path, b"bytes")
    assert path.read_bytes() == b"bytes"


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(28, "No space left on device")  # as of a write to an open file, without a name
    monkeypatch.setattr(Path, "write_bytes", Mock(side_effect=full))
    with pytest.raises(OSError, match=r"No space left on device: .*results\.json"):
        write_atomically(tmp_path / "results.json", "{}")
    assert not list(tmp_path.iterdir())
