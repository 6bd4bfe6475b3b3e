"""Benchmarks in several processes over gloo: scores with every bit in sight, and failures."""

import os
import signal
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

from callbacks import BenchmarkCallback, BestCheckpoint
from lightning_modules import VFSSimSiam
from tests.helpers.training import TINY, quiet_trainer
from vidcorr import BenchmarkError, DavisBenchmark
from vidcorr.benchmarks.base import Benchmark


class FailsOnLast(DavisBenchmark):
    """A benchmark of which one rank cannot read one of its sequences."""

    def score(self, sequence, tracker, output):
        if dist.get_rank() == dist.get_world_size() - 1:
            self.act(sequence)
        return super().score(sequence, tracker, output)

    def act(self, sequence):
        """Act before a sequence, on the last rank."""
        raise ValueError(f"{sequence.name}: broken")


class KilledOnLast(FailsOnLast):
    """A benchmark of which one rank is killed while it follows a sequence."""

    def act(self, sequence):
        os.kill(os.getpid(), signal.SIGKILL)


def bits(scores: dict[str, float]) -> dict[str, str]:
    return {key: value.hex() for key, value in scores.items()}


def evaluate(kind: type[Benchmark], arguments: dict[str, Any], folder: str | None = None) -> dict[str, str]:
    """Scores as hexadecimal digits, or the error that ended the benchmark."""
    try:
        return bits(kind(**arguments).evaluate("raw_colour", folder, shared=True).scores)
    except BenchmarkError as error:
        return {"error": str(error)}


def evaluate_on(rank: int, kind: type[Benchmark], arguments: dict[str, Any], folder: str) -> dict[str, str]:
    """Evaluate as one of several processes, whose own group works on afterwards."""
    results = evaluate(kind, arguments, folder)
    alive = torch.tensor(1.0)
    dist.all_reduce(alive)
    assert alive.item() == dist.get_world_size()
    return results


class FailsInFirstEpoch(FailsOnLast):
    """The last rank fails on its sequences while `BROKEN` is set."""

    def act(self, sequence):
        if BROKEN:
            super().act(sequence)


class BreaksIt(BenchmarkCallback):
    """The benchmark fails in the first epoch and in `validate`."""

    def on_validation_epoch_end(self, trainer, pl_module):
        BROKEN[:] = [True] if trainer.state.fn == "validate" or trainer.current_epoch == 0 else []
        super().on_validation_epoch_end(trainer, pl_module)


BROKEN: list[bool] = []


def fit_and_validate_on(rank: int, arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    """Fit two epochs and validate on two ranks; return the scores, the error of `validate` and the checkpoints."""
    benchmark = BreaksIt(FailsInFirstEpoch(**arguments, stage="res4", stride=8))
    ranks = {"strategy": "ddp", "devices": 2, "default_root_dir": folder, "enable_checkpointing": True}
    callbacks = [benchmark, BestCheckpoint(dirpath=folder)]
    trainer = quiet_trainer(callbacks=callbacks, max_epochs=2, num_sanity_val_steps=0, **ranks)
    torch.manual_seed(1)
    loader = DataLoader([{"clip": torch.rand(2, 3, 32, 32)} for _ in range(8)], batch_size=2)
    module, empty = VFSSimSiam(**TINY), DataLoader([{}], batch_size=None)
    trainer.fit(module, loader, empty)
    outcome: dict[str, Any] = {"history": {step: bits(scores) for step, scores in benchmark.history.items()}}
    try:
        trainer.validate(module, empty, verbose=False)
    except BenchmarkError as error:
        outcome["error"] = str(error)
    return outcome | {"checkpoints": sorted(path.name for path in Path(folder).glob("*.ckpt"))}
