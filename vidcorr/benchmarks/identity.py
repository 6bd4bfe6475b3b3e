"""Identity of a result: everything of benchmark and data that can change its numbers, as plain values for a digest.

- Data: the bytes of annotations, lists and metadata, and of the first frame of each sequence; name and size in bytes of
  the other frames. A frame that is replaced by another of the same name and size goes unnoticed.
- Paths do not count: a copy of the data in another folder gives the same result.

Code of the user has no identity: it is run again.
"""

import functools
import hashlib
import json
from collections.abc import Iterable
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np

from ..datasets.records import FRAME_FIELDS
from ..videos.digests import file_digest, text_digest
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
        takes_path = Path in get_args(hints[item.name])  # str | Path
        is_path = isinstance(value, Path) or (takes_path and isinstance(value, str))
        if not is_path:
            arguments[item.name] = repr(value)
        elif Path(value).expanduser().is_file():
            files.append(Path(value).expanduser())
    return {
        "benchmark": f"{kind.__module__}.{kind.__qualname__}",
        "version": version("vidcorr"),
        "arguments": arguments,
        "data": data_digest(benchmark.sequences, files),
    }


def data_digest(sequences: Iterable[object], files: Iterable[Path] = ()) -> str:
    """Digest sequences with their files.

    Args:
        sequences: the evaluated sequences. All their fields count; files in `FRAME_FIELDS` by name and size, a
            video's first frame and all other files by their bytes.
        files: further files, which count by their bytes.

    Raises:
        OSError: if a file cannot be read.
    """
    digest_of = functools.cache(file_digest)

    def plain(value: Any) -> Any:
        """Return what JSON cannot hold as what it can: files and arrays by digests, objects by their fields.

        Functions, such as a decoder of frames, are left out.
        """
        if isinstance(value, Path):
            return [value.name, digest_of(value)]
        if isinstance(value, np.ndarray):
            return [str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
        if callable(value):
            return None
        values = dict(getattr(value, "__dict__", {"value": repr(value)}))
        for name in FRAME_FIELDS:
            frames = values.get(name, ())  # an object without frames gets an empty list: digests have it
            values[name] = [[file.name, file.stat().st_size] for file in frames]
            if name == "frames" and len(frames) > 1:
                values[name].append(digest_of(frames[0]))
        return values

    return text_digest(json.dumps([list(files), list(sequences)], default=plain))
