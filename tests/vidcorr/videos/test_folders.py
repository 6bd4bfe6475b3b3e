"""Names in folders: which are data, and the order of frames, for every reader."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.readers import READERS
from tests.helpers.refusal import refused
from vidcorr.commands.score_masks import score
from vidcorr.datasets import Davis, Vos
from vidcorr.datasets.generated import write_davis
from vidcorr.datasets.records import Reader
from vidcorr.metrics.rules import RULES
from vidcorr.videos.files import DataError, write_ids
from vidcorr.videos.folders import list_images
from vidcorr.videos.palettes import davis_palette
from vidcorr.videos.source import list_videos

STRAY_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")
STRAY_FOLDERS = ("__MACOSX", "@eaDir", "@tmp", ".git", ".ipynb_checkpoints")


def test_each_reader_of_sequences_is_walked():
    """A class between `Reader` and another reader counts by its subclasses."""
    classes = {reader.__name__ for reader in Reader.__subclasses__()}
    assert classes <= set(READERS)


def stray(root: Path) -> None:
    """Put into each folder what systems and programs leave there, with copies of its files."""
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        files = [path for path in folder.iterdir() if path.is_file()][:1]
        folders = [path for path in folder.iterdir() if path.is_dir()][:1]
        for name in STRAY_FILES:
            (folder / name).write_bytes(b"\0")
        for name in STRAY_FOLDERS:
            (folder / name).mkdir()
            for path in files:
                shutil.copy(path, folder / name / path.name)
                shutil.copy(path, folder / f"._{path.name}")
            for path in folders:
                (folder / name / path.name).mkdir()
                for file in [file for file in path.iterdir() if file.is_file()][:2]:
                    shutil.copy(file, folder / name / path.name / file.name)


@pytest.mark.parametrize("reader", READERS)
def test_what_systems_leave_behind_is_no_data(reader, tmp_path):
    write, read = READERS[reader]
    root = write(tmp_path / "data")
    before = read(root)
    stray(root)
    assert read(root) == before


UNPADDED = [name for name in READERS if name not in ("Badja", "classes of images")]
"""Readers that order frames by their names; BADJA's file names them in order."""


@pytest.mark.parametrize("reader", UNPADDED)
def test_frames_are_in_the_order_of_their_numbers(reader, tmp_path):
    write, read = READERS[reader]
    root = write(tmp_path / "data")
    before = read(root)
    for path in [*root.rglob("*.jpg"), *root.rglob("*.png")]:
        path.rename(path.with_name(f"{int(path.stem)}{path.suffix}"))
    assert read(root) == before


def mask(path: Path, column: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = np.zeros((16, 24), np.uint8)
    ids[4:12, column : column + 8] = 1
    write_ids(path, ids, davis_palette())


@pytest.mark.parametrize("rules", [name for name, rules in RULES.items() if not rules.needs_meta])
def test_names_without_zeros_score_alike_or_are_refused(rules, tmp_path):
    """Text order puts 10 before 2: an official code that sorts as text would give other scores."""
    for padded in (True, False):
        for t in range(12):
            name = f"{t:05d}.png" if padded else f"{t}.png"
            mask(tmp_path / str(padded) / "truth" / "dog" / name, t)
            mask(tmp_path / str(padded) / "mine" / "dog" / name, t // 2)
    expected = score(tmp_path / "True/truth", tmp_path / "True/mine", rules).scores
    folders = tmp_path / "False/truth", tmp_path / "False/mine"
    if RULES[rules].sorts_as_text:
        said = refused(DataError, "frame 9 comes before frame 10 by its number", score, *folders, rules)
        assert "truth/dog" in said
    else:
        assert score(*folders, rules).scores == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("1.png", "01.png"), "are files of the same number"),
        (("1.png", "1.jpg"), "have the same stem"),
        (("0.5.png", "0.25.png", "0.75.png"), "order of .* is unclear"),
        (("t0.5.png", "t0.25.png", "t0.75.png"), "order of .* is unclear"),
        (("-2.png", "-1.png", "0.png", "1.png"), "order of .* is unclear"),
    ],
)
def test_an_order_with_two_readings_is_refused(names, message, tmp_path):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert refused(DataError, message, list_images, tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("9.png", "10.png"),
        ("img.png", "img1.png", "img2.png", "img10.png"),
        ("frame_1_a.png", "frame_2_a.png", "frame_10_a.png"),
        ("08.png", "9.png", "010.png"),
        ("1.25.png", "1.50.png", "2.00.png"),
        ("0.png", "0.5.png", "1.png"),
        ("frame-1.png", "frame-2.png", "frame-10.png"),
        ("v1.2_9.png", "v1.2_10.png"),
        ("\u0662.png", "\u0661\u0660.png"),
    ],
)
def test_names_in_order(names, tmp_path):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in list_images(tmp_path)] == list(names)


def test_masks_beside_folders_are_refused(tmp_path):
    for t in range(3):
        mask(tmp_path / "Annotations/dog" / f"{t}.png", t)
        mask(tmp_path / "JPEGImages/dog" / f"{t}.png", t)
        mask(tmp_path / "mine/dog" / f"{t}.png", t)
    mask(tmp_path / "mine/dog/old/0.png", 9)
    mask(tmp_path / "JPEGImages/dog/old/0.png", 9)
    assert [video.name for video in Vos(tmp_path)] == ["dog"]
    assert score(tmp_path, tmp_path / "mine", "youtube-vos").scores["J-Mean"] == 1
    mask(tmp_path / "Annotations/dog/old/0.png", 9)
    for read in (Vos, lambda root: score(root, tmp_path / "mine"), lambda root: score(root, tmp_path / "mine", "sa-v")):
        refused(DataError, r"dog: holds the mask 0\.png and the folder old", read, tmp_path)


def test_a_video_below_frames_is_refused_for_training(tmp_path):
    for t in range(3):
        mask(tmp_path / "dog" / f"{t}.png", t)
        mask(tmp_path / "dog/masks" / f"{t}.png", t)
    refused(DataError, "dog: holds frames, and the video .*dog/masks lies below it", list_videos, tmp_path)


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize("place", ["root", "folder", "mask", "predicted folder", "predicted mask"])
def test_a_name_in_another_unicode_form_is_named_as_such(place, tmp_path):
    """Both forms look the same, so that "no such folder" alone is a riddle."""
    root = write_davis(tmp_path / "davis", 1, frames=3, size=(32, 32))
    (name,) = (root / "ImageSets/2017/val.txt").read_text().split()
    frames = root / "JPEGImages/480p"
    truth = root / "Annotations/480p"
    mine = shutil.copytree(truth, tmp_path / "mine")
    frame = sorted((truth / name).iterdir())[1].name
    if place == "root":
        root = root.rename(tmp_path / DECOMPOSED).with_name(COMPOSED)
    if place == "folder":
        (root / "ImageSets/2017/val.txt").write_text(f"{COMPOSED}\n")
        for folder in (frames, truth):
            (folder / name).rename(folder / DECOMPOSED)
    if place == "mask":
        (frames / name / frame).with_suffix(".jpg").rename(frames / name / f"{COMPOSED}1.jpg")
        (truth / name / frame).rename(truth / name / f"{DECOMPOSED}1.png")
    if place == "predicted folder":
        (truth / name).rename(truth / COMPOSED)
        (mine / name).rename(mine / DECOMPOSED)
    if place == "predicted mask":
        (truth / name / frame).rename(truth / name / f"00001{COMPOSED}.png")
        (mine / name / frame).rename(mine / name / f"00001{DECOMPOSED}.png")
    action = [score, truth, mine] if place.startswith("predicted") else [Davis, root]
    refused(DataError, "another Unicode form .NFC or NFD.: rename it", *action)
