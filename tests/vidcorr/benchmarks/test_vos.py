"""Any labelled videos: dense and sparse masks, objects that enter later or overlap, the rules of each data set."""

import shutil
import zipfile

import pytest

from tests.helpers.words import SMALL
from vidcorr import VosBenchmark
from vidcorr.datasets.generated import write_youtube_vos


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    """YouTube-VOS's layout: a mask on every fifth frame, all frames beside them, objects that enter later."""
    return write_youtube_vos(tmp_path_factory.mktemp("sparse") / "data", 2, valid=0, frames=16, size=(64, 64))


SPARSE = {"split": None, "frames": "train_all_frames/JPEGImages", "masks": "train/Annotations"}


def test_objects_that_enter_later_are_not_given_where_the_rules_know_none(sparse):
    for rules, enter in (("youtube-vos", True), ("davis-2017", False)):
        videos = VosBenchmark(sparse, **SPARSE, rules=rules).sequences
        assert any(start for video in videos for start in video.starts.values()) == enter


def test_videos_without_a_mask_after_the_first_are_predicted_and_packed(davis_root, tmp_path):
    root = shutil.copytree(davis_root, tmp_path / "data")
    for mask in (root / "Annotations/480p").glob("*/0000[1-9].png"):
        mask.unlink()
    benchmark = VosBenchmark(root, None, "JPEGImages/480p", "Annotations/480p", limit_sequences=1, changes=SMALL)
    result = benchmark.evaluate("raw_colour", tmp_path / "out")
    assert (result.rows, result.scores) == ((), {})
    assert len([*tmp_path.glob("out/animations/*.webp")]) == 1
    with zipfile.ZipFile(tmp_path / "out/predictions.zip") as archive:
        assert archive.namelist() == [f"synthetic-000/{t:05d}.png" for t in range(6)]
