"""What a checkpoint of this project says of itself, and how one of an earlier release is read."""

import contextvars
import importlib
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

SUFFIXES = (".ckpt", ".pt", ".pth")

FORMAT = 1
"""Of the checkpoints that this release writes; it grows when hyper-parameters or weights change their names."""

MIGRATIONS: dict[int, Callable[[dict[str, Any]], None]] = {}
"""Format → what makes a checkpoint of it one of the next format, in place.

A migration is a small named function here; where nothing can be done it raises ValueError and says what changed.
Checkpoints without a number are of format 1.
"""


class ForeignCheckpoint(ValueError):
    """A checkpoint that was not written by this project."""


def note_of(module: nn.Module) -> dict[str, Any]:
    """What a checkpoint holds under `vidcorr`: the class to make, and which release and format wrote it."""
    kind = type(module)
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "version": version("vidcorr"), "format": FORMAT}


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of ours, of this release or an earlier one; nothing in the file is run.

    Args:
        path: the file.

    Returns:
        What it holds, in the current format, tensors on the CPU (mapped from the file, not read).

    Raises:
        ValueError: if the file is missing, damaged, foreign, or of a newer format.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such checkpoint")
    try:
        checkpoint: dict[str, Any] = torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
    except PermissionError:
        raise
    except (RuntimeError, OSError, pickle.UnpicklingError, EOFError) as error:  # OSError: half of a zip file
        raise ValueError(
            f"{path}: cannot be read as a checkpoint of vidcorr; it is damaged, or foreign (bring such weights in by "
            "`vidcorr convert`)"
        ) from error
    migrate(checkpoint, str(path))
    return checkpoint


def migrate(checkpoint: dict[str, Any], path: str = "checkpoint") -> None:
    """Bring a checkpoint of an earlier format to the current one, in place.

    Raises:
        ValueError: if it is not ours, of a newer format, or of one that cannot be brought forward.
    """
    note = checkpoint.get("vidcorr") if isinstance(checkpoint, dict) else None
    if not isinstance(note, dict) or "class_path" not in note:
        raise ForeignCheckpoint(f"{path}: no checkpoint of vidcorr; bring foreign weights in by `vidcorr convert`")
    found = note.setdefault("format", 1)
    if found > FORMAT:
        raise ValueError(
            f"{path}: written by vidcorr {note.get('version')} in format {found}; "
            f"this is vidcorr {version('vidcorr')}, which reads formats up to {FORMAT}: update it"
        )
    while note["format"] < FORMAT:
        try:
            MIGRATIONS[note["format"]](checkpoint)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        note["format"] += 1


def instantiate(class_path: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Make the module that a checkpoint names; its class may be the user's own.

    Raises:
        ValueError: if there is no such class, or it is no `nn.Module`.
    """
    package, _, name = class_path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(package), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"a checkpoint's class {class_path} cannot be imported ({error})") from error
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ValueError(f"a checkpoint's class {class_path} is no torch.nn.Module")
    try:
        # a context of its own: within LightningCLI, Lightning gives a module inside another the arguments of the outer
        made: nn.Module = contextvars.Context().run(kind, **arguments)
    except TypeError as error:
        raise ValueError(f"{class_path} is not made with what the checkpoint says: {error}") from error
    return made


def hyper_parameters(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that a checkpoint's module was made with, without the notes that Lightning keeps among them."""
    noted = checkpoint.get("hyper_parameters", {})  # Lightning leaves them out where there are none
    return {name: value for name, value in noted.items() if not name.startswith("_")}


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Load weights that must fit exactly; see `check_fit`."""
    check_fit(module, state, source)
    module.load_state_dict(state)


def check_fit(module: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Refuse weights that do not fit a module exactly.

    Args:
        module: what is to take them.
        state: its state dict.
        source: what the weights are from, for the message.

    Raises:
        ValueError: one line that names what is missing, unknown or of another shape.
    """
    own = module.state_dict()
    shapes = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in state and own[name].shape != state[name].shape
    ]
    faults = {"missing": own.keys() - state.keys(), "unknown": state.keys() - own.keys(), "of another shape": shapes}
    if any(faults.values()):
        told = "; ".join(f"{fault}: {some(names)}" for fault, names in faults.items() if names)
        raise ValueError(f"{source}: does not fit {type(module).__name__}; {told}")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name beside a file's place to write it under; it is moved there when it is complete, or nothing is.

    Args:
        path: the file; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".part")
    try:
        yield half
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def some(names: Iterable[str], limit: int = 6) -> str:
    """The first of a number of names, and how many more there are."""
    known = sorted(names)
    more = len(known) - limit
    return ", ".join(known[:limit]) + (f" and {more} more" if more > 0 else "")
