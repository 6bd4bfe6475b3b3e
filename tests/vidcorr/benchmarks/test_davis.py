"""The DAVIS benchmark from the extractor to the files, with and without a Trainer."""

import logging
from unittest.mock import Mock

from tests.helpers.refusal import refused
from tests.helpers.training import EMPTY, TINY, fit_in, trainer_in
from vidcorr import DavisBenchmark
from vidcorr.callbacks import BenchmarkCallback
from vidcorr.lightning_modules import VFSSimSiam
from vidcorr.metrics.rules import RULES


def test_a_failure_ends_validate_and_not_fit(davis_root, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(DavisBenchmark, "score", Mock(side_effect=ValueError("synthetic-000: broken")))
    run = trainer_in(tmp_path, BenchmarkCallback(DavisBenchmark(davis_root)))
    refused(ValueError, "synthetic-000: broken", run.validate, VFSSimSiam(**TINY), EMPTY, verbose=False)
    benchmark = BenchmarkCallback(DavisBenchmark(davis_root, stage="res4"))
    with caplog.at_level(logging.ERROR):
        fit_in(tmp_path, benchmark)
    assert "davis failed; the training continues: synthetic-000: broken" in caplog.text
    assert "Traceback" in caplog.text
    assert not benchmark.history


def test_the_year_decides_the_rules(davis_root):
    """A year of a config, not the masks: DAVIS-2016 is the benchmark `davis_2016`."""
    for protocol, year in (("vfs", 2016), ("vfs", 2017), ("naf", 2016)):
        benchmark = DavisBenchmark("anywhere", year, protocol=protocol)
        rules = RULES["naf" if protocol == "naf" else f"davis-{year}"].stated()
        assert benchmark.facts([], None) == {"year": year, "split": "val", "resolution": "480p", "rules": rules}
