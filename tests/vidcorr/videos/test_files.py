"""Files are checked before they are opened or decoded; a partial file never has the name of a complete one.

Also tests `results/folder_lock.py`; `results/csv_files.py` is tested by the files of benchmarks and of results.
"""

import os
import re
import struct
from unittest.mock import Mock

import pytest
from PIL import Image

from tests.helpers.refusal import refused
from vidcorr.results.folder_lock import FolderInUse, FolderLock
from vidcorr.videos import files
from vidcorr.videos.files import DataError
from vidcorr.videos.images import image_size, open_image, read_image
from vidcorr.videos.masks import read_mask


def test_a_fault_of_our_code_reads_as_none_of_the_data():
    with pytest.raises(AttributeError), files.errors_at("a.png"):
        raise AttributeError("no such method")
    with pytest.raises(DataError, match=r"^a\.json: TypeError: a list$"), files.errors_at("a.json", *files.WRONG_JSON):
        raise TypeError("a list")


HOSTILE = ["a/b", "..", "nul\x00byte", "C:windows", "x" * 201, "é" * 101, " "]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_lead_elsewhere_are_refused(name):
    message = r"list\.txt: .* is not the plain name"
    assert refused(DataError, message, files.plain_name, name, "list.txt").isprintable()
    assert files.plain_name("x" * 200, "list.txt") == "x" * 200


def test_a_refused_name_of_more_than_80_characters_is_shown_in_part():
    for name, shown in (("/" * 80, "/" * 80), ("/" * 81, "/" * 77 + "...")):
        refused(DataError, re.escape(f"list.txt: '{shown}' is"), files.plain_name, name, "list.txt")


def test_bytes_of_an_archive_are_jpeg_or_png_and_a_file_may_be_of_any_kind(tmp_path):
    Image.new("L", (5, 4)).save(tmp_path / "a.gif")
    with open_image(tmp_path / "a.gif") as image:
        assert image.size == (5, 4)
    with pytest.raises(DataError, match=r"a\.gif: cannot be decoded"):
        open_image(tmp_path / "a.gif", (tmp_path / "a.gif").read_bytes()).__enter__()


def test_a_list_refuses_names_that_lead_elsewhere_or_no_names(tmp_path):
    path = tmp_path / "list.txt"
    for text, message in (("a\n../outside\n", "'../outside' is not the plain name"), ("\n", "the list is empty")):
        path.write_text(text)
        refused(DataError, rf"list\.txt: {message}", files.read_names, path)
    path.write_text("b\n\na\nb\n x y \n")
    assert files.read_names(path, r"(\w) \w") == ("b", "a", "x")


def test_names_become_folders(tmp_path):
    names = {"VFS, ResNet-18": "vfs-resnet-18", "dino+size=9": "dinoplus-size-9", "-.a.": "a", "é": "row"}
    assert {name: files.slug(name) for name in names} == names
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for name in ("link", "nothing"):
        files.remove(tmp_path / name)
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_huge_pictures_are_refused_by_their_headers(tmp_path, monkeypatch):
    path = tmp_path / "huge.jpg"
    Image.new("RGB", (16, 16)).save(path)
    content = bytearray(path.read_bytes())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", 65_500, 65_500)
    path.write_bytes(content)
    monkeypatch.setattr("cv2.imdecode", Mock(side_effect=AssertionError("decoding has begun")))
    for read in (read_image, read_mask, image_size):
        refused(files.DecodingError, "exceeds limit of", read, path)


def test_bytes_are_those_of_the_text(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("before")
    files.write_atomically(path, "é\r\n" + os.fsdecode(b"\xff\n"))
    assert path.read_bytes() == b"\xc3\xa9\r\n\xff\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_complete_or_not_at_all(tmp_path):
    def make(error=None):
        with files.unfinished(tmp_path / "made") as folder:
            folder.mkdir()
            (folder / "new").write_text("new")
            if error:
                raise error

    refused(OSError, "disk full", make, OSError("disk full"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "made").mkdir()
    make()
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["made", "made/new"]


@pytest.mark.parametrize("folder", [False, True])
def test_a_folder_that_holds_something_is_never_replaced(tmp_path, folder):
    """`score --json results/` once deleted the folder with all that was in it."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "old").write_text("old")

    def make():
        with files.unfinished(tmp_path / "made") as new:
            new.mkdir() if folder else new.write_text("file")

    refused(OSError, r"(?i)directory.*made", make)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["made", "made/old"]


def test_a_folder_is_locked_against_this_process_too(tmp_path):
    first = FolderLock(tmp_path)
    for _ in range(2):  # the end of a refused lock frees nothing
        refused(FolderInUse, "is in use by another run, whose files", FolderLock, tmp_path / "../" / tmp_path.name)
    first.release()
    first.release()
    FolderLock(tmp_path).release()
