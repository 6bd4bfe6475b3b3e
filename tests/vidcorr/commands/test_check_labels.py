"""Every kind of finding in labelled folders, in Python and as a command."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidcorr.commands.check_data import command
from vidcorr.commands.check_labels import LabelReport, check_labels
from vidcorr.datasets.generated import write_davis
from vidcorr.videos.guards import DataError

DAVIS = {"frames": "JPEGImages/480p", "masks": "Annotations/480p"}
FLAGS = ["--labels", "--frames", DAVIS["frames"], "--masks", DAVIS["masks"]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_davis(tmp_path / "own", 2, frames=6, size=(40, 56), sprites=(2, 2))


def mask(root: Path, t: int) -> Path:
    return root / f"Annotations/480p/synthetic-000/{t:05d}.png"


def check(root: Path) -> LabelReport:
    first, second = check_labels(root, **DAVIS)
    assert not second.problems
    return first


def test_clean_folders(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = check(root)
    assert (report.frames, report.masks, report.objects, report.problems) == (6, 6, (1, 2), ())
    assert report.starts == {1: "00000", 2: "00000"}
    command([str(root), *FLAGS, "--output", str(tmp_path / "checked")])
    assert "2 videos, 12 frames, 12 masks, 4 objects; 0 videos with problems" in capsys.readouterr().out
    saved = json.loads((tmp_path / "checked/labels.json").read_text())
    assert [video["name"] for video in saved["videos"]] == ["synthetic-000", "synthetic-001"]


def test_all_problems_of_a_video_are_found_at_once(root: Path, tmp_path: Path) -> None:
    Image.new("RGB", (56, 40), (9, 9, 9)).save(mask(root, 0))
    Image.new("L", (50, 40)).save(mask(root, 1))
    Image.fromarray(np.full((40, 56), 300, np.uint16)).save(mask(root, 2))
    mask(root, 3).write_bytes(b"nonsense")
    mask(root, 4).rename(mask(root, 77))
    (root / "JPEGImages/480p/synthetic-000/00005.jpg").write_bytes(b"\xff\xd8 cut")
    text = "\n".join(check(root).problems)
    for expected in (
        "00000.png: mask of mode RGB", "00001.png: mask is 50 × 40 px, its frame 00001.jpg 56 × 40",
        "00002.png: 16-bit mask",
        "00003.png: cannot be decoded as an image", "00077.png: mask without its frame", "00005.jpg: truncated JPEG",
    ):  # fmt: skip
        assert expected in text
    with pytest.raises(DataError, match=r"not all of it can be used; .*labels\.json"):
        command([str(root), *FLAGS, "--output", str(tmp_path / "checked")])


@pytest.mark.parametrize("value", [1, 255])
def test_an_object_without_a_frame_to_follow_it_in_is_a_problem(root: Path, value: int) -> None:
    for t in range(6):
        Image.fromarray(np.full((40, 56), value * (t == 5), np.uint8)).save(mask(root, t))
    assert check(root).problems == (
        f"{root}/JPEGImages/480p/synthetic-000: 1 frames from the first object on; needs at least 2",
    )


def test_oddities_that_may_be_right_are_noted(root: Path) -> None:
    mask(root, 5).unlink()
    values = np.array(Image.open(mask(root, 3)))
    values[0, :5] = 9
    values[1, :5] = 255
    Image.fromarray(values).save(mask(root, 3))  # grey: another palette
    report = check(root)
    assert report.problems == ()
    text = "\n".join(report.remarks)
    for expected in (
        "1 of 6 frames have no mask, the first is 00005", "ids have gaps: 1, 2, 9", "enter later: 9 at 00003",
        "255 (void, not scored) with other ids in 1 masks", "2 palettes",
    ):  # fmt: skip
        assert expected in text
