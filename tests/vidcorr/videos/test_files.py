"""Files are checked before they are opened or decoded; a partial file never has the name of a complete one.

Also tests `videos/folder_lock.py`; `results/csv_files.py` is tested by the files of benchmarks and of results.
"""

import os
from pathlib import Path
from unittest.mock import Mock

import pytest
from PIL import Image

from tests.helpers.refusal import refused
from vidcorr.videos import files
from vidcorr.videos.files import DataError
from vidcorr.videos.folder_lock import FolderInUse, folder_lock
from vidcorr.videos.image_files import image_size, open_image, read_image
from vidcorr.videos.masks import read_mask


def test_bytes_of_an_archive_are_jpeg_or_png_and_a_file_may_be_of_any_kind(tmp_path):
    Image.new("L", (5, 4)).save(tmp_path / "a.gif")
    with open_image(tmp_path / "a.gif") as image:
        assert image.size == (5, 4)
    with pytest.raises(DataError, match=r"a\.gif: is GIF: frames and masks are JPEG or PNG"):
        open_image(tmp_path / "a.gif", (tmp_path / "a.gif").read_bytes()).__enter__()


def test_huge_pictures_are_refused_by_their_headers(tmp_path, monkeypatch):
    Image.new("RGB", (16, 16)).save(tmp_path / "huge.jpg")
    monkeypatch.setattr("cv2.imdecode", Mock(side_effect=AssertionError("decoding has begun")))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for read in (read_image, read_mask, image_size):
        refused(files.DecodingError, "exceeds limit of", read, tmp_path / "huge.jpg")


def test_bytes_are_those_of_the_text(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("before")
    files.write_atomically(path, "é\r\n" + os.fsdecode(b"\xff\n"))
    assert path.read_bytes() == b"\xc3\xa9\r\n\xff\n"
    assert list(tmp_path.iterdir()) == [path]


def make(path, is_folder=True, error=None):
    with files.unfinished(path) as new:
        new.mkdir() if is_folder else new.write_text("file")
        if error:
            raise error


def test_a_folder_appears_complete_or_not_at_all_and_only_in_the_place_of_an_empty_one(tmp_path):
    refused(OSError, "disk full", make, tmp_path / "made", error=OSError("disk full"))
    assert not list(tmp_path.iterdir())
    for _ in range(2):
        make(tmp_path / "made")
    (tmp_path / "made" / "old").write_text("old")
    for is_folder in (False, True):
        refused(OSError, r"(?i)directory.*made", make, tmp_path / "made", is_folder)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["made", "made/old"]


def test_a_folder_is_locked_against_this_process_too(tmp_path):
    with folder_lock(tmp_path):
        for _ in range(2):  # the end of a refused lock frees nothing
            refused(FolderInUse, "by another run, whose", folder_lock(tmp_path / "../" / tmp_path.name).__enter__)
    with folder_lock(tmp_path):
        pass


def test_a_fault_of_a_file_names_it_and_a_fault_of_ours_is_raised():
    def read(work):
        with files.errors_at("meta.json", *files.WRONG_JSON):
            work()

    refused(files.DataError, "^meta.json: has no 'objects'$", read, lambda: {}["objects"])
    refused(files.DataError, "^meta.json: TypeError: can only concatenate", read, lambda: [] + {})
    refused(ZeroDivisionError, "by zero", read, lambda: 1 / 0)


def test_a_full_disk_is_named_with_the_file(tmp_path):
    def write():
        with files.unfinished(tmp_path / "a.json"):
            Path("/dev/full").write_text("no room")

    disk = next(place for place in (tmp_path, *tmp_path.parents) if os.path.ismount(place))
    refused(files.FullDisk, f"^{tmp_path}/a.json could not be written: the disk at {disk} is full$", write)
    assert not list(tmp_path.iterdir())
