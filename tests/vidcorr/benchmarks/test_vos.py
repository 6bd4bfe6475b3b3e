"""Any labelled videos: dense and sparse masks, objects that enter later or overlap, the rules of each data set."""

import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.helpers.benchmark_data import data_for
from tests.helpers.refusal import refused
from tests.helpers.words import SMALL
from vidcorr import Result, VosBenchmark
from vidcorr.datasets.generated import write_youtube_vos
from vidcorr.scoring.masks import score
from vidcorr.videos.files import DataError
from vidcorr.videos.masks import read_mask


def scored_as_by_the_command(benchmark, folder, masks, rules, **data):
    """Score raw colour; the scores must be those of `vidcorr score` for the predictions in the folder."""
    result = benchmark.evaluate("raw_colour", folder)
    by_command = score(masks, folder / "predictions", rules, **data)
    assert result.scores == by_command.scores
    assert result.rows == by_command.rows
    assert Result.load(folder).data["rules"] == by_command.data["rules"]
    return result


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    """YouTube-VOS's layout: a mask on every fifth frame, all frames beside them, objects that enter later."""
    return write_youtube_vos(tmp_path_factory.mktemp("sparse") / "data", 2, valid=0, frames=16, size=(64, 64))


SPARSE = {"split": None, "frames": "train_all_frames/JPEGImages", "masks": "train/Annotations"}


@pytest.mark.slow
def test_lvos_is_scored_by_its_metadata(tmp_path):
    """Every fifth frame by number, seen and unseen videos."""
    root = data_for("lvos", tmp_path)
    known = {"rules": "lvos", "meta": root / "valid_meta.json"}
    unseen = root.parent / "unseen_videos.txt"
    benchmark = VosBenchmark(root, **known, unseen=unseen, changes=SMALL)
    videos = set(unseen.read_text().split())
    scores = scored_as_by_the_command(benchmark, tmp_path / "out", root / "Annotations", **known, unseen=videos).scores
    assert scores["J-seen-Mean"] != scores["J-unseen-Mean"]
    (root / "Annotations/synthetic-000/00000005.png").unlink()
    message = "synthetic-000: the metadata counts frame 00000005, which has no mask"
    refused(DataError, message, VosBenchmark(root, **known, changes=SMALL).evaluate, "raw_colour")


@pytest.mark.slow
def test_sa_v_follows_each_object_by_itself(tmp_path):
    """A folder of masks per object, which overlap, on every fourth frame; one object enters with the second mask."""
    root = data_for("sa_v", tmp_path)
    frames, masks = root / "JPEGImages_24fps", root / "Annotations_6fps"
    for path in sorted(masks.rglob("*.png")):
        shape = np.roll(read_mask(path) > 0, 9, axis=1) & (path.stem != "00000")
        (path.parents[1] / "001").mkdir(exist_ok=True)
        Image.fromarray(np.where(shape, 255, 0).astype(np.uint8)).save(path.parents[1] / "001" / path.name)
    benchmark = VosBenchmark(root, "sav_val.txt", frames.name, masks.name, rules="sa-v", changes=SMALL)
    result = scored_as_by_the_command(benchmark, tmp_path / "out", masks, "sa-v")
    assert [row.name for row in result.rows][:2] == ["synthetic-000_000", "synthetic-000_001"]
    first, late = (tmp_path / "out/predictions/synthetic-000" / number for number in ("000", "001"))
    assert len(list(first.iterdir())) == len(list((frames / "synthetic-000").iterdir()))
    assert not read_mask(late / "00000.png").any()
    assert (read_mask(first / "00004.png") & read_mask(late / "00004.png")).any()  # a pixel may belong to two objects
    assert 0 < result.scores["J&F"] < 1


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
    with zipfile.ZipFile(tmp_path / "out/predictions.zip") as archive:
        assert archive.namelist() == [f"synthetic-000/{t:05d}.png" for t in range(6)]


def test_rules_that_need_metadata_are_refused(davis_root):
    message = "rules 'lvos': expected one of davis-2017, .*vos-benchmark"
    assert refused(ValueError, message, VosBenchmark, davis_root, rules="lvos")
