"""Identity of a result: everything that can change its numbers, as plain values for a digest.

- Data: the bytes of annotations, lists and metadata; name and size in bytes of each frame. A frame that is replaced by
  another of the same name and size goes unnoticed.
- Code of the user: the bytes of the module that gives the network or the benchmark, and of the user's
  modules that it imports. A module is the user's if it is neither installed nor part of this project.
- Paths: the resolved path of each argument. A copy of the data in another folder is evaluated again, because equal
  names and sizes of frames do not prove equal frames.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set as AbstractSet
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import numpy as np
import torch

from ..datasets.records import FRAME_FIELDS
from ..videos.digests import file_digest, text_digest
from ..videos.files import DataError

if TYPE_CHECKING:
    from .base import Benchmark

OURS = ("vidcorr", "lightning_modules", "datamodules", "callbacks", "cli")
"""Packages of this project, whose rules have versions."""
NOTEBOOK = "__main__"
"""Module of a notebook, which has no file."""


def identity_of(benchmark: Benchmark) -> dict[str, Any]:
    """Return everything that the scores of a benchmark depend on, except network and protocol.

    Args:
        benchmark: the benchmark. `protocol` and `changes` are left out: they choose the protocol.

    Returns:
        Plain values for a digest.

    Raises:
        DataError: if a file of the data cannot be read.
    """
    kind = type(benchmark)
    hints = get_type_hints(kind)
    arguments = {}
    files = []
    for item in fields(benchmark):
        value = getattr(benchmark, item.name)
        path = _path_of(value, hints[item.name])
        if item.name in ("protocol", "changes"):
            continue
        arguments[item.name] = repr(value) if path is None else str(path)
        if path is not None and path.is_file():
            files.append(path)
    return {
        "benchmark": f"{kind.__module__}.{kind.__qualname__}",
        "version": version("vidcorr"),
        "arguments": arguments,
        "data": data_digest(benchmark.sequences, files),
        "code": code_of(kind.__mro__),
    }


def _path_of(value: object, kind: object) -> Path | None:
    """Return the resolved path of an argument that may be a path, else None."""
    takes_path = kind is Path or Path in get_args(kind)
    if isinstance(value, Path) or (takes_path and isinstance(value, str)):
        return Path(value).expanduser().resolve()
    return None


def data_digest(sequences: Iterable[object], files: Iterable[Path] = ()) -> str:
    """Digest sequences with their files.

    Args:
        sequences: the evaluated sequences. All their fields count; files in `FRAME_FIELDS` by name and size, other
            files by their bytes.
        files: further files, which count by their bytes.

    Raises:
        DataError: if a file cannot be read.
    """
    digest = _Digest()
    for path in files:
        digest.add_content(path)
    for sequence in sequences:
        digest.add(sequence)
    return digest.hex()


class _Digest:
    """Digest of nested values; each file is read once."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._contents: dict[Path, str] = {}
        self._sizes: dict[Path, int] = {}

    def hex(self) -> str:
        """Return the first 16 hexadecimal digits."""
        return self._digest.hexdigest()[:16]

    def add_content(self, path: Path) -> None:
        """Add name and bytes of a file."""
        if path not in self._contents:
            self._contents[path] = file_digest(path)
        self._add_text(f"{path.name} {self._contents[path]}")

    def add_size(self, path: Path) -> None:
        """Add name and size of a file."""
        if path not in self._sizes:
            try:
                self._sizes[path] = path.stat().st_size
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
        self._add_text(f"{path.name} {self._sizes[path]}")

    def add(self, value: object) -> None:
        """Add a value with everything in it; functions, such as a decoder of frames, are left out."""
        if isinstance(value, Path):
            self.add_content(value)
        elif isinstance(value, str | bytes | int | float | complex | None):
            self._add_text(repr(value))
        elif isinstance(value, np.ndarray | np.generic | torch.Tensor):
            array = np.asarray(value)
            self._add_text(f"{array.dtype} {array.shape}")
            if array.dtype.hasobject:
                self.add(array.tolist())
            else:
                self._digest.update(array.tobytes())
        elif isinstance(value, Mapping):
            self._add_fields({repr(key): item for key, item in value.items()})
        elif isinstance(value, AbstractSet):
            self._add_text(repr(sorted(map(repr, value))))
        elif isinstance(value, tuple) and hasattr(value, "_asdict"):
            self._add_fields(value._asdict())
        elif isinstance(value, list | tuple):
            self._add_text(f"{len(value)} items")
            for item in value:
                self.add(item)
        elif is_dataclass(value) and not isinstance(value, type):
            self._add_fields({item.name: getattr(value, item.name) for item in fields(value)})
        elif not callable(value) and hasattr(value, "__dict__"):
            self._add_fields(vars(value))

    def _add_fields(self, values: Mapping[str, object]) -> None:
        for name in sorted(values):
            self._add_text(name)
            if name in FRAME_FIELDS:
                for path in _paths_in(values[name]):
                    self.add_size(path)
            else:
                self.add(values[name])

    def _add_text(self, text: str) -> None:
        self._digest.update(text.encode("utf-8", "surrogateescape"))
        self._digest.update(b"\0")


def _paths_in(value: object) -> Iterator[Path]:
    """Yield the paths in a path, a mapping or a nested list."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Mapping):
        yield from _paths_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths_in(item)


# Code of the user


def code_of(parts: Iterable[object]) -> dict[str, str]:
    """Digest the user's code behind objects.

    Args:
        parts: names of modules, classes and functions. Classes and functions of a notebook count by their compiled
            code, together with the functions of the notebook that they call.

    Returns:
        Name of a module of the user, or of a notebook's function, → digest; empty if all code is installed or ours.
    """
    code: dict[str, str] = {}
    modules = []
    for part in parts:
        name = part if isinstance(part, str) else getattr(part, "__module__", None) or ""
        if name == NOTEBOOK and not _file_of(NOTEBOOK):
            code |= _compiled(part)
        modules.append(name)
    waiting = list(dict.fromkeys(modules))
    seen = set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        file = _file_of(name)
        if file is None or not _is_users(name, file):
            continue
        code[name] = file_digest(file)
        waiting += _imports_of(name, file)
    return dict(sorted(code.items()))


def _file_of(module: str) -> Path | None:
    """Return the file of a module, without importing anything; None for built-in and unknown modules."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        return _existing(getattr(loaded, "__file__", None))
    package, *parts = module.split(".")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not parts:
        return _existing(spec.origin)
    for place in spec.submodule_search_locations or ():
        path = Path(place).joinpath(*parts)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def _existing(path: str | None) -> Path | None:
    """Return a path if it is that of a file, else None."""
    if path and Path(path).is_file():
        return Path(path)
    return None


def _is_users(module: str, file: Path) -> bool:
    """Return whether a module is neither part of this project nor installed."""
    if module.partition(".")[0] in OURS:
        return False
    installed = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return not any(map(file.resolve().is_relative_to, installed))


def _imports_of(module: str, file: Path) -> list[str]:
    """Return the names that a module may import: modules, and names in modules, which may be modules too."""
    names = []
    parents = module.split(".")
    for length in range(1, len(parents)):
        names.append(".".join(parents[:length]))
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError):  # a compiled module
        return names
    package = parents if file.name == "__init__.py" else parents[:-1]
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = _source_of(node, package)
            names.append(source)
            names += [f"{source}.{alias.name}" for alias in node.names]
    return names


def _source_of(node: ast.ImportFrom, package: Sequence[str]) -> str:
    """Return the module of `from MODULE import …`, which may be relative to a package."""
    parts: list[str] = []
    if node.level:
        parts += package[: len(package) + 1 - node.level]
    if node.module:
        parts.append(node.module)
    return ".".join(parts)


def _compiled(part: object) -> dict[str, str]:
    """Digest the compiled functions of a notebook's class or function, and the notebook's functions that they call."""
    functions = [part]
    if isinstance(part, type):
        functions = [getattr(value, "__func__", value) for value in vars(part).values()]
    code = {}
    waiting = [function for function in functions if isinstance(function, FunctionType)]
    while waiting:
        function = waiting.pop()
        if function.__qualname__ in code:
            continue
        code[function.__qualname__] = text_digest(_text_of(function.__code__), 16)
        for called in map(function.__globals__.get, function.__code__.co_names):
            if inspect.isfunction(called) and called.__module__ == NOTEBOOK:
                waiting.append(called)
    return code


def _text_of(code: object) -> str:
    """Return instructions, names and constants of compiled code as text; a constant as it is written."""
    if not isinstance(code, CodeType):
        return repr(code)
    constants = [_text_of(item) for item in code.co_consts]
    return f"{code.co_code!r} {code.co_names} {constants}"
