"""A run of a benchmark: its page; the random state stays; rows are the container."""

import logging
from dataclasses import dataclass, replace
from unittest.mock import Mock

import torch

from tests.helpers.refusal import refused
from tests.helpers.words import SMALL
from vidcorr import Benchmark, DavisBenchmark, Result, Row
from vidcorr.benchmarks import output
from vidcorr.datasets import Davis


def test_a_network_by_name_leaves_the_random_state_and_a_row_that_comes_twice_is_refused(davis_root):
    benchmark = DavisBenchmark(davis_root, changes=SMALL, limit_sequences=1)
    random_state = torch.random.get_rng_state()
    result = benchmark.evaluate("tests.helpers.encoders:TinyResNet")
    assert torch.equal(torch.random.get_rng_state(), random_state)
    refused(ValueError, "scored more than once: synthetic-000", benchmark.scores, result.rows * 2)
    assert (result.stage.layer, result.stage.stride, result.stage.normalised_by) == ("res4", 8, "")


def test_a_page_that_cannot_be_written_takes_no_scores_away(davis_root, tmp_path, monkeypatch, caplog):
    benchmark = DavisBenchmark(davis_root, changes=SMALL, limit_sequences=1)
    (tmp_path / "report.html").write_text("of an earlier run")
    monkeypatch.setattr(output, "write_report", Mock(side_effect=ZeroDivisionError("flaw")))
    with caplog.at_level(logging.INFO):
        assert benchmark.evaluate("raw_colour", tmp_path) == Result.load(tmp_path)
    assert not (tmp_path / "report.html").exists()
    assert "davis: report.html could not be written: flaw" in caplog.text
    assert f"davis: results are in {tmp_path}" in caplog.text
    output.Output(tmp_path).finish(Result.load(tmp_path))  # nothing of an earlier run


@dataclass(frozen=True)
class BrightnessBenchmark(Benchmark):
    """A user's benchmark: a reader, a row per sequence (the mean feature of a first frame), the meaning of rows."""

    name = "brightness"

    root: str

    def read(self):
        return Davis(self.root)

    def score(self, sequence, tracker, output):
        (features,) = tracker.features([sequence.frame(0)])
        return [Row(video=sequence.name, values={"mean": features.mean().item()})]

    def scores(self, rows):
        return {"mean": sum(row.values["mean"] for row in rows) / len(rows)}


def test_a_benchmark_of_a_user_is_a_reader_rows_and_scores(davis_root, tmp_path):
    refused(ValueError, "BrightnessBenchmark: has no protocol", BrightnessBenchmark, davis_root, changes={"topk": 5})
    benchmark = BrightnessBenchmark(str(davis_root))
    result = benchmark.evaluate("raw_colour", tmp_path)
    assert Result.load(tmp_path) == result
    assert benchmark.scores(result.rows) == result.scores
    assert (result.main_scores(), benchmark.conditions({}), benchmark.held_out()) == (["mean"], [], ())
    assert result.stage.normalised_by == ""  # no protocol, which would need it
    assert not result.without  # the mean of a column
    assert [row.video for row in result.rows] == [sequence.name for sequence in benchmark.sequences]
    without = replace(benchmark, limit_sequences=1).evaluate("raw_colour").scores["mean"]
    assert without == result.rows[0].values["mean"]
