"""Digests of texts and files, for keys of results and names of folders."""

import hashlib
from pathlib import Path

from .files import read_bytes


def text_digest(text: str, length: int = 12) -> str:
    """Return the first `length` hexadecimal digits of a text's SHA-256; surrogates of file names become their bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:length]


def file_digest(path: str | Path) -> str:
    """Return the first 16 hexadecimal digits of a file's SHA-256.

    Raises:
        DecodingError: if the file cannot be read.
    """
    return hashlib.sha256(read_bytes(path)).hexdigest()[:16]
