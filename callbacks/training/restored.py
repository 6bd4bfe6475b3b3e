"""Check of all that a training restores from a checkpoint besides weights, once, before anything is restored.

A file is never an order. Numbers have to be numbers, and names of attributes have to be those that this program would
have written; no path is followed out of the run's own folder (see `AtomicCheckpointIO.remove_checkpoint`).
"""

import math
from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Self

Progress = Annotated[int, Field(strict=True, ge=0)]
Number = Annotated[float, Field(strict=True)]


class _Part(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="ignore")


class ResumeNote(_Part):
    """The record of `LastCheckpoint` in a checkpoint.

    Attributes:
        run: number of the run, counted over the runs of a folder in the order in which they began or resumed; −1 where
            the file does not say.
        batch: samples per batch over all devices; None if the loader does not know.
        accumulated: batches per optimiser step that the user asked for.
        optimizer_entries: number of entries in the state of each optimiser; None where the file does not say.
        within_step: whether it was written between two batches of one optimiser step.
        run_ended: whether the hooks of the run's end have run.
    """

    run: Annotated[int, Field(strict=True, ge=-1)] = -1
    batch: Progress | None = None
    accumulated: Progress | None = None
    optimizer_entries: list[Progress] | None = None
    within_step: Annotated[bool, Field(strict=True)] = False
    run_ended: Annotated[bool, Field(strict=True)] = False


class _BenchmarkHistory(_Part):
    history: dict[Progress, dict[str, Number]] = {}
    epochs: dict[Progress, Progress] = {}
    tried: Progress | None = None


class _ParameterGroup(_Part):
    params: list[Progress]


class _OptimizerState(_Part):
    state: dict[Progress, dict[str, torch.Tensor | Number | Progress | None]]
    param_groups: Annotated[list[_ParameterGroup], Field(min_length=1)]

    @model_validator(mode="after")
    def _count_the_parameters(self) -> Self:
        numbers = [number for group in self.param_groups for number in group.params]
        if numbers != list(range(len(numbers))) or self.state.keys() - set(numbers):
            raise ValueError("its parameters are not numbered from 0 on")
        if any(entries.get("step", 0) is None for entries in self.state.values()):
            raise ValueError("a count of its steps is missing")
        return self


class _Loaders(_Part):
    combined_loader: list[dict[str, Any]] = []


class _FitLoop(_Part):
    state_dict: _Loaders = _Loaders()


class _Loops(_Part):
    fit_loop: _FitLoop = _FitLoop()


class CheckpointState(_Part):
    """A checkpoint of a training, without its weights."""

    global_step: Progress
    epoch: Progress
    resume: ResumeNote = ResumeNote()
    benchmarks: dict[str, _BenchmarkHistory] = {}
    callbacks: dict[str, dict[str, Any]] = {}
    loops: _Loops = _Loops()
    optimizer_states: list[_OptimizerState] | None = None
    lr_schedulers: list[dict[str, Any]] | None = None


def read_state(content: Any, path: object) -> CheckpointState:
    """Return the state that a checkpoint holds.

    Raises:
        ValueError: in one line, if a part of it is missing or has another form.
    """
    try:
        return CheckpointState.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path} is damaged ({where}: {first['msg']}): resume from another checkpoint") from error


def check_state(trainer: pl.Trainer, content: dict[str, Any], path: object) -> None:
    """Check all that Lightning and our callbacks will restore from a checkpoint.

    The state of schedules and optimisers is compared with those of the run once these exist, by `load_schedules` and
    `check_optimizers`.

    Args:
        trainer: before it restores anything.
        content: of the checkpoint.
        path: of the checkpoint, for the message.

    Raises:
        ValueError: in one line, for the first part that is not as this program writes it.
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
        _check_like(content["loops"].get("fit_loop"), trainer.fit_loop.state_dict(), f"{damaged}: loops")
        found = [sum(map(len, optimizer.state.values())) for optimizer in state.optimizer_states or []]
        if state.resume.optimizer_entries not in (None, found):
            raise ValueError(f"{damaged}: the state of its optimiser is not complete; resume from another checkpoint")
    else:
        content.pop("loops", None)  # of no use to an evaluation
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        saved, made = state.callbacks.get(callback.state_key), callback.state_dict()
        if saved is not None and made:
            _check_like(saved, made, f"{damaged}: {type(callback).__name__}")


def is_checkpoint_file(path: Path) -> bool:
    """Return whether a path is a regular `.ckpt` file, neither a link nor a folder."""
    return path.suffix == ".ckpt" and path.is_file() and not path.is_symlink()


def load_schedules(trainer: pl.Trainer, states: list[dict[str, Any]]) -> None:
    """Restore the schedules of the learning rate, in place of Lightning, which would set any attribute.

    Raises:
        ValueError: if there are more or fewer of them, or one is of another kind.
    """
    configs, where = trainer.lr_scheduler_configs, f"{trainer.ckpt_path}: the schedule of the learning rate"
    if len(states) != len(configs):
        raise ValueError(f"{where} does not fit: it holds {len(states)}, this run has {len(configs)}")
    for config, state in zip(configs, states, strict=True):
        _check_like(state, config.scheduler.state_dict(), where)
        config.scheduler.load_state_dict(state)


def check_optimizers(trainer: pl.Trainer) -> None:
    """Check that optimisers which were restored can take a step.

    Raises:
        ValueError: if an option is missing or is not a finite number, or a tensor has another shape than its parameter.
    """
    where = f"{trainer.ckpt_path}: the optimiser"
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            options = {
                name: float(value) if type(value) is int else value for name, value in optimizer.defaults.items()
            }
            if "initial_lr" in group:  # of a schedule
                options["initial_lr"] = 0.0
            _check_like({name: group.get(name, math.nan) for name in options}, options, where)
        for parameter, entries in optimizer.state.items():
            shapes = {value.shape for value in entries.values() if isinstance(value, torch.Tensor) and value.ndim}
            if shapes - {parameter.shape}:
                raise ValueError(f"{where}'s state does not fit the weights; resume from another checkpoint")


def _check_like(state: Any, model: Any, where: str) -> None:
    """Raise unless a state has the form of another: the same names, and finite numbers where that has numbers."""
    if isinstance(model, dict) and isinstance(state, dict):
        # a Counter, as the milestones of a schedule, and what is empty at first have names of their own
        if type(model) is dict and model and (other := state.keys() ^ model.keys() - {"combined_loader"}):
            raise ValueError(f"{where}: {sorted(map(str, other))[0]!r} is missing or unknown")
        for name in state.keys() & model.keys():
            _check_like(state[name], model[name], f"{where}.{name}")
    elif isinstance(model, list | tuple) and isinstance(state, list | tuple):
        if len(state) != len(model):
            raise ValueError(f"{where}: {len(state)} values, expected {len(model)}")
        for number, (value, like) in enumerate(zip(state, model, strict=True)):
            _check_like(value, like, f"{where}.{number}")
    elif isinstance(model, float) and type(state) in (int, float):
        if not math.isfinite(state):
            raise ValueError(f"{where}: {state} is not finite")
    elif isinstance(model, torch.Tensor) and state is None:  # a best score, before there is one
        return
    elif model is not None and not (type(state) is type(model) and not (type(state) is int and state < 0)):
        raise ValueError(f"{where}: {str(state)[:40]!r} where a {type(model).__name__} belongs")
