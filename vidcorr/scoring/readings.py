"""Readings of predictions: do they begin with what the protocol gives, as written or under another convention?

A reading is a convention of writing predictions: as written, a frame late or early, counted from 0, y before x. It is
told by four places of each item (an object, a box, a track): its given start, and its next three scored frames. At each
place the error of the prediction as written is compared with its error under the reading. Predictions that another
reading explains are refused; other predictions that do not begin with what is given are scored, with a doubt.
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
"""Least error, pixels, of a start that is not the given one. Rounding is less; counting from 0 makes an error of 1."""
EXACT = 1.0
"""Largest error, pixels, under a reading that explains a start."""
TIMES = 10
"""A reading explains a start only if the error as written is at least this many times its own error."""
PLACES = 4
"""Number of places that are compared: the start and the next three."""

SHIFTS = {AS_WRITTEN: 0, "a frame late": 1, "a frame early": -1}
"""Readings of all kinds of predictions → the shift in frames: 1 if frame t + 1 holds the prediction of frame t."""

Errors = Mapping[str, NDArray[np.float64]]
"""Reading → errors `(PLACES, items)`, pixels. Infinite: there is no prediction; NaN: the item has no such place."""


def errors_of_numbers(
    found: NDArray[Any],
    target: NDArray[Any],
    starts: ArrayLike,
    is_scored: NDArray[np.bool_],
    conventions: dict[str, NDArray[Any]],
) -> Errors:
    """Return how far predicted boxes or points are from the annotation in their first frames, by each reading.

    An error is the largest difference of a coordinate. The places of an item (box or point) are its start and its next
    three scored frames. At the start, the error as written is NaN if the prediction is 0 or not finite, since some
    trackers write nothing there; in the reading "a frame early" it is always NaN.

    Args:
        found: `(items, T, numbers)`, predicted boxes or points.
        target: `(items, T, numbers)`, annotated boxes or points.
        starts: `(items,)`, frames of the starts.
        is_scored: `(items, T)`, True for a frame in which the item counts.
        conventions: further readings → `found` as read by them, for example with 1 added to x and y.

    Returns:
        Reading → errors `(PLACES, items)`, pixels.
    """
    items, frames, _ = found.shape
    places = np.full((PLACES, items), -1)  # frame of each place; -1: the item has no such place
    for item, start in enumerate(np.asarray(starts, int)):
        following = start + 1 + np.flatnonzero(is_scored[item, start + 1 :])[: PLACES - 1]
        places[: 1 + len(following), item] = [start, *following]
    numbers = np.arange(items)
    readings: dict[str, NDArray[np.float64]] = {}
    # `SHIFTS`: reading → shift in frames, 0 as written; a convention reads other values without a shift
    for reading, values in (dict.fromkeys(SHIFTS, found) | conventions).items():
        shifted = places + SHIFTS.get(reading, 0)  # frames whose predictions belong to the places by this reading
        has_place = (places >= 0) & (shifted >= 0) & (shifted < frames)
        # a place outside the video reads some other frame here; `where` below makes its error NaN
        differences = np.abs(values[numbers, shifted.clip(0, frames - 1)] - target[numbers, places]).max(axis=-1)
        # a difference that is not finite means no prediction: infinite
        readings[reading] = np.where(has_place, np.nan_to_num(differences, nan=inf, posinf=inf), nan)
    at_start = found[numbers, places[0]]
    is_empty = ~np.isfinite(at_start).all(axis=-1) | (at_start == 0).all(axis=-1)
    readings[AS_WRITTEN][0, is_empty] = nan
    readings["a frame early"][0] = nan  # the frame before a start holds no prediction
    return readings


def explaining_reading(sequences: Collection[Errors]) -> str | None:
    """Return the reading, as "a frame late", under which predictions are right that are wrong as written, or None.

    Of several, the one with the least error. A reading has to pass three tests of medians over the items (objects,
    points) of all sequences: 1. Under the reading, each item's first known place is right to `EXACT` pixels. 2. As
    written, each item's first place is off by `OFF` or more, and by `TIMES` the error under the reading or more. 3. As
    written, the later places are off by `OFF` or more too. Without this test, a tracker that writes a wrong box at the
       start alone, which is not scored, would be suspected.

    Args:
        sequences: errors of each sequence: reading → `(PLACES, items)`, pixels; NaN: the item has no such place.

    Example:
        >>> def reading_of(written_as, late, others=0):  # of an item, beside others that are right as written
        ...     columns = {AS_WRITTEN: written_as, "a frame late": late}
        ...     item = {reading: np.array(errors, float)[:, None] for reading, errors in columns.items()}
        ...     right = {AS_WRITTEN: np.zeros((PLACES, 1)), "a frame late": np.full((PLACES, 1), 9.0)}
        ...     return explaining_reading([item] + [right] * others)
        >>> reading_of([9, 0.9, 0.9, 0.9], [0.5, 2, 3, 4])
        'a frame late'
        >>> reading_of([np.nan, 9, 9, 9], [0.5, 0.5, 3, 4])  # nothing is written at the start
        'a frame late'
        >>> reading_of([9, 9, 9, 9], [1.5, 2, 3, 4])  # not right under the reading
        >>> reading_of([9, 0, 0, 0], [0, 3, 3, 3])  # right as written after the start
        >>> reading_of([0.7] * 4, [0.1] * 4)  # a tracker's bias in a slow pan
        >>> reading_of([9] * 4, [0.5, 2, 3, 4], others=2)
        >>> reading_of([np.nan] * 4, [0] * 4)
    """
    explained: dict[str, float] = {}
    as_written = np.concatenate([errors[AS_WRITTEN] for errors in sequences], axis=1)
    is_written = ~np.isnan(as_written)
    for reading in next(iter(sequences)):
        if reading == AS_WRITTEN:
            continue
        as_read = np.concatenate([errors[reading] for errors in sequences], axis=1)
        is_known = is_written & np.isfinite(as_read)
        first_known = first_in_columns(is_known)
        is_later = is_known & ~first_known
        # the first place with an error as written, of items that have both errors at some place
        first_written = first_in_columns(is_written) & is_known.any(axis=0)
        if first_written.any() and is_later.any():
            error = float(np.median(as_read[first_known]))
            off = np.median(as_written[first_written])
            is_off = off >= OFF and np.median(as_written[is_later]) >= OFF
            if is_off and error <= min(EXACT, off / TIMES):
                explained[reading] = error
    return min(explained, key=explained.__getitem__, default=None)


def first_in_columns(condition: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a copy of a condition `(places, items)` in which only the first True of each column stays True."""
    return condition & (condition.cumsum(axis=0) == 1)


def refuse_or_doubt(sequences: Mapping[Path, Errors], start: str, expected: str) -> list[str]:
    """Refuse predictions that another reading explains; else return a sentence per doubt about the first frames.

    One doubt: predictions at the start differ from what the tracker was given. The other: a sequence has no predictions
        in
    its first scored frames.

    Args:
        sequences: file or folder of a sequence's predictions → its errors: reading → `(PLACES, items)`, pixels.
        start: name of what the tracker was given at the start, such as "the given box".
        expected: how predictions should be written, in words.

    Raises:
        DataError: if a reading explains the predictions; the message names the first file and the reading.
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
        # first row: the start; other rows: the next scored frames. Infinite: no prediction; NaN: nothing to compare
        at_start, later = np.split(errors[AS_WRITTEN], [1])
        largest = np.max(at_start, initial=0.0, where=np.isfinite(at_start))
        if largest >= OFF:
            off.append(f"{place.name}: {largest:.1f} px away")
        if np.isinf(later).any() and not np.isfinite(later).any():  # no place that can be compared has a prediction
            empty.append(place.name)
    doubts: list[str] = []
    share = f"of {len(sequences)} predictions"
    if off:
        doubts.append(f"{len(off)} {share} do not begin with {start} ({off[0]}): are they written as {expected}?")
    if empty:
        doubts.append(f"{len(empty)} {share} hold nothing in their first scored frames (first {empty[0]})")
    return doubts
