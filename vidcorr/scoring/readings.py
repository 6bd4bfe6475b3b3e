"""Readings of predictions: is their start what the protocol gives, as written or under another convention?

A reading is another convention of writing a prediction: a frame late, counted from 0, y before x. It is told by the
prediction's first places: the given start, and the next three that are scored. At each place and for each item (an
object, a box, a track) the error of the prediction as it is written is compared with its error under the reading.
"""

from collections.abc import Mapping
from pathlib import Path

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

Errors = Mapping[str, NDArray[np.float64]]
"""Reading → errors `(PLACES, items)` in pixels, NaN where prediction or annotation have nothing; with `AS_WRITTEN`."""


def errors_of(readings: Mapping[str, ArrayLike]) -> Errors:
    """Return readings with their errors as arrays `(PLACES, items)`; one item may be given as `(PLACES,)`."""
    errors: dict[str, NDArray[np.float64]] = {}
    for reading, values in readings.items():
        errors[reading] = np.asarray(values, np.float64).reshape(PLACES, -1)
    return errors


def explaining(errors: Errors) -> str | None:
    """Return the reading that explains a sequence, of several the one with the least errors; or None.

    It explains an item whose first known place is off if it has that place to a pixel and `TIMES` better, and if most
    of the later places are off too: else the prediction is right as it is written, but for a start that is not scored.
    A prediction that begins with what is given is read as written, as that of a tracker that stays there. It explains
    the sequence if it explains most of the items that are off.
    """
    written = errors[AS_WRITTEN]
    found: dict[str, float] = {}
    for reading, values in errors.items():
        known = np.isfinite(written) & np.isfinite(values)
        if not known.any():
            continue
        first = known.argmax(axis=0)[None]
        start = np.take_along_axis(written, first, axis=0)[0]
        start_of_reading = np.take_along_axis(values, first, axis=0)[0]
        is_given = written[0] < OFF
        is_off = known.any(axis=0) & (start >= OFF) & ~is_given
        is_exact = (start_of_reading <= EXACT) & (TIMES * start_of_reading <= start)
        later = known & (np.arange(PLACES)[:, None] > first)
        off_later = (later & (written >= OFF)).sum(axis=0)
        explained = is_off & is_exact & (2 * off_later > later.sum(axis=0))
        if 2 * explained.sum() > is_off.sum():
            found[reading] = float(values[known].mean())
    return min(found, key=lambda reading: found[reading], default=None)


def doubts_about(sequences: Mapping[Path, Errors], start: str, expected: str) -> list[str]:
    """Refuse predictions that another reading explains, or return what is doubtful about their starts, in a sentence.

    Args:
        sequences: file or folder of the predictions of each sequence → errors.
        start: what the protocol gives, in words.
        expected: how predictions are written, in words.

    Raises:
        DataError: if a reading explains most sequences; it names the first of them.
    """
    explained: dict[str, list[Path]] = {}
    off: dict[Path, float] = {}
    for place, errors in sequences.items():
        reading = explaining(errors)
        if reading is not None:
            explained.setdefault(reading, []).append(place)
        at_start = errors[AS_WRITTEN][0]
        largest = np.max(at_start, initial=0.0, where=np.isfinite(at_start))
        if largest >= OFF:
            off[place] = float(largest)
    for reading, places in explained.items():
        if 2 * len(places) > len(sequences):
            share = f"{len(places)} of {len(sequences)}"
            raise DataError(f"{places[0]}: the predictions are {reading}, as their starts show ({share}); {expected}")
    if not off:
        return []
    first, by = next(iter(off.items()))
    share = f"{len(off)} of {len(sequences)} predictions"
    return [f"{share} do not begin with {start} ({first.name}: {by:.1f} px away): are they written as {expected}?"]
