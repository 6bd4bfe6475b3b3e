"""The DAVIS benchmark from the extractor to the files, with and without a Trainer."""

import logging
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from callbacks import BenchmarkCallback, BestCheckpoint
from lightning_modules import VFSSimSiam
from tests.helpers.refusal import refused
from tests.helpers.training import EMPTY, TINY, fit_in, trainer_in
from tests.helpers.words import SMALL
from vidcorr import DavisBenchmark, Result
from vidcorr.metrics.rules import RULES


def test_a_failure_ends_validate_and_not_fit(davis_root, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(DavisBenchmark, "score", Mock(side_effect=ValueError("synthetic-000: broken")))
    run = trainer_in(tmp_path, BenchmarkCallback(DavisBenchmark(davis_root)))
    refused(ValueError, "synthetic-000: broken", run.validate, VFSSimSiam(**TINY), EMPTY, verbose=False)
    benchmark = BenchmarkCallback(DavisBenchmark(davis_root, stage="res4"))
    best = BestCheckpoint(dirpath=tmp_path / "none")
    with caplog.at_level(logging.ERROR):
        fit_in(tmp_path, benchmark, best)
    assert "davis failed; the training continues: synthetic-000: broken" in caplog.text
    assert "Traceback" in caplog.text
    assert not benchmark.history
    assert not (tmp_path / "none").exists()


def test_masks_of_a_white_object_alone_make_the_year_2016():
    white, ids = SimpleNamespace(void=None), SimpleNamespace(void=255)
    for masks, year in (([], 2017), ([white], 2016), ([white, ids], 2017), ([None], 2017)):
        benchmark = DavisBenchmark("anywhere")
        vars(benchmark)["sequences"] = [SimpleNamespace(masks=each) for each in masks]
        stated = {"year": year, "split": "val", "resolution": "480p", "rules": RULES[f"davis-{year}"].stated()}
        assert benchmark.facts([], None) == stated
    naf = DavisBenchmark("anywhere", protocol="naf")
    vars(naf)["sequences"] = [SimpleNamespace(masks=white)]
    assert (naf.facts([], None)["year"], naf.facts([], None)["rules"]) == (2016, RULES["naf"].stated())


@pytest.mark.slow
def test_a_resumed_run_keeps_the_scores_from_before(davis_root, tmp_path):
    benchmark = DavisBenchmark(davis_root, changes=SMALL, limit_sequences=1)
    first = BenchmarkCallback(benchmark, before_training=True)
    second = BenchmarkCallback(benchmark, before_training=True)
    fit_in(tmp_path, first).save_checkpoint(tmp_path / "state.ckpt")
    fit_in(tmp_path, second, max_epochs=2, ckpt_path=tmp_path / "state.ckpt")
    assert list(first.history) == [0, 2]
    assert list(second.history) == [0, 2, 4]
    assert {step: second.history[step] for step in (0, 2)} == first.history
    past = Result.load(second.folder).history
    assert [(result.epoch, result.step) for result in past] == [(0, 0), (1, 2), (2, 4)]
    assert past[1].scores["J&F-Mean"] == first.history[2]["davis/J&F-Mean"]
