"""Reference numbers in tests/golden, and real videos in the folder that VIDCORR_DATA names."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
"""The reference numbers; README.md in it says how they were made."""


@cache
def _stored(name: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file as they are stored; they are not to be changed."""
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as archive:
        return dict(archive)


def golden(name: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of `tests/golden/NAME.npz`, each a copy.

    Float16 arrays come as float32: they were float32, and every value was one of float16 too.
    """
    arrays = _stored(name).items()
    return {key: array.astype(np.float32 if array.dtype == np.float16 else array.dtype) for key, array in arrays}


def real_videos() -> Path | None:
    """Return the folder that VIDCORR_DATA names; None without the variable.

    Raises:
        NotADirectoryError: if the folder does not exist.
    """
    if not (name := os.environ.get("VIDCORR_DATA")):
        return None
    if not (folder := Path(name).resolve()).is_dir():
        raise NotADirectoryError(f"VIDCORR_DATA={name}: there is no such folder; CONTRIBUTING.md says what it holds")
    return folder


def real_data(name: str) -> Path:
    """Return `NAME`, a file or folder, of the real videos; skip the test where it is missing."""
    root = real_videos()
    if root is None:
        pytest.skip("no real videos: VIDCORR_DATA names no folder")
    if not (root / name).exists():
        pytest.skip(f"no real videos: {name} is not in the folder that VIDCORR_DATA names")
    return root / name
