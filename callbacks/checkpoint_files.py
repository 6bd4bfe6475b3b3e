"""Checkpoint files: written atomically, read as data, and checked before they are restored.

A file gives no orders: numbers must be numbers, attributes must have the names that this program writes, and only files
in the run's folders are removed (see `AtomicCheckpointIO.remove_checkpoint`).
"""

import logging
import math
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from pydantic import BaseModel, Field, ValidationError
from pytorch_lightning.plugins.io import TorchCheckpointIO

from vidcorr.backbones.checkpoints import read_content
from vidcorr.videos.files import unfinished

log = logging.getLogger(__name__)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint under a temporary name, and rename it once it is completely on disk.

    Lightning's class writes to the machine's temporary folder. If that is on another disk, its move is a copy, and a
    killed run or a full disk leaves half a file in place of a complete one.

    Args:
        trainer: trainer of the run; `check_state` compares checkpoints with it. None: no check.
    """

    def __init__(self, trainer: pl.Trainer | None = None) -> None:
        super().__init__()
        self._trainer = trainer
        self._folders: set[str] = set()  # that this run has written checkpoints to

    def save_checkpoint(self, checkpoint: Mapping[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; Lightning handles addresses such as `s3://…`.

        Raises:
            OSError: if it cannot be written, for example on a full disk; an earlier file is kept.
        """
        self._folders.add(str(path).rpartition("/")[0])
        if "://" in str(path):
            return super().save_checkpoint(dict(checkpoint), path, storage_options)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(f".{path.name}.unfinished")
        try:
            with unfinished(path, hidden), hidden.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError for some errors of the system
            reason = error if isinstance(error, OSError) else error.__cause__ or error.__context__
            if not isinstance(reason, OSError):
                raise
            before = "; the one before is as it was" if path.exists() else ""
            raise OSError(
                f"{path} could not be written: {reason.strerror}{before}; make room and resume with --ckpt_path last"
            ) from error
        return None

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> Any:
        """Read a checkpoint as data: no code in it runs.

        Args:
            path: the file, or an address such as `s3://…`, which Lightning reads.
            map_location: device for tensors from an address; a file is read to the CPU.
            weights_only: ignored; code is never unpickled.

        Raises:
            ValueError: if the file is damaged, holds other types than tensors and plain types, or does not fit the run.
        """
        remote = "://" in str(path)
        content = super().load_checkpoint(path, map_location, True) if remote else read_content(path, mapped=False)
        if self._trainer is not None:
            check_state(self._trainer, content, path)
        return content

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint after a better checkpoint was saved.

        The name may come from the file that a run resumes from, so only a regular `.ckpt` file is removed, in a folder
        to which this run has written a checkpoint.
        """
        folder = str(path).rpartition("/")[0]
        file = Path(path)
        is_checkpoint = file.suffix == ".ckpt" and file.is_file() and not file.is_symlink()
        if folder in self._folders and ("://" in folder or is_checkpoint):
            super().remove_checkpoint(path)
        else:
            log.warning("%s is not removed: it is no checkpoint of this run", path)


Whole = Annotated[int, Field(strict=True, ge=0)]
Number = Annotated[float, Field(strict=True)]


class ResumeNote(BaseModel):
    """The record of `LastCheckpoint` in a checkpoint.

    Attributes:
        run: number of the run, counted over the runs of a folder in the order in which they began or resumed; −1 if
            unknown.
        batch: samples per batch over all devices; None if the loader does not know.
        accumulated: batches per optimiser step that the user asked for.
        within_step: True for a checkpoint between two batches of an optimiser step.
        run_ended: True after the hooks of the run's end.
    """

    run: Annotated[int, Field(strict=True, ge=-1)] = -1
    batch: Whole | None = None
    accumulated: Whole | None = None
    within_step: Annotated[bool, Field(strict=True)] = False
    run_ended: Annotated[bool, Field(strict=True)] = False


class _BenchmarkHistory(BaseModel):
    history: dict[Whole, dict[str, Number]] = {}
    epochs: dict[Whole, Whole] = {}
    tried: Whole | None = None


class _ParameterGroup(BaseModel):
    params: list[Whole]


class _OptimizerState(BaseModel, arbitrary_types_allowed=True):
    state: dict[Whole, dict[str, torch.Tensor | Number | Whole | None]]
    param_groups: Annotated[list[_ParameterGroup], Field(min_length=1)]


class KeptCheckpoints(BaseModel):
    """The record of a `BestCheckpoint` in a checkpoint.

    Attributes:
        folder: folder of the checkpoints.
        scores: file name of a kept checkpoint → its score.
    """

    folder: str
    scores: dict[Annotated[str, Field(pattern=r"^[^/]+\.ckpt$")], Number]


class CheckpointState(BaseModel):
    """A checkpoint of a training, without its weights."""

    global_step: Whole
    epoch: Whole
    resume: ResumeNote = ResumeNote()
    benchmarks: dict[str, _BenchmarkHistory] = {}
    best: dict[str, KeptCheckpoints] = {}
    loops: dict[str, Any] = {}
    optimizer_states: list[_OptimizerState] | None = None
    lr_schedulers: list[dict[str, Any]] | None = None


def read_state(content: Any, path: object) -> CheckpointState:
    """Return the state in a checkpoint.

    Raises:
        ValueError: if a part is missing or has another form.
    """
    try:
        return CheckpointState.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path} is damaged ({where}: {first['msg']}): resume from another checkpoint") from error


def check_state(trainer: pl.Trainer, content: dict[str, Any], path: object) -> None:
    """Check the counters, optimisers and our records of a checkpoint before they are restored.

    `check_optimizers` compares schedules and optimisers after the run has made them. Other callbacks check their state
    themselves.

    Args:
        trainer: the trainer, before it restores a state.
        content: content of the checkpoint.
        path: path of the checkpoint, for the message.

    Raises:
        ValueError: for the first part that differs from the form that this program writes.
    """
    state = read_state(content, path)
    damaged = f"{path} is damaged"
    if not isinstance(content.get("pytorch-lightning_version"), str):
        raise ValueError(f"{damaged}: it does not say Lightning's version; resume from another checkpoint")
    if trainer.state.fn == "fit":
        missing = [name for name in ("loops", "optimizer_states", "lr_schedulers") if name not in content]
        if missing:
            raise ValueError(
                f"{path} holds weights and no training ({', '.join(missing)} missing): no run can resume from it; "
                "start from its weights by --model.backbone"
            )
        counters: Any = state.loops.get("fit_loop")
        _check_like(counters, trainer.fit_loop.state_dict(), f"{damaged}: loops")
        loaders = counters["state_dict"].get("combined_loader", [])
        if not isinstance(loaders, list) or not all(isinstance(loader, dict) for loader in loaders):
            raise ValueError(f"{damaged}: the place in the data is no list of states; resume from another checkpoint")
    else:
        content.pop("loops", None)  # an evaluation does not need them


def check_optimizers(trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Check that a checkpoint's schedules and optimisers fit the run; Lightning would set any attribute.

    A user's schedule may have any numbers in its state, but needs the right names and types.

    Args:
        trainer: the trainer with its optimisers, before it restores them.
        checkpoint: content of the checkpoint, after `check_state`.

    Raises:
        ValueError: if their number or kind differs, an option is missing or not a finite number, or the shape of a
            tensor differs from its parameter's.
    """
    schedules, where = checkpoint["lr_schedulers"], f"{trainer.ckpt_path}: the schedule of the learning rate"
    made = [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs]
    _check_like(schedules, made, where, any_number=True)
    states, where = checkpoint["optimizer_states"] or [], f"{trainer.ckpt_path}: the optimiser"
    if len(states) != len(trainer.optimizers):
        raise ValueError(f"{where} does not fit: the file holds {len(states)}, this run has {len(trainer.optimizers)}")
    for saved, optimizer in zip(states, trainer.optimizers, strict=True):
        groups = [{**group, "params": [0] * len(group["params"])} for group in optimizer.param_groups]  # any numbers
        for group, state in zip(groups, saved["param_groups"], strict=False):
            for name, value in group.items():
                if value is None or value is False:
                    state.setdefault(name, value)  # an option that the torch of the checkpoint did not have
                elif type(value) is int:
                    group[name] = float(value)
        _check_like(saved["param_groups"], groups, where)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        numbers = [number for group in saved["param_groups"] for number in group["params"]]
        names = Counter(frozenset(state) for state in saved["state"].values() if state)
        names_differ = names.total() > 2 and 1 in names.values()  # an optimiser treats several parameters alike
        for parameter, number in zip(parameters, numbers, strict=False):  # torch compares their number
            tensors = [value for value in saved["state"].get(number, {}).values() if isinstance(value, torch.Tensor)]
            if names_differ or any(tensor.ndim and tensor.shape != parameter.shape for tensor in tensors):
                raise ValueError(f"{where}'s state does not fit the weights; resume from another checkpoint")


def _check_like(state: Any, model: Any, where: str, any_number: bool = False) -> None:
    """Raise `ValueError` unless a state has the names of a model state, and numbers in the places of its numbers.

    Args:
        state: the state from the file.
        model: the state of the new run.
        where: place of the state, for the message.
        any_number: accept negative and infinite numbers, floats for integers, and None.
    """
    if isinstance(model, dict) and isinstance(state, dict):
        # a Counter, such as the milestones of a schedule, and a dictionary that is empty at first may have any names
        if type(model) is dict and model and (other := state.keys() ^ model.keys() - {"combined_loader"}):
            raise ValueError(f"{where}: {sorted(map(str, other))[0]!r} is missing or unknown")
        for name in state.keys() & model.keys():
            _check_like(state[name], model[name], f"{where}.{name}", any_number)
    elif isinstance(model, list | tuple) and isinstance(state, list | tuple):
        if len(state) != len(model):
            raise ValueError(f"{where}: {len(state)} values, expected {len(model)}")
        for number, (value, like) in enumerate(zip(state, model, strict=True)):
            _check_like(value, like, f"{where}.{number}", any_number)
    elif any_number and type(model) in (int, float) and (state is None or type(state) in (int, float)):
        return
    elif isinstance(model, float) and type(state) in (int, float):
        if not math.isfinite(state):
            raise ValueError(f"{where}: {state} is not finite")
    elif model is not None and not (type(state) is type(model) and not (type(state) is int and state < 0)):
        raise ValueError(f"{where}: {str(state)[:40]!r} where a {type(model).__name__} belongs")
