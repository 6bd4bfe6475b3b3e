"""Folders and lists of videos: what is found, in which order, and what is wrong with a source."""

import cv2
import pytest

from tests.helpers.numbered_videos import numbered_frame, read_number, write_folder
from tests.helpers.refusal import refused
from vidcorr.videos.files import DataError, DecodingError
from vidcorr.videos.images import read_image
from vidcorr.videos.source import FrameFolder, hashed_rank, list_videos, open_video


def names(root, entries):
    return [entry.path.relative_to(root).as_posix() for entry in entries]


def test_a_folder_is_searched_in_natural_order(tmp_path):
    for name in ("b/clip10.mp4", "b/clip9.MP4", "a.webm", "c/.hidden.mp4", "b/notes.txt", "b/cover.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    write_folder(tmp_path / "frames/x", 2)
    write_folder(tmp_path / "frames/y/z", 3, suffix=".jpg")
    entries = list_videos(tmp_path)
    assert names(tmp_path, entries) == ["a.webm", "b/clip9.MP4", "b/clip10.mp4", "frames/x", "frames/y/z"]
    assert all(entry.label is None for entry in entries)


def test_kinds_that_are_not_read_are_counted_and_thumbnails_are_not(tmp_path, recwarn):
    for name in ("a/x.gif", "a/Y.GIF", "b/1.webp", "b/2.webp", "b/3.webp", "c/film.webp", "c/.x.gif", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    told = "2 .gif, 4 .webp"
    assert refused(DataError, f"no videos here but {told}; expected", list_videos, tmp_path)
    (tmp_path / "c/film.mp4").touch()  # film.webp is its thumbnail
    assert names(tmp_path, list_videos(tmp_path)) == ["c/film.mp4"]
    (line,) = (str(warning.message) for warning in recwarn)
    assert line == f"{tmp_path}: 2 .gif, 3 .webp left out, not read here; convert them, for example by ffmpeg"


def test_the_order_by_hashes_is_for_ever():
    """It decides which videos are held out."""
    assert hashed_rank(3, "a/b.mp4").hex().startswith("6aa946b960d35f60")
    assert len({hashed_rank(seed, name) for seed in (0, 1) for name in ("a", "b", "\udcff.mp4")}) == 6


@pytest.mark.parametrize("separator", [" ", ",", "\t", ", "])
def test_a_list_with_labels_and_spaces(tmp_path, separator):
    for name in ("my dog 2.mp4", "b.mp4", "take 3"):
        (tmp_path / name).touch() if name.endswith("4") else write_folder(tmp_path / name, 2)
    lines = f"# all of them\n\nmy dog 2.mp4{separator}7\n{tmp_path / 'b.mp4'}{separator}0\ntake 3{separator}12\n"
    (tmp_path / "list.txt").write_text(lines)
    entries = list_videos(tmp_path / "list.txt")
    assert names(tmp_path, entries) == ["my dog 2.mp4", "b.mp4", "take 3"]
    assert [entry.label for entry in entries] == [7, 0, 12]


def test_what_is_wrong_with_a_source(tmp_path):
    message = r"nowhere: no such folder or list file; docs/datasets.md names the official page"
    assert refused(DataError, message, list_videos, tmp_path / "nowhere")
    assert refused(DataError, rf"{tmp_path}: no videos here", list_videos, tmp_path)
    for name in ("a.mp4", "b.mp4", "a.pdf"):
        (tmp_path / name).touch()
    assert refused(DataError, r"a\.mp4: a source is a folder of videos, or a list", list_videos, tmp_path / "a.mp4")
    listing = tmp_path / "list.txt"
    for text, message in (
        ("\n# nothing\n", "the list is empty"),
        ("a.mp4\n" + "".join(f"missing{i}.mp4\n" for i in range(5)), "line 2: no such file .*missing0.*; and 2 more$"),
        ("a.mp4\na.pdf 3\n", r"line 2: .*a\.pdf is not a video by its name"),
        ("a.mp4 1\nb.mp4\n", "1 of 2 lines have a label"),
    ):
        listing.write_text(text)
        assert refused(DataError, rf"list\.txt: {message}", list_videos, listing)


def test_what_is_wrong_with_a_folder_of_frames(tmp_path):
    write_folder(tmp_path / "one", 1)
    assert refused(DataError, r"one: 1 frame\(s\); a folder of frames needs at least 2", list_videos, tmp_path)
    write_folder(tmp_path / "one", 2, suffix=".jpg", digits=3)
    (tmp_path / "list.txt").write_text("one\n")
    refused(DataError, r"list\.txt: line 1: .*several kinds \(\.jpg, \.png\)", list_videos, tmp_path / "list.txt")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_frames_of_a_folder_by_number(tmp_path, suffix):
    folder = write_folder(tmp_path / "v", 12, suffix=suffix)
    with open_video(folder) as video:
        assert isinstance(video, FrameFolder)
        assert video.num_frames == 12
        frames = video.read([11, 2, 2, 40])
    assert [read_number(frame) for frame in frames] == [11, 2, 2, 11]
    assert frames[0].shape == (32, 160, 3)


def test_pictures_that_cannot_be_used(tmp_path):
    folder = write_folder(tmp_path / "v", 3)
    (folder / "1.png").write_bytes(b"no picture")
    (folder / "2.png").write_bytes(b"")
    with open_video(folder) as video:
        for i in (1, 2):
            assert refused(DecodingError, rf"{i}\.png: cannot be decoded as an image", video.read, [0, i])
    cv2.imwrite(str(folder / "1.png"), numbered_frame(1)[:16])
    with open_video(folder) as video:
        assert refused(DecodingError, r"1\.png: is 160 × 16 px, other frames 160 × 32 px", video.read, [0, 1])
    assert refused(DecodingError, r"gone\.png: cannot be read \(No such file", read_image, tmp_path / "gone.png")


def test_links_are_followed_and_no_folder_is_listed_twice(tmp_path):
    root = tmp_path / "root"
    for folder in (root / "a", root / "z", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
        (folder / "x.mp4").touch()
    for link, target in {"a/round": root, "a/z": root / "z", "b": tmp_path / "elsewhere"}.items():
        (root / link).symlink_to(target)
    (root / "c").symlink_to(tmp_path / "elsewhere")
    assert names(root, list_videos(root)) == ["a/x.mp4", "a/z/x.mp4", "b/x.mp4"]


def test_two_images_of_one_stem_are_refused(tmp_path):
    folder = write_folder(tmp_path / "v", 2)
    (folder / "1.jpg").touch()
    assert refused(DataError, r"1\.jpg and 1\.png have the same stem", open_video, folder)


def test_a_link_that_leads_to_itself_is_one_more_unusable_file(tmp_path):
    (tmp_path / "a.mp4").touch()
    for loop in ("loop", "loop.mp4"):
        (tmp_path / loop).symlink_to(tmp_path / loop)
    entries = list_videos(tmp_path)
    assert names(tmp_path, entries) == ["a.mp4", "loop.mp4"]
    refused(DecodingError, r"loop\.mp4: cannot be read \(Too many levels", open_video, entries[1].path)
