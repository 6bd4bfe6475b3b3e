"""Checkpoints of other projects, read without running anything that they hold."""

import argparse
import codecs
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..checkpoints.reading import UnsafeContent, is_state, load_plain, reason

State = dict[str, Tensor]

ENTRIES = ("state_dict", "teacher", "model")
"""Entries that hold the weights in official files: mm-style, MoCo and MAST; DINO (the network it evaluates); CRW."""
SCALAR = np.float64(0).__reduce__()[0]
"""The function by which a pickle makes a scalar of numpy."""
HARMLESS: dict[str, Any] = {
    "argparse.Namespace": argparse.Namespace,
    "numpy.core.multiarray.scalar": SCALAR,
    "numpy._core.multiarray.scalar": SCALAR,  # its home since numpy 2
    "numpy.dtype": np.dtype,
    "_codecs.encode": codecs.encode,
    **{
        f"{kind.__module__}.{kind.__qualname__}": kind
        for kind in {type(np.dtype(name)) for name in ("bool", "int32", "int64", "float16", "float32", "float64", "U")}
    },
}
"""Name in a pickle → what it makes, for the types beside weights in official files; none runs code."""


class ForeignFile(NamedTuple):
    """Weights of another project.

    Attributes:
        state: under their own names, without DataParallel's `module.`.
        beside: names of what else the file held.
        about: metadata of a safetensors file; `vidcorr export` writes `architecture`, `mean` and `std`.
    """

    state: State
    beside: tuple[str, ...] = ()
    about: Mapping[str, str] = {}


def read_foreign(path: str | Path, trust: bool = False) -> ForeignFile:
    """Read a `.safetensors` file or whatever `torch.save` wrote.

    Plain types are read, and what official files hold in addition: `argparse.Namespace` and numpy's scalars.

    Args:
        path: the file.
        trust: unpickle anything, which runs whatever code the file names.

    Raises:
        ValueError: if the file is missing or damaged, holds other types, or no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            content, about = _read_safetensors(path)
        else:
            content, about = _read_pickle(path, trust), {}
    except UnsafeContent as error:
        raise ValueError(f"{path}: {error}; if you trust where the file is from, add --trust") from error
    except PermissionError:
        raise
    except Exception as error:  # torch raises whatever its reader meets in a pickle that makes no sense
        raise ValueError(f"{path}: cannot be read; is it complete? ({reason(error)})") from error
    entries: Mapping[str, Any] = content if isinstance(content, Mapping) else {}
    place = next((name for name in ENTRIES if is_state(entries.get(name))), "")
    state: Mapping[str, Any] = entries[place] if place else entries
    if not state or not is_state(state):
        held = ", ".join(map(str, entries)) or type(content).__name__
        raise ValueError(f"{path}: no weights under {', '.join(ENTRIES)} or at the top; it holds {held}")
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return ForeignFile(dict(state), tuple(str(name) for name in entries if place and name != place), about)


def _read_pickle(path: Path, trust: bool) -> Any:
    with path.open("rb") as file:
        start = file.read(16)
    if not start.startswith((b"PK", b"\x80")):  # a zip file or, as torch wrote until 1.5, a pickle
        raise ValueError(f"it is no checkpoint, perhaps a web page or a pointer of Git LFS; it begins {start!r}")
    if trust:
        return torch.load(path, map_location="cpu", weights_only=False)
    pairs: list[Any] = [(kind, name) for name, kind in HARMLESS.items()]
    with torch.serialization.safe_globals(pairs):
        return load_plain(path, HARMLESS)


def _read_safetensors(path: Path) -> tuple[State, Mapping[str, str]]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118, no mapping
