"""Half a file is never where a whole one is looked for."""

import os

import pytest

from datamodules.reading.writing import write_whole


def test_bytes_are_those_of_the_text(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("before")
    write_whole(path, "é\r\n" + os.fsdecode(b"\xff\n"))
    assert path.read_bytes() == b"\xc3\xa9\r\n\xff\n"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half" * 10_000 + "\ud800")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
