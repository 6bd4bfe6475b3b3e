"""Short trainings in memory that are stopped at a named position and resume from what was saved."""

import os
import signal
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LambdaCallback

from tests.helpers.training import InMemory, quiet_trainer, tiny_liir, tiny_moco
from vidcorr import Result, signals
from vidcorr.backbones import weights_digest
from vidcorr.benchmarks.base import Benchmark
from vidcorr.benchmarks.output import Output
from vidcorr.benchmarks.ranks import BenchmarkError
from vidcorr.callbacks import BenchmarkCallback, BestCheckpoint, LastCheckpoint, Stops, TrainingStopped
from vidcorr.lightning_modules import VFSSimSiam
from vidcorr.metrics import fractions
from vidcorr.results.result import Network

EPOCHS, BATCHES, BATCH_SIZE = 3, 3, 4


class Stop(NamedTuple):
    """A position in a run: a hook, and the batch (over all epochs) or the epoch."""

    hook: str
    number: int


def positions() -> list[Stop]:
    """All positions, in the order of a run: within each step, and around each epoch's validation and end."""
    found = []
    for epoch in range(EPOCHS):
        found += [Stop("step", epoch * BATCHES + batch) for batch in range(BATCHES)]
        found += [Stop(hook, epoch) for hook in ("validation", "validated", "epoch_end")]
    return found


def most_repeated(stop: Stop | None) -> int:
    """Return the largest number of batches that a run repeats after a stop by a signal.

    In and right before a validation those of the epoch; elsewhere none.
    """
    if stop is None:
        return 0
    is_last_batch = stop.hook == "step" and (stop.number + 1) % BATCHES == 0
    return BATCHES if is_last_batch or stop.hook == "validation" else 0


def striker(stop: Stop | None, kill: bool) -> pl.Callback:
    """Stops the run at a position: by SIGTERM, or as a kill does, which saves nothing."""

    def strike(*position: Any) -> None:
        if stop == position:
            if kill:
                raise TrainingStopped("killed")
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL, f"nothing handles the signal at {position}"
            os.kill(os.getpid(), signal.SIGTERM)

    def at(hook: str) -> Callable[..., Any]:
        return lambda trainer, *_: trainer.sanity_checking or strike(hook, trainer.current_epoch)

    return LambdaCallback(
        on_before_backward=lambda trainer, *_: strike(
            "step", trainer.fit_loop.epoch_loop.batch_progress.total.ready - 1
        ),
        on_validation_epoch_end=at("validation"),
        on_validation_end=at("validated"),
        on_train_epoch_end=at("epoch_end"),
    )


@dataclass(frozen=True)
class Counted(Benchmark):
    """A benchmark whose score is a function of the weights, with a picture; it can be stopped.

    Attributes:
        events: what happened, of others too.
        failing: numbers of events, from 1, with which a run fails.
    """

    name = "counted"
    declared = fractions("score")
    score = None  # only `run` is called
    scores = None

    events: list[Any]
    failing: tuple[int, ...] = ()

    def read(self) -> list[Any]:
        return []

    def view_options(self, encoder: Any) -> dict[str, Any]:
        object.__setattr__(self, "module", encoder)
        return super().view_options(encoder)

    def run(self, extractor: Any, description: Network, output: Output, at: Any = None, **options: Any) -> Result:
        signals.check()
        score = float(sum(parameter.double().sum() for parameter in self.module.state_dict().values()))
        self.events.append(("benchmark", at, score.hex()))
        if len(self.events) in self.failing:
            raise BenchmarkError("no room")
        output.pictures["frame"] = np.zeros((2, 2, 3), np.uint8)
        network = description.model_copy(update={"digest": weights_digest(extractor)})
        return Result(benchmark="counted", network=network, scores={"score": score})


class Events(pl.Callback):
    """Lists what happens in a run: losses to the last bit, validations, ends of epochs and of the run."""

    def __init__(self, events: list[Any]) -> None:
        self.events = events

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self.logged = trainer.fit_loop.epoch_loop._batches_that_stepped

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        videos = tuple(batch["video_index"].tolist())
        loss = float(outputs["loss"]).hex()
        self.events.append((trainer.current_epoch, batch_idx, trainer.global_step, self.logged, videos, loss))

    def on_validation_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if not trainer.sanity_checking:
            loss = float(trainer.callback_metrics["val/loss"]).hex()
            logged = trainer.fit_loop.epoch_loop._batches_that_stepped
            self.events.append(("validated", trainer.current_epoch, trainer.global_step, logged, loss))

    def on_train_epoch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.events.append(("epoch ended", trainer.current_epoch, trainer.global_step))

    def on_train_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.events.append(("run ended", trainer.current_epoch, trainer.global_step))


def make(method: str, accumulated: int) -> pl.LightningModule:
    torch.manual_seed(0)
    if method == "VFSSimSiam":
        return VFSSimSiam("tests.helpers.training:Tiny", projector_dim=8, predictor_dim=4)
    if method == "VFSMoCo":
        return tiny_moco(BATCH_SIZE * 2 * accumulated * 2)
    return tiny_liir(schedule={"warmup_epochs": 1, "warmup_accumulation": accumulated})


def go(
    method: str,
    folder: Path,
    accumulated: int = 1,
    start: Path | None = None,
    stop: Stop | None = None,
    kill: bool = False,
    every: int = 2,
    more: Sequence[pl.Callback] = (),
    scored: bool = True,
    **options: Any,
) -> tuple[list[Any], bool]:
    """Train, and return what happened and whether the run finished.

    Args:
        method: "VFSSimSiam", "VFSMoCo" or "Liir"; every method is stopped in tests/lightning_modules/test_methods.py.
        folder: of `last.ckpt`.
        accumulated: batches per optimiser step.
        start: checkpoint to resume from.
        stop: position of the stop.
        kill: save nothing at the stop.
        every: of `LastCheckpoint`.
        more: callbacks.
        scored: have the benchmark, and keep the best checkpoint.
        options: of the Trainer.
    """
    events: list[Any] = []
    callbacks = [striker(stop, kill)]
    if scored:
        callbacks.append(BenchmarkCallback(Counted(events), before_training=True))
    callbacks += [Events(events), *deepcopy(more), LastCheckpoint(every, folder), Stops()]
    if scored:
        callbacks.append(BestCheckpoint("counted/score", dirpath=folder / "best"))
    data = InMemory(BATCHES * BATCH_SIZE, BATCH_SIZE, 2, 16)
    settings = {"max_epochs": EPOCHS, "accumulate_grad_batches": 1 if method == "Liir" else accumulated} | options
    trainer = quiet_trainer(
        callbacks=callbacks, default_root_dir=folder, enable_checkpointing=True, num_sanity_val_steps=0, **settings
    )
    try:
        trainer.fit(make(method, accumulated), datamodule=data, ckpt_path=start, weights_only=True)
    except (TrainingStopped, signals.Stopped):
        return events, False
    return events, True


def in_slurm(patch: pytest.MonkeyPatch, **variables: str) -> None:
    """Let this process be the only task of a job of SLURM."""
    of_task = {"NTASKS": "1", "JOB_NAME": "train", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    for name, value in (of_task | variables).items():
        patch.setenv(f"SLURM_{name}", value)


def content(folder: Path) -> dict[str, Any]:
    """Return the content of the newest `last.ckpt` that has to agree: counters as they are read, no names of files."""
    newest = max(folder.glob("last*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    found = torch.load(newest, weights_only=True)
    counters = found["loops"]["fit_loop"]
    epochs, batches = counters["epoch_progress"]["current"], counters["epoch_loop.batch_progress"]
    logged = counters["epoch_loop.state_dict"]["_batches_that_stepped"]
    # within the hook in which Lightning's own callbacks save, the batch and its step are not counted yet
    logged += batches["current"]["completed"] < batches["current"]["ready"]
    place = {"epoch": epochs["processed"], "logged": logged, "batches": batches["total"]["ready"]}
    state = {key: found[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step")}
    state |= {"place": place, "benchmarks": found.get("benchmarks")}
    return state


def joined(done: list[Any], more: list[Any], whole: list[Any], repeats: int | None = None) -> list[Any]:
    """Join what a run did with what it did once it was resumed, which may repeat a little; both are as in `whole`.

    Args:
        done: events up to the stop.
        more: events after the resume.
        whole: events of the uninterrupted run.
        repeats: largest number of batches that may be repeated.
    """
    start = whole.index(more[0]) if more else len(done)
    assert whole[start : start + len(more)] == more
    assert whole[:start] == done[:start]
    assert start <= len(done)
    assert repeats is None or sum(isinstance(event[0], int) for event in done[start:]) <= repeats
    return whole[: max(start + len(more), len(done))]
