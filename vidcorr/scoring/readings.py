"""Readings of predictions: is their start what the protocol gives, as written or under another convention?

A reading is another convention of writing a prediction: a frame late or early, counted from 0, y before x. It is told
by the prediction's first places: the given start, and the next three that are scored. At each place and for each item
(an object, a box, a track) the error of the prediction as it is written is compared with its error under the reading.
Any other prediction that does not begin with what is given is scored, and its distance is said.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..videos.files import DataError

AS_WRITTEN = "as written"
"""Name of the reading by which predictions are scored."""
OFF = 0.9
"""Pixels from which a start is not the given one. Rounding and a tracker's bias are less, counting from 0 is one."""
EXACT = 1.0
"""Pixels up to which a reading explains a start."""
TIMES = 10
"""A reading explains a start only if its error is so many times smaller than that of the prediction as written."""
PLACES = 4
"""Number of places that are compared: the start and the next three."""

SHIFTS = {AS_WRITTEN: 0, "a frame late": 1, "a frame early": -1}
"""Reading of predictions of every kind → by how many frames later than its own a frame's content is written."""

Errors = Mapping[str, NDArray[np.float64]]
"""Reading → errors `(PLACES, items)`, pixels; infinite where the prediction alone has nothing, NaN without a place."""
Conventions = dict[str, Callable[[NDArray[Any]], Any]]
"""Reading → function from boxes or points `(..., numbers)` in its convention to those that the rules score."""


def errors_of_numbers(
    found: NDArray[Any],
    target: NDArray[Any],
    starts: ArrayLike,
    is_scored: NDArray[np.bool_],
    conventions: Conventions,
) -> Errors:
    """Return the largest differences of boxes or points from the annotation by reading, where items begin.

    The places of an item are its start, unless the prediction is 0 or not finite there, and its next scored frames.

    Args:
        found: `(items, T, numbers)`, predicted.
        target: `(items, T, numbers)`, annotated.
        starts: `(items,)`, frames of the starts.
        is_scored: `(items, T)`.
        conventions: readings besides `SHIFTS`.
    """
    items, frames, _ = found.shape
    places = np.full((PLACES, items), -1)
    for item, start in enumerate(np.asarray(starts, int)):
        following = start + 1 + np.flatnonzero(is_scored[item, start + 1 :])[: PLACES - 1]
        places[: 1 + len(following), item] = [start, *following]
    numbers = np.arange(items)

    def errors(values: NDArray[Any], shift: int = 0) -> NDArray[np.float64]:
        """Return the errors at all places `(PLACES, items)`: NaN beyond the video, infinite if not finite."""
        shifted = places + shift
        has_place = (places >= 0) & (shifted >= 0) & (shifted < frames)
        differences = np.abs(values[numbers, shifted.clip(0, frames - 1)] - target[numbers, places]).max(axis=-1)
        return np.where(has_place, np.nan_to_num(differences, nan=inf, posinf=inf), nan)

    readings: dict[str, NDArray[np.float64]] = {}
    for reading, shift in SHIFTS.items():
        readings[reading] = errors(found, shift)
    with np.errstate(invalid="ignore"):  # predictions may be infinite
        for reading, scored_form in conventions.items():
            readings[reading] = errors(np.asarray(scored_form(found)))
    at_start = found[numbers, places[0]]
    is_empty = ~np.isfinite(at_start).all(axis=-1) | (at_start == 0).all(axis=-1)
    readings[AS_WRITTEN][0, is_empty] = nan
    readings["a frame early"][0] = nan  # what stands before a start is no prediction
    return readings


def explaining_reading(sequences: Collection[Errors]) -> str | None:
    """Return the reading that explains predictions, of several the one with the least errors; or None.

    Medians over the items of all sequences decide. Read otherwise, the first known place of most items is right to a
    pixel, and `TIMES` better than as written. The later places are off too: else the predictions are right but for a
    start that is not scored, as a tracker's may be.

    Args:
        sequences: errors of each sequence.
    """
    explained: dict[str, float] = {}
    others = [reading for reading in next(iter(sequences)) if reading != AS_WRITTEN]
    for reading in others:
        as_written: list[NDArray[np.float64]] = []
        as_read: list[NDArray[np.float64]] = []
        later: list[NDArray[np.float64]] = []
        for errors in sequences:
            is_written = ~np.isnan(errors[AS_WRITTEN])
            is_known = is_written & np.isfinite(errors[reading])
            first = first_in_columns(is_known)
            start = first_in_columns(is_written) & is_known.any(axis=0)
            as_written.append(errors[AS_WRITTEN][start])
            as_read.append(errors[reading][first])
            later.append(errors[AS_WRITTEN][is_known & ~first])
        error = median(as_read)
        if median(as_written) >= OFF and median(later) >= OFF and error <= min(EXACT, median(as_written) / TIMES):
            explained[reading] = error
    return min(explained, key=explained.__getitem__, default=None)


def first_in_columns(condition: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return an array that is True where each column of a condition is True for the first time."""
    return condition & (condition.cumsum(axis=0) == 1)


def median(parts: Sequence[NDArray[np.float64]]) -> float:
    """Return the median of the numbers in all parts; NaN if there are none."""
    numbers = np.concatenate(parts)
    return float(np.median(numbers)) if len(numbers) else nan


def doubts_about(sequences: Mapping[Path, Errors], start: str, expected: str) -> list[str]:
    """Refuse predictions that another reading explains, or return what is doubtful about their starts, in sentences.

    Args:
        sequences: file or folder of the predictions of each sequence → errors.
        start: what the protocol gives, in words.
        expected: how predictions are written, in words.

    Raises:
        DataError: if a reading explains the predictions; it names the first of them.
    """
    _refuse_another_reading(sequences, expected)
    off: dict[Path, float] = {}
    empty: list[Path] = []
    for place, errors in sequences.items():
        at_start, later = np.split(errors[AS_WRITTEN], [1])
        largest = np.max(at_start, initial=0.0, where=np.isfinite(at_start))
        if largest >= OFF:
            off[place] = float(largest)
        if np.isinf(later).any() and not np.isfinite(later).any():
            empty.append(place)
    doubts: list[str] = []
    if off:
        first, by = next(iter(off.items()))
        share = f"{len(off)} of {len(sequences)} predictions"
        apart = f"{first.name}: {by:.1f} px away"
        doubts.append(f"{share} do not begin with {start} ({apart}): are they written as {expected}?")
    if empty:
        share = f"{len(empty)} of {len(sequences)} predictions"
        doubts.append(f"{share} hold nothing in their first scored frames (first {empty[0].name})")
    return doubts


def _refuse_another_reading(sequences: Mapping[Path, Errors], expected: str) -> None:
    """Refuse predictions that a reading explains; arguments as of `doubts_about`."""
    reading = explaining_reading(sequences.values()) if sequences else None
    if reading is not None:
        shown = f"as their starts show ({len(sequences)} sequences)"
        raise DataError(f"{next(iter(sequences))}: the predictions are {reading}, {shown}; expected {expected}")
