"""Files of other projects, read without running anything that they hold."""

import argparse
import codecs
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

State = dict[str, Tensor]

ENTRIES = ("state_dict", "teacher", "model")
"""Where official files keep the weights: mm-style, MoCo and MAST; DINO (of its two networks the evaluated one); CRW."""


@dataclass(frozen=True)
class ForeignFile:
    """Weights under their own names, without DataParallel's `module.`, and what else the file held."""

    path: Path
    state: State
    beside: tuple[str, ...] = ()
    architecture: str | None = None
    """Which network they are of, where a file that `vidcorr export` wrote says so."""
    normalisation: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """`mean` and `std` of RGB that the network was trained with, likewise."""


def read_foreign(path: str | Path, trust: bool = False) -> ForeignFile:
    """Read a `.safetensors` file or whatever `torch.save` wrote.

    Plain types are read, and what official files hold beside them: `argparse.Namespace` and numpy's scalars.

    Args:
        path: the file.
        trust: unpickle anything, which runs whatever code the file names.

    Returns:
        Its weights.

    Raises:
        ValueError: if the file is missing or damaged, holds other types, or no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    with path.open("rb") as file:
        start = file.read(16)
    if not start.startswith((b"PK", b"\x80")):  # a zip file or, as torch wrote until 1.5, a pickle
        raise ValueError(f"{path}: is no checkpoint, perhaps a web page or a pointer of Git LFS; it begins {start!r}")
    try:
        with torch.serialization.safe_globals(_plain_types()):
            content = torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error)) or re.search(r"\b((?:\w+\.)+\w+)\b was not", str(error))
        what = named[1] if named else "objects that are no plain types"
        raise ValueError(
            f"{path}: holds {what}, and loading that may run code; if you trust where the file is from, add --trust"
        ) from error
    except (RuntimeError, OSError, EOFError, AttributeError, ImportError) as error:
        reason = next(iter(str(error).splitlines()), "it ends too early")
        raise ValueError(f"{path}: cannot be read; is it whole? ({reason})") from error
    return _weights(path, content)


def _weights(path: Path, content: Any) -> ForeignFile:
    if _is_state(content):
        return ForeignFile(path, _without_module(content))
    entries = content if isinstance(content, Mapping) else {}
    for name in ENTRIES:
        if _is_state(entries.get(name)):
            beside = tuple(str(other) for other in entries if other != name)
            return ForeignFile(path, _without_module(entries[name]), beside)
    held = ", ".join(map(str, entries)) or type(content).__name__
    raise ValueError(f"{path}: no weights under {', '.join(ENTRIES)} or at the top; it holds {held}")


def _is_state(content: Any) -> bool:
    filled = isinstance(content, Mapping) and len(content) > 0
    return filled and all(isinstance(value, Tensor) for value in content.values())


def _without_module(state: Mapping[str, Tensor]) -> State:
    wrapped = all(name.startswith("module.") for name in state)
    return {name.removeprefix("module.") if wrapped else name: tensor for name, tensor in state.items()}


def _read_safetensors(path: Path) -> ForeignFile:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping
    except SafetensorError as error:
        raise ValueError(f"{path}: cannot be read ({error})") from error
    numbers = {
        name: tuple(float(word) for word in metadata[name].split(",")) for name in ("mean", "std") if name in metadata
    }
    return ForeignFile(path, _without_module(state), (), metadata.get("architecture"), numbers)


def _plain_types() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What may be made while a file is read; none of it runs code of the file's."""
    scalar: Any = np.float64(0).__reduce__()[0]  # numpy's own way to make one; its module moved in numpy 2
    dtypes = {type(np.dtype(kind)) for kind in ("bool", "int32", "int64", "float16", "float32", "float64", "U")}
    return [
        argparse.Namespace,
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        *dtypes,
        codecs.encode,
    ]
