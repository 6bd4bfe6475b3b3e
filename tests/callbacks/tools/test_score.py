"""`vidcorr score`: masks on disk against masks on disk, by each set of rules."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from callbacks import DavisBenchmark, YoutubeVosBenchmark
from callbacks.tools.score import RULES, Rules, command, score
from datamodules.reading.errors import DataError
from datamodules.reading.mask_files import davis_palette, write_ids
from datamodules.synthetic import write_youtube_vos
from lightning_modules.backbones import build_feature_extractor
from tests.helpers.plain_masks import plain_score

SMALL = {"radius": 3, "context": 2}


def write_masks(folder, *masks):
    """Write masks as rows of digits: one row of pixels a frame, four pixels high."""
    folder.mkdir(parents=True, exist_ok=True)
    for t, row in enumerate(masks):
        write_ids(folder / f"{t:05d}.png", np.tile(np.array(list(row), np.uint8), (4, 1)), davis_palette())


@pytest.mark.parametrize(("missing", "key"), [(0, "seq"), (3, "seq_missing3")])
def test_the_official_numbers_to_the_last_bit(golden, tmp_path, missing, key):
    """Masks on disk against davis2017-evaluation's own table, one object lost in the second case."""
    davis = golden("davis_metrics")
    shape = davis["seq_shape"]
    objects, frames = shape[:2]
    ids = np.arange(1, objects + 1, dtype=np.uint8)[:, None, None, None]
    for folder, name in (("truth", "seq_gt"), ("mine", "seq_pred")):
        (tmp_path / folder / "bike").mkdir(parents=True)
        masks = (np.unpackbits(davis[name], count=shape.prod()).reshape(shape) * ids).max(0)
        if folder == "mine":
            masks[masks == missing] = 0
        for t in range(frames):
            write_ids(tmp_path / folder / "bike" / f"{t:05d}.png", masks[t], davis_palette())
    metric = score(tmp_path / "truth", tmp_path / "mine")
    np.testing.assert_array_equal(list(metric.compute().values()), davis[f"{key}_table"])
    for measure in "JF":
        found = [[row[f"{measure}-{name}"] for name in ("Mean", "Recall", "Decay")] for row in metric.rows()]
        np.testing.assert_array_equal(found, davis[f"{key}_{measure}_MRD"])


def test_real_masks_score_as_a_plain_scorer_scores_them(shared_data, tmp_path):
    """Two real sequences, a prediction that lags behind, every set of rules."""
    truth = shared_data / "davis" / "Annotations" / "480p"
    for name in ("dog", "horsejump-high"):
        files = sorted((truth / name).glob("*.png"))[:7]
        for folder, chosen in (("truth", files), ("mine", [files[0], *files[:-1]])):
            (tmp_path / folder / name).mkdir(parents=True)
            for file, source in zip(files, chosen, strict=True):
                shutil.copy(source, tmp_path / folder / name / file.name)
    for rules in RULES:
        metric = score(tmp_path / "truth", tmp_path / "mine", rules)
        plain = plain_score(tmp_path / "truth", tmp_path / "mine", **dataclasses.asdict(RULES[rules]))
        assert [row["Sequence"] for row in metric.rows()] == list(plain)
        found = [(row["J-Mean"], row["F-Mean"]) for row in metric.rows()]
        np.testing.assert_allclose(found, list(plain.values()), rtol=1e-12)
        assert 0.2 < metric.compute()["J&F-Mean"] < 0.95


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
