"""Checkpoints of other projects, read without running anything that they hold."""

import argparse
import codecs
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoints.reading import UnsafeContent, load_plain, reason
from ..checkpoints.trust import check_network

State = dict[str, Tensor]

NOT_BUILT_BY_NAME = ("lightning_modules.backbones:LiirEncoder",)
"""Architectures in our exports that `family_of` refuses with advice, and that are never built from their name."""

ENTRIES = ("state_dict", "teacher", "model")
"""Entries that hold the weights in official files: mm-style, MoCo and MAST; DINO (the network it evaluates); CRW."""


@dataclass(frozen=True)
class ForeignFile:
    """Weights under their own names, without DataParallel's `module.`, and what else the file held."""

    path: Path
    state: State
    beside: tuple[str, ...] = ()
    architecture: str | None = None
    """Name of the network, in files that `vidcorr export` wrote."""
    normalisation: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """`mean` and `std` of RGB that the network was trained with, from the same metadata."""


def read_foreign(path: str | Path, trust: bool = False) -> ForeignFile:
    """Read a `.safetensors` file or whatever `torch.save` wrote.

    Plain types are read, and what official files hold in addition: `argparse.Namespace` and numpy's scalars.

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
        raise ValueError(
            f"{path}: is not a checkpoint, perhaps a web page or a pointer of Git LFS; it begins {start!r}"
        )
    types = _harmless_types()
    try:
        if trust:
            return _weights(path, torch.load(path, map_location="cpu", weights_only=False))
        with torch.serialization.safe_globals([(kind, name) for name, kind in types.items()]):
            return _weights(path, load_plain(path, types.keys()))
    except UnsafeContent as error:
        raise ValueError(f"{path}: {error}; if you trust where the file is from, add --trust") from error
    except (PermissionError, NoWeights):
        raise
    except Exception as error:  # torch raises whatever its reader meets in a pickle that makes no sense
        raise ValueError(f"{path}: cannot be read; is it complete? ({reason(error)})") from error


class NoWeights(ValueError):
    """A file that was read, and holds no weights."""


def _weights(path: Path, content: Any) -> ForeignFile:
    if _is_state(content):
        return ForeignFile(path, _without_module(content))
    entries = content if isinstance(content, Mapping) else {}
    for name in ENTRIES:
        if _is_state(entries.get(name)):
            beside = tuple(str(other) for other in entries if other != name)
            return ForeignFile(path, _without_module(entries[name]), beside)
    held = ", ".join(map(str, entries)) or type(content).__name__
    raise NoWeights(f"{path}: no weights under {', '.join(ENTRIES)} or at the top; it holds {held}")


def _is_state(content: Any) -> bool:
    filled = isinstance(content, Mapping) and len(content) > 0
    return filled and all(
        isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided
        for name, value in content.items()
    )


def _without_module(state: Mapping[str, Tensor]) -> State:
    wrapped = all(name.startswith("module.") for name in state)
    return {name.removeprefix("module.") if wrapped else name: tensor for name, tensor in state.items()}


def _read_safetensors(path: Path) -> ForeignFile:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping
    except PermissionError:
        raise
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: cannot be read ({reason(error)})") from error
    if not state:
        raise ValueError(f"{path}: holds no weights")
    architecture = metadata.get("architecture")
    if architecture is not None and architecture not in NOT_BUILT_BY_NAME:
        check_network(architecture, path)
    numbers = {name: _triple(metadata[name], name, path) for name in ("mean", "std") if name in metadata}
    return ForeignFile(path, _without_module(state), (), architecture, numbers)


def _triple(text: str, name: str, path: Path) -> tuple[float, ...]:
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{path}: its {name} must be three numbers, got {text[:60]!r}")
    return numbers


def _number(kind: Any, value: bytes) -> Any:
    """Return a scalar of numpy; numpy's own function would also allocate one of any size without a value."""
    return np.frombuffer(value, kind)[0]


def _harmless_types() -> dict[str, Any]:
    """Return name in a pickle → what it makes, for the types beside weights in official files; none runs code."""
    dtypes = {type(np.dtype(kind)) for kind in ("bool", "int32", "int64", "float16", "float32", "float64", "U")}
    return {
        "argparse.Namespace": argparse.Namespace,
        "numpy.core.multiarray.scalar": _number,
        "numpy._core.multiarray.scalar": _number,  # its home since numpy 2
        "numpy.dtype": np.dtype,
        "_codecs.encode": codecs.encode,
    } | {f"{kind.__module__}.{kind.__qualname__}": kind for kind in dtypes}
