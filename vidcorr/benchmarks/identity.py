"""Identity of a result: everything of benchmark and data that can change its numbers, as plain values for a digest.

- Data: the bytes of annotations, lists and metadata; name and size in bytes of each frame. A frame that is replaced by
  another of the same name and size goes unnoticed.
- Paths: the resolved path of each argument. A copy of the data in another folder is evaluated again, because equal
  names and sizes of frames do not prove equal frames.

Code of the user has no identity: it is run again.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np

from ..datasets.records import FRAME_FIELDS
from ..videos.digests import file_digest
from .base import Benchmark


def identity_of(benchmark: Benchmark) -> dict[str, Any]:
    """Return everything that the scores of a benchmark depend on, except network and protocol.

    Raises:
        OSError: if a file of the data cannot be read.
    """
    kind = type(benchmark)
    hints = get_type_hints(kind)
    arguments = {}
    files = []
    for item in fields(benchmark):
        if item.name in ("protocol", "changes"):
            continue
        value = getattr(benchmark, item.name)
        is_path = isinstance(value, Path) or (isinstance(value, str) and Path in get_args(hints[item.name]))
        if is_path:
            value = Path(value).expanduser().resolve()
            if value.is_file():
                files.append(value)
        arguments[item.name] = repr(value)
    return {
        "benchmark": f"{kind.__module__}.{kind.__qualname__}",
        "version": version("vidcorr"),
        "arguments": arguments,
        "data": data_digest(benchmark.sequences, files),
    }


def data_digest(sequences: Iterable[object], files: Iterable[Path] = ()) -> str:
    """Digest sequences with their files.

    Args:
        sequences: the evaluated sequences. All their fields count; files in `FRAME_FIELDS` by name and size, other
            files by their bytes.
        files: further files, which count by their bytes.

    Raises:
        OSError: if a file cannot be read.
    """
    digest = hashlib.sha256()
    contents: dict[Path, str] = {}
    for part in _parts([list(files), list(sequences)]):
        if isinstance(part, Path):
            if part not in contents:
                contents[part] = file_digest(part)
            part = f"{part.name} {contents[part]}"
        digest.update(part if isinstance(part, bytes) else part.encode("utf-8", "surrogateescape"))
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _parts(value: object) -> Iterator[str | bytes | Path]:
    """Yield everything in a nested value: texts, bytes of arrays, and files that count by their bytes.

    Functions, such as a decoder of frames, are left out.
    """
    if isinstance(value, Path):
        yield value
    elif isinstance(value, np.ndarray | np.generic):
        yield f"{value.dtype} {value.shape}"
        yield value.tobytes()
    elif isinstance(value, list | tuple) and not hasattr(value, "_asdict"):
        yield f"{len(value)} items"
        for item in value:
            yield from _parts(item)
    elif isinstance(value, str | int | float | None):
        yield repr(value)
    elif not callable(value):
        yield from _parts_of_fields(value)


def _parts_of_fields(value: Any) -> Iterator[str | bytes | Path]:
    """Yield everything in a mapping, a named tuple or an object with fields."""
    named = value
    if hasattr(value, "_asdict"):
        named = value._asdict()
    elif not isinstance(value, Mapping):
        named = vars(value)
    for name, item in sorted(named.items(), key=lambda pair: str(pair[0])):
        yield str(name)
        if name not in FRAME_FIELDS:
            yield from _parts(item)
            continue
        for part in _parts(item):
            if isinstance(part, Path):
                yield f"{part.name} {part.stat().st_size}"
