"""Files that appear whole or not at all."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a text file under another name beside its place, and move it there when it is complete.

    Args:
        path: the file; its folder exists. What was there before stays until then.
        text: as UTF-8, line ends as they are; file names that are no UTF-8 keep their bytes.

    Raises:
        OSError: if it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
