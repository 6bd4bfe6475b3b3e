"""Files are checked before they are opened or decoded; a partial file never has the name of a complete one.

Also tests `results/folder_lock.py`; `results/csv_files.py` is tested by the files of benchmarks and of results.
"""

import json
import os
import struct
import zlib
from functools import partial
from unittest.mock import Mock

import pytest
from PIL import Image

from tests.helpers.refusal import refused
from vidcorr.datasets import Jhmdb, YoutubeVos
from vidcorr.datasets.generated import write_got10k, write_jhmdb, write_youtube_vos
from vidcorr.datasets.got10k import list_sequences
from vidcorr.results.folder_lock import FolderInUse, FolderLock
from vidcorr.videos import files
from vidcorr.videos.files import DataError
from vidcorr.videos.images import image_size, read_image
from vidcorr.videos.masks import read_mask


def test_a_fault_of_our_code_reads_as_none_of_the_data():
    with pytest.raises(AttributeError), files.errors_at("a.png"):
        raise AttributeError("no such method")
    with pytest.raises(DataError, match=r"^a\.json: TypeError: a list$"), files.errors_at("a.json", *files.WRONG_JSON):
        raise TypeError("a list")


HOSTILE = ["a/b", "..", "nul\x00byte", "C:windows", "x" * 300]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_lead_elsewhere_are_refused(name):
    message = r"list\.txt: .* is not the plain name"
    assert refused(DataError, message, files.plain_name, name, "list.txt").isprintable()


LISTS = {
    "YouTube-VOS": (
        write_youtube_vos,
        YoutubeVos,
        "valid/meta.json",
        lambda name: json.dumps({"videos": {name: {"objects": {"1": {"category": "cat", "frames": ["00000"]}}}}}),
    ),
    "JHMDB": (write_jhmdb, Jhmdb, "splits/walk_test_split1.txt", "{}.avi 2".format),
    "GOT-10k": (write_got10k, partial(list_sequences, subset="train"), "train/list.txt", str),
}
"""Data set → what writes it, what reads it, its list, and a line of the list from a name."""


@pytest.mark.parametrize("dataset", LISTS)
def test_readers_refuse_names_that_lead_elsewhere(tmp_path, dataset):
    write, read, listed, line = LISTS[dataset]
    write(root := tmp_path / "root", 1, frames=11, size=(32, 32))
    (root / listed).parent.mkdir(exist_ok=True)
    (root / listed).write_text(line("../outside"))
    assert refused(DataError, "is not the plain name", read, root).isprintable()


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_huge_pictures_are_refused_by_their_headers(tmp_path, kind, monkeypatch):
    path = tmp_path / f"huge.{kind}"
    Image.new("RGB", (16, 16)).save(path)
    content = bytearray(path.read_bytes())
    if kind == "png":
        content[16:24] = struct.pack(">II", 32_000, 32_000)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    else:
        place = content.index(b"\xff\xc0") + 5
        content[place : place + 4] = struct.pack(">HH", 65_500, 65_500)
    path.write_bytes(content)
    monkeypatch.setattr("cv2.imdecode", Mock(side_effect=AssertionError("decoding has begun")))
    for read in (read_image, read_mask, image_size):
        assert refused(files.DecodingError, "exceeds limit of", read, path)


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
