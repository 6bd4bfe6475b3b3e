"""Runs of `vidcorr fit` that something happens to, and what they leave behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from tests.helpers.method_steps import arguments_of
from tests.helpers.words import flags

METHODS = {
    "VFSSimSiam": arguments_of("VFSSimSiam"),
    "VFSMoCo": arguments_of("VFSMoCo"),
    "Liir": arguments_of("Liir") | {"position_size": 16, "schedule": {"warmup_epochs": 1}},
}
"""Methods that every test of stops takes; `words` takes any."""

STATE = ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step")
"""Fields of a checkpoint that a resumed run keeps."""


STRUCK = "STRUCK"
"""Variable of the environment: the last step of a harm that has happened, of which a resumed run keeps the words."""


def has_happened(step: int) -> bool:
    """Return whether a harm at a step belongs to an earlier start of the run."""
    return step <= int(os.environ.get(STRUCK, "-1"))


class Curve(pl.Callback):
    """Writes the loss of each step of rank 0, to the last bit, to a file that a kill cannot take back."""

    def __init__(self, path: str) -> None:
        self.path = path

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *args: Any) -> None:
        if not trainer.is_global_zero:  # each rank has its own loss
            return
        with open(self.path, "a") as file:
            file.write(f"{trainer.global_step} {trainer.current_epoch} {float(outputs['loss']).hex()}\n")


class Strike(pl.Callback):
    """Sends this process, or its group, a signal in a certain step.

    Args:
        name: of the signal.
        step: optimiser steps before it.
        place: `step` (before the weights change), `end` (after), `validation`, `benchmark` (before its network has
            seen a frame).
        group: to the workers too.
        rank: the process that it comes from.
    """

    def __init__(self, name: str, step: int, place: str = "step", group: bool = False, rank: int = 0) -> None:
        self.signal, self.step, self.place, self.group, self.rank = getattr(signal, name), step, place, group, rank

    def strike(self, trainer: pl.Trainer, place: str) -> None:
        is_here = (trainer.global_step, place, trainer.global_rank) == (self.step, self.place, self.rank)
        if is_here and not has_happened(self.step):
            if self.group:
                os.killpg(os.getpgid(0), self.signal)
            else:
                os.kill(os.getpid(), self.signal)

    def on_before_optimizer_step(self, trainer: pl.Trainer, *args: Any) -> None:
        self.strike(trainer, "step")

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.strike(trainer, "end")

    def on_validation_epoch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.strike(trainer, "validation")
        if self.place == "benchmark":

            def once(*args: Any) -> None:
                handle.remove()
                self.strike(trainer, "benchmark")

            handle = nn.modules.module.register_module_forward_pre_hook(once)


class Ends(pl.Callback):
    """Ends the run after a step, as `max_time` and a user's callback do."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step and not has_happened(self.step):
            trainer.should_stop = True


class Spoil(pl.Callback):
    """Makes the loss of one step of one rank NaN."""

    def __init__(self, step: int, rank: int = 0) -> None:
        self.step, self.rank = step, rank

    def on_before_backward(self, trainer: pl.Trainer, pl_module: Any, loss: Tensor) -> None:
        if (trainer.global_step, trainer.global_rank) == (self.step, self.rank):
            loss.data.fill_(float("nan"))


def words(
    method: str, folder: Path, *more: str, kind: str = "VideoDataModule", callbacks: Sequence[Any] = (), **data: Any
) -> list[str]:
    """Command of a run of three epochs of five steps, on data of a class, that writes `last.ckpt` every second step."""
    arguments = METHODS[method] if method in METHODS else arguments_of(method)
    listed = [
        {"class_path": "LastCheckpoint", "init_args": {"every_n_steps": 2}},
        harm("Curve", path=str(folder / "curve.txt")),
        *callbacks,
    ]
    trainer = {"callbacks": json.dumps(listed), "accelerator": "cpu", "max_epochs": 3, "default_root_dir": folder}
    quiet = {"log_every_n_steps": 1, "enable_progress_bar": "false", "enable_model_summary": "false"}
    clips = {"frames": 2, "size": 32, "repeat": 2, "samples_per_epoch": 10} if kind == "VideoDataModule" else {}
    samples = flags("data", kind, **{"batch_size": 2, "num_workers": 0} | clips | data)
    return ["fit", *flags("model", method, **arguments), *samples, *flags("trainer", **trainer | quiet), *more]


def harm(kind: str, **options: Any) -> dict[str, Any]:
    """Entry of a callback of this file for a configuration."""
    return {"class_path": f"{__name__}.{kind}", "init_args": options}


def run(command: list[str], *statuses: int, place: Path | None = None, **variables: str) -> str:
    """Run `python cli.py` in a session of its own, and return its output; it starts itself once more for each rank.

    Args:
        command: words after `vidcorr`.
        statuses: exit statuses of which it must have one (minus the signal that kills it); by default any but 0.
        place: folder to run it in; None: this process's.
        variables: further variables of the environment.
    """
    script = Path(__file__).resolve().parents[2] / "cli.py"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parent)} | variables
    words = [sys.executable, str(script), *command]
    out: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(words, **out, env=environment, cwd=place, start_new_session=True)
    try:
        said, _ = process.communicate(timeout=500)  # returns once no rank holds the pipe
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode in statuses if statuses else process.returncode != 0, said
    return said


def curve(folder: Path) -> dict[int, str]:
    """Step → epoch and loss, as last written."""
    lines = (folder / "curve.txt").read_text().splitlines()
    return {int(line.split()[0]): line.partition(" ")[2] for line in lines}


def last_of(folder: Path) -> Path:
    """The newest `last.ckpt` of the runs in a folder."""
    return max(folder.glob("*/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime_ns)


def last(folder: Path) -> dict[str, Any]:
    """Content of the newest `last.ckpt`."""
    return torch.load(last_of(folder), weights_only=True)


def differences(one: Any, other: Any, name: str = "") -> list[str]:
    """List the places at which two nested states differ, to the last bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = ((key, one.get(key, "missing"), other.get(key, "missing")) for key in {**one, **other})
        return [found for key, *pair in pairs for found in differences(*pair, f"{name}/{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = ((place, *pair) for place, pair in enumerate(zip(one, other, strict=True)))
        return [found for place, *pair in pairs for found in differences(*pair, f"{name}/{place}")]
    same = torch.equal(one, other) if isinstance(one, Tensor) and isinstance(other, Tensor) else one == other
    return [] if same else [f"{name}: {one} / {other}"[:200]]


def faults_between(folder: Path, whole: Path, keys: Sequence[str] = STATE) -> list[str]:
    """List where the losses of a run, and the fields of its newest `last.ckpt`, differ from those of the whole run."""
    one, other = last(folder), last(whole)
    found = [fault for key in keys for fault in differences(one.get(key), other.get(key), key)]
    return found + differences(curve(folder), curve(whole), "losses")
