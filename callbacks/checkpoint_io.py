"""Files of checkpoints, written atomically and read as data."""

import copy
import logging
import os
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from vidcorr.backbones.checkpoints import read_content
from vidcorr.videos.files import unfinished

from .run_folder import resolved_path

log = logging.getLogger(__name__)
PLAIN = (bool, int, float, complex, str, bytes, Tensor, torch.nn.Parameter, torch.Size, torch.dtype, torch.device)
"""Types that `torch.load` reads as data, beside lists, tuples and dicts."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint under a temporary name, and rename it once it is completely on disk.

    Lightning's class writes to the machine's temporary folder. If that is on another disk, its move is a copy, and a
    killed run or a full disk leaves half a file in place of a complete one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folders: set[str] = set()  # folders to which this run has written checkpoints

    def save_checkpoint(self, checkpoint: Mapping[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; Lightning handles addresses such as `s3://…`.

        Raises:
            OSError: if the file cannot be written, for example on a full disk; an earlier file is kept.
            ValueError: if the checkpoint holds a value that could not be read back; the message names its key.
        """
        content: dict[str, Any] = plain(dict(checkpoint))
        self._folders.add(resolved_path(path).rpartition("/")[0])  # in which `remove_checkpoint` may remove files
        if "://" in str(path):
            return super().save_checkpoint(content, path, storage_options)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(f".{path.name}.unfinished")
        try:
            with unfinished(path, hidden), hidden.open("wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError for some errors of the system
            cause = error if isinstance(error, OSError) else error.__cause__ or error.__context__
            if not isinstance(cause, OSError):
                raise
            before = "; the one before is as it was" if path.exists() else ""
            raise OSError(
                f"{path} could not be written: {cause.strerror}{before}; make room and resume with --ckpt_path last"
            ) from error
        return None

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> Any:
        """Read a checkpoint as data, a file to the CPU: no code in it runs, whatever `weights_only` says.

        Raises:
            ValueError: if the file is damaged, or holds other types than tensors and plain types.
        """
        if "://" in str(path):
            return super().load_checkpoint(path, map_location, True)
        return read_content(path)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint after a better checkpoint was saved.

        The name may come from the file that a run resumes from, so only a regular `.ckpt` file is removed, in a folder
        to which this run has written a checkpoint.
        """
        folder = resolved_path(path).rpartition("/")[0]
        file = Path(path)
        is_checkpoint = file.suffix == ".ckpt" and file.is_file() and not file.is_symlink()
        if folder in self._folders and ("://" in folder or is_checkpoint):
            super().remove_checkpoint(path)
        else:
            log.warning("%s is not removed: it is no checkpoint of this run", path)


def plain(value: Any, key: str = "") -> Any:
    """Return a value with Python's numbers in place of numpy's, in the types that `torch.load` reads as data.

    Args:
        value: part of a checkpoint.
        key: its place in the checkpoint, for the message.

    Raises:
        ValueError: for a value of another type.
    """
    if isinstance(value, np.generic):
        value = value.item()  # a schedule over an array makes its rates numpy's
    if value is None or type(value) in PLAIN:
        return value
    if type(value) in (dict, OrderedDict, Counter):
        made = copy.copy(value)  # a copy keeps the attributes of a state dict
        made.clear()
        for name, part in value.items():
            made[plain(name, key)] = plain(part, f"{key}.{name}".lstrip("."))
        return made
    if type(value) in (list, tuple):
        return type(value)(plain(part, f"{key}.{index}") for index, part in enumerate(value))
    kind = type(value).__qualname__
    raise ValueError(f"{key} is a {kind}, which no checkpoint can hold: make it a number, text, list, dict or tensor")
