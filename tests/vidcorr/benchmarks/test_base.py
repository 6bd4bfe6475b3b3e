"""Mistakes in the data are reported before any work, with the file's path."""

import shutil
from unittest.mock import Mock

import pytest
import pytorch_lightning as pl
from torch import nn

import vidcorr
from callbacks import BenchmarkCallback
from lightning_modules import VFSSimSiam
from tests.helpers.benchmark_data import arguments_of
from tests.helpers.refusal import refused
from tests.helpers.training import TINY, loader
from tests.helpers.words import SMALL
from vidcorr import DavisBenchmark, JhmdbBenchmark, OtbBenchmark, VosBenchmark
from vidcorr.backbones import RawColour
from vidcorr.protocols import JointProtocol, PropagationProtocol
from vidcorr.videos.files import DataError


def test_a_sequence_too_short_to_score_is_named(davis_root, tmp_path, monkeypatch):
    root = shutil.copytree(davis_root, tmp_path / "davis")
    for kind in ("JPEGImages", "Annotations"):
        for path in sorted((root / kind / "480p/synthetic-001").iterdir())[2:]:
            path.unlink()
    message = "synthetic-001: rules davis-2017 score no object here; take the video out of the list"
    refused(DataError, message, DavisBenchmark(root, changes=SMALL).evaluate, RawColour())
    monkeypatch.setattr(DavisBenchmark, "score", Mock(side_effect=AssertionError("work has begun")))
    within_file = root / "ImageSets/2017/val.txt/out"
    refused(OSError, "Not a directory", DavisBenchmark(davis_root).evaluate, RawColour(), within_file)


def test_arguments_that_would_score_other_data_or_features_are_refused(davis_root, tmp_path):
    refused(ValueError, "limit_sequences must be at least 1", DavisBenchmark, davis_root, limit_sequences=-1)
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "Annotations").mkdir()
    refused(DataError, "Annotations: no folders of masks", VosBenchmark(tmp_path).evaluate, RawColour())
    refused(ValueError, "give stride or dilated", OtbBenchmark, tmp_path, stride=4, dilated=True)
    for parts in (["both"], []):
        refused(ValueError, r"parts is \[.*\]; name 'semantic'", vidcorr.VipBenchmark, tmp_path, parts=parts)
    twice = "raw_colour@colour/4 names its features, and so does davis"
    refused(ValueError, twice, DavisBenchmark(davis_root, stride=8).evaluate, "raw_colour@colour/4")


NOT_FINITE = {
    DavisBenchmark: r"synthetic-00\d: the labels of frame 1 are not finite",
    vidcorr.MatchBenchmark: "its features are not finite",
    vidcorr.NaviBenchmark: "features are not finite",
    OtbBenchmark: "is not finite; has the network diverged",
}


@pytest.mark.parametrize("benchmark", NOT_FINITE)
def test_features_that_are_not_finite_are_refused(benchmark, tmp_path):
    spoilt = nn.AvgPool2d(8)
    spoilt.register_forward_hook(lambda module, frames, found: found / 0)
    refused(ValueError, NOT_FINITE[benchmark], benchmark(**arguments_of(benchmark, tmp_path)).evaluate, spoilt)


@pytest.mark.parametrize(("benchmark", "field"), [(DavisBenchmark, "keypoint_sigma"), (JhmdbBenchmark, "first_frame")])
def test_a_change_of_a_field_that_nothing_reads_is_refused(benchmark, field):
    """It would give equal scores another name and another key."""
    refused(ValueError, f"has no field '{field}'", benchmark, "x", changes={field: 3})
    other = PropagationProtocol if benchmark is JhmdbBenchmark else JointProtocol
    own = other("own", 2, 5, 0.1, 3)
    refused(ValueError, f"'own' is a {other.__name__}; expected a", benchmark, "x", protocol=own)


def test_fast_dev_run_scores_a_sequence_per_batch_and_writes_nothing(davis_root, tmp_path):
    benchmark = BenchmarkCallback(DavisBenchmark(davis_root))
    trainer = pl.Trainer(default_root_dir=tmp_path, callbacks=[benchmark], fast_dev_run=True, accelerator="cpu")
    trainer.fit(VFSSimSiam(**TINY), loader(4, 2, frames=2, size=32))
    assert {row.video for row in benchmark.result.rows} == {"synthetic-000"}
    assert list(tmp_path.iterdir()) == []
    assert len(benchmark.benchmark.sequences) == 3
