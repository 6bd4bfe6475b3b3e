"""The callback of a benchmark; with data and files it is tested in tests/vidcorr/benchmarks."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

from callbacks import BenchmarkCallback
from cli import main
from lightning_modules import VFSSimSiam
from tests.helpers.benchmark_data import data_for
from tests.helpers.stops import Counted
from tests.helpers.training import TINY, Clips, quiet_trainer
from tests.helpers.words import clips, flags
from vidcorr import Result
from vidcorr.experiments.configured import CONFIGS


@dataclass(frozen=True)
class Noted(Counted):
    """Writes the score of each rank."""

    folder: Path = Path()

    def run(self, network: Any, *args: Any, **options: Any) -> Any:
        found = super().run(network, *args, **options)
        (self.folder / f"rank{dist.get_rank()}").write_text(found.results[0].scores["score"].hex())
        return found


def test_all_ranks_score_the_first_ranks_buffers_after_the_last_step(tmp_path):
    """DDP copies buffers before a forward pass; after the last step there is none."""
    torch.set_num_threads(1)
    callback = BenchmarkCallback(Noted([], tmp_path))
    options = {"strategy": "ddp_fork", "devices": 2, "default_root_dir": tmp_path, "limit_val_batches": 0}
    trainer = quiet_trainer(callbacks=[callback], max_steps=2, **options)
    trainer.fit(VFSSimSiam(**TINY), DataLoader(Clips(8, 2, 32), batch_size=2))
    scores = [(tmp_path / f"rank{rank}").read_text() for rank in range(2)]
    assert scores[0] == scores[1]


def test_ranks_are_not_advised_to_average_equal_scores(tmp_path):
    callback = BenchmarkCallback(Counted([]))
    trainer = quiet_trainer(callbacks=[callback], default_root_dir=tmp_path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        callback.setup(trainer, VFSSimSiam(**TINY), "validate")
        for name in (f"{callback.name}/score", "own/score"):
            warnings.warn(f"It is recommended to use `self.log({name!r}, ..., sync_dist=True)`", stacklevel=1)
    assert ["own/score" in str(each.message) for each in told] == [True]


# Every config of a benchmark, by `--on`

ENCODERS = {
    "davis_blocks_r18": "torchvision:resnet18",
    "davis_blocks_r50": "torchvision:resnet50",
    "davis_liir": "vidcorr.backbones.liir_encoder:LiirEncoder",
}
"""Config → encoder with the stages that it names; the others take a small ResNet."""
CONFIGURED = sorted(path.stem for path in (CONFIGS / "benchmarks").glob("*.yaml"))
QUICK = ("otb_all",)


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmarks")


@pytest.mark.parametrize("command", ["fit", "validate", "evaluate"])
@pytest.mark.parametrize(
    "config", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CONFIGURED]
)
def test_every_config_runs_by_on(command, config, generated, video_folder, tmp_path):
    encoder = ENCODERS.get(config, TINY["backbone"])
    on = ["--on", f"{config}={data_for(config, generated)}", "--limit", "2"]
    if command == "evaluate":
        main([command, encoder, *on, "--output", str(tmp_path)])
    else:
        words = ["--model=VFSSimSiam", f"--model.backbone={encoder}", *flags("trainer", accelerator="cpu", max_steps=1)]
        if command == "fit":
            words += clips(video_folder, validation_fraction=0.3)
        main([command, *words, f"--trainer.default_root_dir={tmp_path}", *on])
    results = [path for path in tmp_path.rglob("results.json") if "step=000000" not in str(path) or command != "fit"]
    assert len(results) == 1
    assert Result.load(results[0].parent).scores
