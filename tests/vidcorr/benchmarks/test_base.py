"""Mistakes in the data are reported before any work, with the file's path."""

import re
import shutil
import subprocess
import sys

import pytest
import pytorch_lightning as pl
import torch

from callbacks import BenchmarkCallback
from lightning_modules import FrozenEncoder, VFSSimSiam
from tests.helpers.benchmark_ranks import KINDS
from tests.helpers.folders import held
from tests.helpers.refusal import refused
from tests.helpers.training import TINY, loader, trainer_in
from vidcorr import DavisBenchmark
from vidcorr.backbones import build_encoder
from vidcorr.videos.folder_lock import FolderLock
from vidcorr.videos.guards import DataError

MASKS = "Annotations/480p/synthetic-001"


class Untouched(DavisBenchmark):
    def start(self, extractor, context):
        raise AssertionError("work has begun")


def validate(benchmark, folder):
    trainer_in(
        folder, benchmark if isinstance(benchmark, BenchmarkCallback) else BenchmarkCallback(benchmark)
    ).validate(FrozenEncoder("raw_colour"), verbose=False)


def test_a_sequence_too_short_to_score_is_named_before_any_work(davis_root, tmp_path):
    root = shutil.copytree(davis_root, tmp_path / "davis")
    for kind in ("JPEGImages", "Annotations"):
        for path in sorted((root / kind / "480p/synthetic-001").iterdir())[2:]:
            path.unlink()
    message = f"{root}/{MASKS}: 2 masks, but by rules davis-2017 neither the first nor the last is scored"
    assert refused(DataError, re.escape(message), validate, BenchmarkCallback(Untouched(root)), tmp_path)


def test_a_folder_that_cannot_be_written(davis_root, tmp_path):
    (tmp_path / "file").write_text("")
    assert refused(
        OSError,
        "file",
        validate,
        BenchmarkCallback(Untouched(davis_root), output_dir=tmp_path / "file" / "results"),
        tmp_path,
    )


def test_two_runs_in_one_output_dir_are_refused_and_an_error_frees_it(davis_root, tmp_path):
    benchmark = BenchmarkCallback(Untouched(davis_root), output_dir=tmp_path / "out")
    with held(tmp_path / "out"):
        refused(OSError, "give each run its own output_dir", validate, benchmark, tmp_path)
    for _ in range(2):
        with pytest.raises(AssertionError, match="work has begun"):
            validate(benchmark, tmp_path)
    FolderLock(tmp_path / "out").release()  # raises where the folder is still held


def test_a_stage_that_the_backbone_does_not_have_is_told_before_training(davis_root, tmp_path):
    trainer = trainer_in(tmp_path, BenchmarkCallback(Untouched(davis_root, stage="res9")))
    refused(ValueError, "stage 'res9'", trainer.fit, VFSSimSiam(**TINY), loader(1, 1, frames=2, size=32))
    assert trainer.global_step == 0


def test_fast_dev_run_scores_a_sequence_per_batch_and_writes_nothing(davis_root, tmp_path):
    benchmark = BenchmarkCallback(DavisBenchmark(davis_root))
    trainer = pl.Trainer(default_root_dir=tmp_path, callbacks=[benchmark], fast_dev_run=True, accelerator="cpu")
    trainer.fit(VFSSimSiam(**TINY), loader(4, 2, frames=2, size=32))
    assert {row.video for row in benchmark.result.rows} == {"synthetic-000"}
    assert list(tmp_path.iterdir()) == []
    assert len(benchmark.benchmark.sequences) == 3


WITHOUT_LIGHTNING = """
import sys
root, folder = sys.argv[1:]
LIGHTNING = ("pytorch_lightning", "lightning_fabric", "lightning", "torchmetrics")
import importlib.metadata
for name in LIGHTNING:
    sys.modules[name] = None
def version(package, known=importlib.metadata.version):
    if package == "pytorch-lightning":
        raise importlib.metadata.PackageNotFoundError(package)
    return known(package)
importlib.metadata.version = version
import vidcorr
for name in ("Badja", "Jhmdb", "Otb", "TapVid", "Vip", "Vos", "YoutubeVos"):
    getattr(vidcorr, f"{name}Benchmark")
from vidcorr.backbones import build_encoder
benchmark = vidcorr.DavisBenchmark(root, limit_sequences=1, changes={"radius": 3, "context": 2})
result = benchmark.evaluate(build_encoder("torchvision:resnet18"), folder)
assert vidcorr.Result.load(folder) == result
assert not [name for name in LIGHTNING if sys.modules.get(name)]
"""


@pytest.mark.slow
def test_the_evaluation_needs_no_lightning(davis_root, tmp_path):
    words = [sys.executable, "-c", WITHOUT_LIGHTNING, str(davis_root), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert {"results.json", "per_sequence.csv", "predictions", "report.html"} <= {p.name for p in tmp_path.iterdir()}


SLOWLY = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("jhmdb", "vip", "tap_vid", "otb")]


@pytest.mark.parametrize("kind", ["davis", *SLOWLY])
def test_scores_do_not_depend_on_torchs_default_type(kind, tmp_path):
    write, make = KINDS[kind]
    root = write(tmp_path / "data", 1, frames=4, size=(48, 64))
    network = build_encoder("tests.helpers.encoders:TinyResNet" if kind == "davis" else "raw_colour")
    scores = make(root).evaluate(network).scores
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert make(root).evaluate(network).scores == scores
    finally:
        torch.set_default_dtype(torch.float32)
