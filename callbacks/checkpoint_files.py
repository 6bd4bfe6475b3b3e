"""Checkpoint files: written atomically, read as data, and checked before they are restored.

A file gives no orders: numbers must be numbers, attributes must have the names that this program writes, and only files
in the run's folders are removed (see `AtomicCheckpointIO.remove_checkpoint`).
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

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
    """

    def __init__(self) -> None:
        super().__init__()
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
            ValueError: if the file is damaged, holds other types than tensors and plain types.
        """
        remote = "://" in str(path)
        return super().load_checkpoint(path, map_location, True) if remote else read_content(path, mapped=False)

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
    best: dict[str, KeptCheckpoints] = {}


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
