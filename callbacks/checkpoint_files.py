"""Files of checkpoints: written in whole or not at all, and read as data."""

import logging
import os
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch.serialization import get_unsafe_globals_in_checkpoint
from torch.utils._pytree import tree_map

from vidcorr.backbones.files.saved_models import is_foreign, read_content
from vidcorr.backbones.files.trust import reason
from vidcorr.lightning_modules.parts.saving import plain, version_mistake
from vidcorr.videos.files import FullDisk, unfinished

log = logging.getLogger(__name__)
DAMAGED_STATE = "is damaged: its state of a run"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint under a temporary name, and rename it once it is completely on disk.

    Lightning's class writes to the machine's temporary folder. If that is on another disk, its move is a copy, and a
    killed run or a full disk leaves half a file in place of a complete one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folders: set[Path] = set()

    def save_checkpoint(
        self, checkpoint: Mapping[str, object], path: str | Path, storage_options: object = None
    ) -> None:
        """Write a checkpoint in whole or not at all; one with an address such as `s3://…` is left to Lightning.

        Raises:
            OSError: if the file cannot be written, `FullDisk` on a full disk; an earlier file is kept.
            ValueError: if the checkpoint holds a type that is not read back as data.
        """
        if "://" in str(path):
            return super().save_checkpoint(dict(checkpoint), path, storage_options)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._folders.add(path.parent.resolve())
        try:
            _write(_as_data(checkpoint), path)
        except FullDisk:
            raise
        # torch may raise a RuntimeError while it handles an OSError
        except (OSError, RuntimeError) as error:
            if "inline_container" in str(error):
                raise FullDisk(path) from error
            raise OSError(f"{path} could not be written: {error.__context__ or error}") from error
        return None

    def load_checkpoint(self, path: str | Path, map_location: object = None, weights_only: bool | None = None) -> Any:
        """Read a checkpoint as data to the CPU: no code in it runs, whatever `weights_only` says.

        Raises:
            ValueError: if the file is damaged, or holds other types than tensors and plain types.
        """
        content = read_content(path)
        if not is_foreign(content) and version_mistake(content):
            return content
        return require_state(content, path)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint that a better one replaces.

        The name may come from the file that a run resumes from, so only a regular `.ckpt` file is removed, in a folder
        to which this run has written a checkpoint.
        """
        file = Path(path)
        is_checkpoint = file.suffix == ".ckpt" and file.is_file() and not file.is_symlink()
        if is_checkpoint and file.parent.resolve() in self._folders:
            file.unlink()
        else:
            log.warning("%s is not removed: it is no checkpoint of this run", path)


def _as_data(checkpoint: Mapping[str, object]) -> dict[str, Any]:
    content = dict(checkpoint)
    for name in content.keys() - {"state_dict"}:
        # arguments of the module or its data are read by YAML, too
        is_arguments = name.endswith(LightningModule.CHECKPOINT_HYPER_PARAMS_KEY)
        content[name] = plain(content[name]) if is_arguments else tree_map(_readable, content[name])
    return content


def _readable(value: object) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return torch.from_numpy(value)
    return plain(value) if isinstance(value, np.generic | date | timedelta) else value


def require_savable(trainer: Trainer, pl_module: LightningModule) -> None:
    """Refuse arguments and states that no checkpoint can hold: before the first step, not at the first save.

    Raises:
        ValueError: naming the argument or the callback.
    """
    states = {f"{type(each).__name__}.state_dict": each.state_dict() for each in trainer.callbacks}  # type: ignore[attr-defined]
    for part in filter(None, (pl_module, trainer.datamodule)):  # type: ignore[attr-defined]
        states |= {f"{type(part).__name__}: argument {name}": value for name, value in part.hparams.items()}
    for named, state in states.items():
        file = BytesIO()
        torch.save(_as_data({"state": state}), file)
        file.seek(0)
        unread = get_unsafe_globals_in_checkpoint(file)
        if unread:
            raise ValueError(f"{named}: no checkpoint can hold {', '.join(unread)}: take plain numbers and texts")


def _write(content: dict[str, Any], path: Path) -> None:
    hidden = path.with_name(f".{path.name}.unfinished")
    with unfinished(path, hidden):
        with hidden.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        unread = get_unsafe_globals_in_checkpoint(hidden)
        if unread:
            raise ValueError(f"{path}: no checkpoint can hold {', '.join(unread)}: take plain numbers and texts")


def use_atomic_files(trainer: Trainer) -> None:
    """Let a trainer write and read checkpoints by `AtomicCheckpointIO`, unless the user has chosen another class."""
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = AtomicCheckpointIO()


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_progress(loops: Any) -> bool:
    progress = loops["fit_loop"]["epoch_progress"]
    return all(_is_count(count) for part in ("total", "current") for count in progress[part].values())


def _is_schedules(states: Any) -> bool:
    # a schedule of torch, torch's ChainedScheduler or timm without its position would begin anew without a word
    positions = ("last_epoch", "_schedulers", "param_group_field")
    has_position = all(not state.keys().isdisjoint(positions) for state in states)
    return isinstance(states, list) and has_position and all(_is_count(state.get("last_epoch", 0)) for state in states)


ENTRIES: dict[str, Callable[[Any], bool]] = {
    "pytorch-lightning_version": lambda version: re.match(r"\d+\.\d+", version) is not None,
    "epoch": _is_count,
    "global_step": _is_count,
    "hyper_parameters": lambda arguments: isinstance(arguments, dict),
    "loops": _is_progress,
    "callbacks": lambda states: all(isinstance(state, dict) for state in states.values()),
    "optimizer_states": lambda states: isinstance(states, list) and all(isinstance(state, dict) for state in states),
    "lr_schedulers": _is_schedules,
}
"""Entry of a checkpoint → whether it has the form that Lightning reads; the last four are of a run."""


def require_state(checkpoint: Any, source: str | Path) -> Any:
    """Return a checkpoint as it is, if its entries have the form that Lightning reads.

    A file of another project is checked only if it holds the state of a run.

    Raises:
        ValueError: naming the first entry of another form.

    Example:
        >>> require_state({"epoch": "three"}, "x.ckpt")  # of another project
        {'epoch': 'three'}
    """
    has_run = isinstance(checkpoint, dict) and not checkpoint.keys().isdisjoint(("callbacks", "optimizer_states"))
    if not has_run and is_foreign(checkpoint):
        return checkpoint
    present: dict[str, Any] = {"hyper_parameters": {}} | checkpoint
    for entry, has_form in list(ENTRIES.items())[: None if has_run else 4]:
        try:
            is_whole = has_form(present[entry])
        except (AttributeError, KeyError, TypeError):
            is_whole = False
        if not is_whole:
            raise ValueError(f"{source}: {DAMAGED_STATE}, {entry}, is missing or of another form")
    return checkpoint


@contextmanager
def faults_of_state(trainer: Trainer) -> Iterator[None]:
    """Context that turns an error by a damaged state in a checkpoint into an error of one line that names the file.

    A damaged state causes errors at two places: while Lightning restores it, and in torch's code of an optimiser's
    step. Errors at other places, errors of a GPU, and all errors of a run that resumes nothing are raised unchanged.

    Raises:
        ValueError: for a state of another form, such as an optimiser's tensor of another shape.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        is_restored = any(frame.name == "restore_training_state" for frame in frames)
        # the optimiser's own code, or a function that it calls
        is_of_torch = any(f"torch{os.sep}optim{os.sep}" in frame.filename for frame in frames[-3:])
        is_of_state = is_restored or is_of_torch
        is_ours = isinstance(error, ValueError) and not is_of_torch
        # a GPU tells errors late: any earlier call may have caused it
        is_of_gpu = re.search("CUDA|NCCL|HIP", str(error)) is not None
        if trainer.ckpt_path is None or is_of_gpu or is_ours or not is_of_state:
            raise
        kind = type(error).__name__
        raise ValueError(f"{trainer.ckpt_path}: {DAMAGED_STATE}: {kind}: {reason(error)}") from error
