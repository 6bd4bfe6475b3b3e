"""Where predictions begin: with what the protocol gives, or with something else, which is said beside their scores."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

OFF = 0.9
"""Pixels from which a start is not the given one. Rounding and a tracker's bias are less, counting from 0 is one."""

Errors = NDArray[np.float64]
"""Distances `(items,)` of the starts of objects, boxes or tracks from the given ones, pixels; NaN if unknown."""


def errors_of_numbers(found: NDArray[Any], target: NDArray[Any], starts: ArrayLike) -> Errors:
    """Return the largest differences of boxes or points from the annotation where items begin.

    Args:
        found: `(items, T, numbers)`, predicted; a start that is 0 or not finite is unknown.
        target: `(items, T, numbers)`, annotated.
        starts: `(items,)`, frames of the starts.
    """
    places = np.arange(len(found)), np.asarray(starts, int)
    is_known = np.isfinite(found[places]).all(axis=-1) & (found[places] != 0).any(axis=-1)
    return np.where(is_known, np.abs(found[places] - target[places]).max(axis=-1), np.nan)


def doubts_about(sequences: Mapping[Path, Errors], start: str, expected: str) -> list[str]:
    """Return what is doubtful about the starts of predictions, in sentences.

    Args:
        sequences: file or folder of the predictions of each sequence → errors.
        start: what the protocol gives, in words.
        expected: how predictions are written, in words.
    """
    largest = {place: float(np.max(errors[np.isfinite(errors)], initial=0)) for place, errors in sequences.items()}
    off = {place: by for place, by in largest.items() if by >= OFF}
    if not off:
        return []
    first, by = next(iter(off.items()))
    share = f"{len(off)} of {len(sequences)} predictions do not begin with {start}"
    return [f"{share} ({first.name}: {by:.1f} px away): are they written as {expected}?"]
