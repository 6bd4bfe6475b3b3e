"""Readings of predictions: is their start what the protocol gives, as written or under another convention?

A reading is another convention of writing a prediction: a frame late or early, counted from 0, y before x. It is told
by the prediction's first places: the given start, and the next three that are scored. At each place and for each item
(an object, a box, a track) the error of the prediction as it is written is compared with its error under the reading.
Any other prediction that does not begin with what is given is scored, and its distance is said.
"""

from collections.abc import Collection, Mapping
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
"""Reading of predictions of every kind → by how many frames its content is late: 1, if frame t + 1 has what is of t."""

Errors = Mapping[str, NDArray[np.float64]]
"""Reading → errors `(PLACES, items)`, pixels; infinite where the prediction alone has nothing, NaN without a place."""


def errors_of_numbers(
    found: NDArray[Any],
    target: NDArray[Any],
    starts: ArrayLike,
    is_scored: NDArray[np.bool_],
    conventions: dict[str, NDArray[Any]],
) -> Errors:
    """Return how far boxes or points are from the annotation at their first places, by each reading, pixels.

    The places of an item are its start, unless the prediction is 0 or not finite there, and its next scored frames.

    Args:
        found: `(items, T, numbers)`, predicted.
        target: `(items, T, numbers)`, annotated.
        starts: `(items,)`, frames of the starts.
        is_scored: `(items, T)`.
        conventions: readings besides `SHIFTS` → what is predicted by them.
    """
    items, frames, _ = found.shape
    places = np.full((PLACES, items), -1)
    for item, start in enumerate(np.asarray(starts, int)):
        following = start + 1 + np.flatnonzero(is_scored[item, start + 1 :])[: PLACES - 1]
        places[: 1 + len(following), item] = [start, *following]
    numbers = np.arange(items)
    readings: dict[str, NDArray[np.float64]] = {}
    for reading, values in (dict.fromkeys(SHIFTS, found) | conventions).items():
        shifted = places + SHIFTS.get(reading, 0)
        has_place = (places >= 0) & (shifted >= 0) & (shifted < frames)
        differences = np.abs(values[numbers, shifted.clip(0, frames - 1)] - target[numbers, places]).max(axis=-1)
        readings[reading] = np.where(has_place, np.nan_to_num(differences, nan=inf, posinf=inf), nan)
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
    as_written = np.concatenate([errors[AS_WRITTEN] for errors in sequences], axis=1)
    is_written = ~np.isnan(as_written)
    for reading in next(iter(sequences)):
        if reading == AS_WRITTEN:
            continue
        as_read = np.concatenate([errors[reading] for errors in sequences], axis=1)
        is_known = is_written & np.isfinite(as_read)
        first = first_in_columns(is_known)
        start = first_in_columns(is_written) & is_known.any(axis=0)
        if start.any() and (is_known & ~first).any():
            error = float(np.median(as_read[first]))
            off = np.median(as_written[start])
            is_off = off >= OFF and np.median(as_written[is_known & ~first]) >= OFF
            if is_off and error <= min(EXACT, off / TIMES):
                explained[reading] = error
    return min(explained, key=explained.__getitem__, default=None)


def first_in_columns(condition: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return an array that is True where each column of a condition is True for the first time."""
    return condition & (condition.cumsum(axis=0) == 1)


def refuse_or_doubt(sequences: Mapping[Path, Errors], start: str, expected: str) -> list[str]:
    """Refuse predictions that another reading explains, or return what is doubtful about their starts, in sentences.

    Args:
        sequences: file or folder of the predictions of each sequence → errors.
        start: what the protocol gives, in words.
        expected: how predictions are written, in words.

    Raises:
        DataError: if a reading explains the predictions; it names the first of them.
    """
    if not sequences:
        return []
    reading = explaining_reading(sequences.values())
    if reading is not None:
        shown = f"as their starts show ({len(sequences)} sequences)"
        raise DataError(f"{next(iter(sequences))}: the predictions are {reading}, {shown}; expected {expected}")
    off: list[str] = []
    empty: list[str] = []
    for place, errors in sequences.items():
        at_start, later = np.split(errors[AS_WRITTEN], [1])
        largest = np.max(at_start, initial=0.0, where=np.isfinite(at_start))
        if largest >= OFF:
            off.append(f"{place.name}: {largest:.1f} px away")
        if np.isinf(later).any() and not np.isfinite(later).any():
            empty.append(place.name)
    doubts: list[str] = []
    share = f"of {len(sequences)} predictions"
    if off:
        doubts.append(f"{len(off)} {share} do not begin with {start} ({off[0]}): are they written as {expected}?")
    if empty:
        doubts.append(f"{len(empty)} {share} hold nothing in their first scored frames (first {empty[0]})")
    return doubts
