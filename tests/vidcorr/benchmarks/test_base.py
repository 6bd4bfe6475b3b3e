"""A run of a benchmark: mistakes are told before any work, a page may fail, rows are the container; conditions.

The conditions of the others are in test_numbers.py.
"""

import os
import shutil
from dataclasses import dataclass, replace
from unittest.mock import Mock

import pytest
import torch
from torch import nn

import vidcorr
from tests.helpers.benchmark_data import arguments_of, benchmark_classes
from tests.helpers.refusal import refused
from tests.helpers.words import SMALL
from vidcorr import Benchmark, DavisBenchmark, OtbBenchmark, Result, Row, VosBenchmark
from vidcorr.backbones import RawColour
from vidcorr.benchmarks import output
from vidcorr.benchmarks.ranks import Ranks
from vidcorr.datasets import Davis
from vidcorr.description import OF_RANDOM
from vidcorr.results.result import Network
from vidcorr.videos.files import DataError


def test_a_sequence_too_short_to_score_is_named(davis_root, tmp_path):
    root = shutil.copytree(davis_root, tmp_path / "davis")
    for kind in ("JPEGImages", "Annotations"):
        for path in sorted((root / kind / "480p/synthetic-001").iterdir())[2:]:
            path.unlink()
    message = "synthetic-001: rules davis-2017 score no object here; take the video out of the list"
    refused(DataError, message, DavisBenchmark(root, changes=SMALL).evaluate, RawColour())


def test_arguments_that_would_score_other_data_or_features_are_refused(davis_root, tmp_path):
    refused(ValueError, "limit_sequences must be at least 1", DavisBenchmark, davis_root, limit_sequences=-1)
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "Annotations").mkdir()
    refused(DataError, "expected masks in Annotations/<video>", VosBenchmark(tmp_path).evaluate, RawColour())
    refused(ValueError, "give stride or dilated", OtbBenchmark, tmp_path, stride=4, changes={"dilated": "text"})
    for parts in (["both"], []):
        refused(ValueError, r"parts is \[.*\]; name 'semantic'", vidcorr.VipBenchmark, tmp_path, parts=parts)
    twice = "raw_colour@colour/4 names its features, and so does davis"
    refused(ValueError, twice, DavisBenchmark(davis_root, stride=8).evaluate, "raw_colour@colour/4")


NOT_FINITE = {
    DavisBenchmark: r"synthetic-00\d: the labels of frame 1 are not finite",
    OtbBenchmark: "is not finite; has the network diverged",
}


@pytest.mark.parametrize("benchmark", NOT_FINITE)
def test_features_that_are_not_finite_are_refused(benchmark, tmp_path):
    spoilt = nn.AvgPool2d(8)
    spoilt.register_forward_hook(lambda module, frames, found: found / 0)
    refused(ValueError, NOT_FINITE[benchmark], benchmark(**arguments_of(benchmark, tmp_path)).evaluate, spoilt)


def test_a_result_within_a_training_ends_its_history(davis_root):
    benchmark = DavisBenchmark(davis_root, changes=SMALL, limit_sequences=1)
    with Ranks() as ranks:
        found = benchmark.run(RawColour(), Network(name="A"), output.Output(None), ranks=ranks, at=(3, 17))
    assert [(past.epoch, past.step) for past in found.history] == [(3, 17)]
    assert found.history[0].scores == found.scores


CONDITIONS = [
    (vidcorr.YoutubeVosBenchmark("x", split="train", all_frames=True), None, ["train", "all frames"]),
    (vidcorr.YoutubeVosBenchmark("x", split="holdout"), None, ["holdout", "0.05 of train", "5 unseen"]),
    (
        VosBenchmark("x", split="a.txt", rules="vos-benchmark", one_object=True),
        None,
        ["a.txt", "vos-benchmark", "one object"],
    ),
    (vidcorr.TapVidBenchmark("x"), {"set": "davis"}, ["davis"]),
]


@pytest.mark.parametrize(("benchmark", "facts", "words"), CONDITIONS)
def test_conditions_name_what_moves_a_score_beside_the_protocol(benchmark, facts, words):
    assert benchmark.conditions_in_words(facts or benchmark.facts([], None)) == words


@pytest.mark.parametrize("base", benchmark_classes(), ids=lambda kind: kind.__name__)
def test_a_subclass_over_other_data_states_none_of_its_bases_conditions(base):
    class Own(base):
        def read(self):
            return []

    class Named(base):
        name = "mine"

    class Stated(Own):
        conditions = {"version": "v{}"}  # noqa: RUF012

    every = dict.fromkeys(base.conditions, "ours") | {"version": 2, "rules": {"name": "ours"}}
    assert base.conditions
    assert Own("x").conditions_in_words(every) == Named("x").conditions_in_words(every) == []
    assert Stated("x").conditions_in_words(every) == ["v2"]


def test_a_network_by_name_leaves_the_random_state(davis_root):
    benchmark = DavisBenchmark(davis_root, changes=SMALL, limit_sequences=1)
    random_state = torch.random.get_rng_state()
    result = benchmark.evaluate("tests.helpers.encoders:TinyResNet")
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert (result.stage.layer, result.stage.stride) == ("res4", 8)
    assert result.stage.input == OF_RANDOM


def test_a_page_that_cannot_be_written_takes_no_scores_away(davis_root, tmp_path, monkeypatch):
    benchmark = DavisBenchmark(davis_root, changes=SMALL, limit_sequences=1)
    (tmp_path / "report.html").write_text("of an earlier run")
    monkeypatch.setattr(output, "write_report", Mock(side_effect=ZeroDivisionError("flaw")))
    assert benchmark.evaluate("raw_colour", tmp_path) == Result.load(tmp_path)
    assert not (tmp_path / "report.html").exists()


COPIES = {
    "the folder": (lambda folder, place: folder, 1),
    "a link": (lambda folder, place: place.symlink_to(folder) or folder, 1),
    "a copy of another name": (lambda folder, place: shutil.copytree(folder, place), 1),
    "a copy beside other files": (lambda folder, place: shutil.copytree(folder, place / "a") and place / "a", 1),
    "other frames": (lambda folder, place: shutil.copytree(folder.with_name("synthetic-002"), place), 0),
    "no frames": (lambda folder, place: place, 0),
}
"""What a training video is beside a scored folder of frames → where it lies, and how many are scored."""


@pytest.mark.parametrize("form", COPIES)
def test_copied_frames_of_a_scored_sequence_are_not_trained_on(form, davis_root, tmp_path):
    benchmark = DavisBenchmark(davis_root, limit_sequences=1)
    make, number = COPIES[form]
    place = make(davis_root / "JPEGImages/480p/synthetic-000", tmp_path / "video")
    assert benchmark.scored_among([os.path.realpath(place), "video"]) == [os.path.realpath(place)] * number


@dataclass(frozen=True)
class BrightnessBenchmark(Benchmark):
    """A user's benchmark: a reader, a row per sequence (the mean feature of a first frame), the meaning of rows."""

    name = "brightness"

    root: str

    def read(self):
        return Davis(self.root)

    def score(self, sequence, encoder, output):
        (features,) = encoder.maps([sequence.frame(0)])
        return [Row(video=sequence.name, values={"mean": features.mean().item()})]

    def scores(self, rows):
        return {"mean": sum(row.values["mean"] for row in rows) / len(rows)}


def test_a_benchmark_of_a_user_is_a_reader_rows_and_scores(davis_root, tmp_path):
    refused(ValueError, "BrightnessBenchmark: has no protocol", BrightnessBenchmark, davis_root, changes={"topk": 5})
    benchmark = BrightnessBenchmark(str(davis_root))
    result = benchmark.evaluate("raw_colour", tmp_path)
    assert Result.load(tmp_path) == result
    assert benchmark.scores(result.rows) == result.scores
    assert len(benchmark.held_out()) == len(benchmark.sequences)
    assert not result.without  # the mean of a column
    assert [row.video for row in result.rows] == [sequence.name for sequence in benchmark.sequences]
    assert result.declaration("mean").direction == "more"  # nothing is declared
    without = replace(benchmark, limit_sequences=1).evaluate("raw_colour").scores["mean"]
    assert without == result.rows[0].values["mean"]
