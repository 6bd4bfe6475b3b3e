"""Identity of a result: everything of benchmark and data that can change its numbers, as plain values for a digest.

- Data: the digests of the sequences (`content_digest`), and the bytes of lists and metadata. A frame that is replaced
  by another of the same name and size goes unnoticed.
- Paths do not count: a copy of the data in another folder gives the same result.

Code of the user has no identity: it is run again.
"""

import json
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args, get_type_hints

from ..videos.digests import file_digest, text_digest
from ..videos.files import user_path
from .base import Benchmark


def identity_of(benchmark: Benchmark) -> dict[str, Any]:
    """Return everything that the scores of a benchmark depend on, except network and protocol."""
    kind = type(benchmark)
    hints = get_type_hints(kind)
    arguments = {}
    files = []
    for item in fields(benchmark):
        # the digest of the protocol holds both
        if item.name in ("protocol", "changes"):
            continue
        value = getattr(benchmark, item.name)
        # annotated as `str | Path`, or with None
        takes_path = Path in get_args(hints[item.name])
        is_path = isinstance(value, Path) or (takes_path and isinstance(value, str))
        if not is_path:
            arguments[item.name] = repr(value)
        elif user_path(value).is_file():  # of a folder, `digests` has the content
            files.append(user_path(value))
    return {
        "benchmark": f"{kind.__module__}.{kind.__qualname__}",
        "version": version("vidcorr"),
        "arguments": arguments,
        "data": text_digest(json.dumps([*map(file_digest, files), benchmark.digests])),
    }
