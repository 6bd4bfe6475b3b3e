"""`vidcorr score`: masks on disk against masks on disk, by each set of rules."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from callbacks import DavisBenchmark, YoutubeVosBenchmark
from callbacks.tools.score import Rules, command, score
from datamodules.reading.errors import DataError
from datamodules.reading.mask_files import davis_palette, write_ids
from datamodules.synthetic import write_youtube_vos
from lightning_modules.backbones import build_feature_extractor

SMALL = {"radius": 3, "context": 2}


def write_masks(folder, *masks):
    """Write masks as rows of digits: one row of pixels a frame, four pixels high."""
    folder.mkdir(parents=True, exist_ok=True)
    for t, row in enumerate(masks):
        write_ids(folder / f"{t:05d}.png", np.tile(np.array(list(row), np.uint8), (4, 1)), davis_palette())


@pytest.fixture(scope="module")
def predicted(davis_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("predicted")
    benchmark = DavisBenchmark(davis_root, changes=SMALL)
    return benchmark.evaluate(build_feature_extractor("raw_colour"), folder), folder / "predictions"


def test_the_predictions_of_a_benchmark_score_as_it_scored_them(davis_root, predicted, tmp_path):
    scores, folder = predicted
    assert score(davis_root / "Annotations" / "480p", folder).compute() == scores
    command([str(davis_root / "Annotations" / "480p"), str(folder), "--output", str(tmp_path), "--workers", "1"])
    assert json.loads((tmp_path / "results.json").read_text())["scores"] == scores


def test_davis_2016_merges_the_objects(davis_root, tmp_path):
    truth = davis_root / "Annotations" / "480p"
    alone = DavisBenchmark(davis_root, year=2016, split=None, changes=SMALL)
    scores = alone.evaluate(build_feature_extractor("raw_colour"), tmp_path)
    assert score(truth, tmp_path / "predictions", "davis-2016").compute() == scores


def test_objects_that_enter_later_are_scored_after_their_first_mask(tmp_path):
    root = write_youtube_vos(tmp_path / "data", 4, valid=0, frames=21, size=(64, 64))
    benchmark = YoutubeVosBenchmark(root, "train", changes=SMALL)
    benchmark.evaluate(build_feature_extractor("raw_colour"), tmp_path / "out")
    metric = score(root / "train" / "Annotations", tmp_path / "out" / "predictions", "youtube-vos")
    measures = ("Sequence", "J-Mean", "F-Mean")
    assert [[row[key] for key in measures] for row in metric.rows()] == [
        [row[key] for key in measures] for row in benchmark.results.rows
    ]


def test_ends_in_and_out_by_hand(tmp_path):
    """J of the frames is 1, 1/2, 1 and 0; without the ends the mean is that of 1/2 and 1."""
    write_masks(tmp_path / "truth" / "a", "1100", "1100", "1100", "1100")
    write_masks(tmp_path / "mine" / "a", "1100", "1000", "1100", "0011")
    assert score(tmp_path / "truth", tmp_path / "mine").compute()["J-Mean"] == 0.75
    ends = Rules(ends_scored=True)
    assert score(tmp_path / "truth", tmp_path / "mine", ends).compute()["J-Mean"] == 0.625


def test_a_gap_in_the_ids_counts_as_the_official_tool_counts_it(tmp_path):
    write_masks(tmp_path / "truth" / "a", "1300", "1300", "1300")
    write_masks(tmp_path / "mine" / "a", "1300", "1000", "1300")
    rows = score(tmp_path / "truth", tmp_path / "mine").rows()
    assert [(row["Sequence"], row["J-Mean"]) for row in rows] == [("a_1", 1.0), ("a_2", 1.0), ("a_3", 0.0)]


def blank(size, value=0):
    return lambda path: write_ids(path, np.full(size, value, np.uint8), davis_palette())


@pytest.mark.parametrize(
    ("file", "spoil", "message"),
    [
        ("00001.png", Path.unlink, "1 of 4 masks are missing, first 00001.png"),
        ("00002.png", lambda path: path.write_bytes(b"no picture"), "00002.png"),
        ("00002.png", blank((64, 32)), "00002.png: is 64 × 32 px, the annotation 64 × 64"),
        ("00003.png", blank((64, 64), 9), "00003.png: holds id 9; the sequence has the objects 1"),
        ("", shutil.rmtree, "4 of 4 masks are missing"),
    ],
)
def test_a_bad_prediction_is_named(davis_root, predicted, tmp_path, file, spoil, message):
    shutil.copytree(predicted[1], tmp_path / "mine")
    spoil(tmp_path / "mine" / "synthetic-000" / file)
    with pytest.raises(DataError, match=message):
        score(davis_root / "Annotations" / "480p", tmp_path / "mine")


def test_a_wrong_folder_and_unknown_rules_are_named(davis_root, tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        score(davis_root / "nowhere", tmp_path)
    with pytest.raises(DataError, match="no folders of masks"):
        score(tmp_path, tmp_path)
    with pytest.raises(ValueError, match="expected one of davis-2017"):
        score(davis_root, tmp_path, "davis")
