"""Any labelled videos: dense and sparse masks, objects that enter later or overlap, the rules of each data set."""

import shutil
import zipfile
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from tests.helpers.benchmark_data import data_for
from tests.helpers.refusal import refused
from tests.helpers.sprite import read_masks
from tests.helpers.words import SMALL
from vidcorr import VosBenchmark
from vidcorr.datasets.generated import write_youtube_vos
from vidcorr.scoring.masks import score
from vidcorr.videos.files import DataError
from vidcorr.videos.masks import read_mask


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    """YouTube-VOS's layout: a mask on every fifth frame, all frames beside them, objects that enter later."""
    return write_youtube_vos(tmp_path_factory.mktemp("sparse") / "data", 2, valid=0, frames=16, size=(64, 64))


SPARSE = {"split": None, "frames": "train_all_frames/JPEGImages", "masks": "train/Annotations"}


def test_lvos_is_scored_by_its_metadata(tmp_path):
    """Every fifth frame by number, seen and unseen videos."""
    root = data_for("lvos", tmp_path)
    known = {"meta": root / "valid_meta.json", "unseen": root.parent / "unseen_videos.txt"}
    benchmark = VosBenchmark(root, rules="lvos", changes=SMALL, **known)
    videos, unseen, _ = benchmark.scoring_rules.metadata
    assert (list(videos), unseen) == (["synthetic-000", "synthetic-001"], {"synthetic-000"})
    (root / "Annotations/synthetic-000/00000005.png").unlink()
    message = "synthetic-000: the metadata counts frame 00000005, which has no mask"
    refused(DataError, message, benchmark.evaluate, "raw_colour")


def test_sa_v_follows_each_object_by_itself(tmp_path, monkeypatch):
    """A folder of masks per object, which overlap, on every fourth frame; one object enters with the second mask.

    The scores are those of `vidcorr score` for the predictions.
    """
    monkeypatch.setattr("vidcorr.benchmarks.masks.SequencePictures", Mock())
    root = data_for("sa_v", tmp_path)
    masks, late = root / "Annotations_6fps", root / "Annotations_6fps/synthetic-000/001"
    late.mkdir()
    for path in masks.glob("synthetic-000/000/*.png"):
        shape = np.roll(read_mask(path) > 0, 9, axis=1) & (path.stem != "00000")
        Image.fromarray(np.where(shape, 255, 0).astype(np.uint8)).save(late / path.name)
    options = {"rules": "sa-v", "changes": SMALL, "limit_sequences": 2}
    benchmark = VosBenchmark(root, "sav_val.txt", "JPEGImages_24fps", masks.name, **options)
    result, predictions = benchmark.evaluate("raw_colour", tmp_path / "out"), tmp_path / "out/predictions"
    by_command = score(masks, predictions, "sa-v", videos=["synthetic-000"])
    assert (result.scores, result.rows) == (by_command.scores, by_command.rows)
    assert result.data["rules"] == by_command.data["rules"]
    assert [row.name for row in result.rows] == ["synthetic-000_000", "synthetic-000_001"]
    found = {number: read_masks(predictions / "synthetic-000" / number) for number in ("000", "001")}
    assert len(found["000"]) == 16
    assert not found["001"][0].any()
    assert (found["000"][4] & found["001"][1]).any()  # a pixel may belong to two objects


def test_objects_that_enter_later_are_not_given_where_the_rules_know_none(sparse):
    for rules, enter in (("youtube-vos", True), ("vost", False)):
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


def test_rules_that_need_metadata_are_refused(davis_root):
    message = "rules 'lvos': expected one of davis-2017, .*vos-benchmark"
    assert "metadata" in refused(ValueError, message, VosBenchmark, davis_root, rules="lvos")
    assert "metadata" not in refused(ValueError, "rules 'lovs': expected", VosBenchmark, davis_root, rules="lovs")
