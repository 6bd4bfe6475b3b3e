"""Palettes of mask data sets, and the ids of masks that were saved in their colours."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LISTED_BY_DAVIS = 22
"""First index of the greys in DAVIS's own palette."""
_YOUTUBE_VOS = (
    "000000 ec5f67 f99157 fac863 99c794 62b3b2 6699cc c594c5 ab7967 ffffff 65737e 0b0b0b 0c0c0c 0d0d0d 0e0e0e 0f0f0f"
)
"""Colours of YouTube-VOS's masks by index, hexadecimal RGB."""


def davis_palette() -> NDArray[np.uint8]:
    """Return the palette of PASCAL VOC, whose first colours are those of DAVIS: (256, 3) uint8 RGB.

    Bits 0, 1 and 2 of an index go to red, green and blue from the highest bit down, then bits 3, 4 and 5, and so on.

    Example:
        >>> davis_palette()[:4].tolist()
        [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    index = np.arange(256)[:, None]
    channel = np.arange(3)[None]
    palette = np.zeros((256, 3), np.uint8)
    for level in range(3):
        bits = (index >> (3 * level + channel)) & 1
        palette += (bits << (7 - level)).astype(np.uint8)
    return palette


@cache
def known_palettes() -> tuple[NDArray[np.uint8], ...]:
    """Return the palettes of DAVIS's files, PASCAL VOC and YouTube-VOS: (N, 3) uint8 RGB.

    A mask saved as RGB in one of these palettes gets its ids back by them.
    DAVIS's files have 191 in place of VOC's 192, and greys of their index from 22 on.
    """
    voc = davis_palette()
    davis = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    davis[:_LISTED_BY_DAVIS] = np.where(voc == 192, 191, voc)[:_LISTED_BY_DAVIS]
    youtube = np.array([list(bytes.fromhex(colour)) for colour in _YOUTUBE_VOS.split()], dtype=np.uint8)
    return davis, voc, youtube


def packed(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return colours (…, 3) as numbers (…), 65536 red + 256 green + blue."""
    return np.asarray(colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1]))


def ids_by_palette(numbers: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """Return the indices of colours in the first known palette that has all of them, and this palette.

    Args:
        numbers: (N,) distinct colours as `packed` gives them.

    Returns:
        Indices (N,) and the palette (256, 3), black beyond its colours; None if no known palette has all colours.
    """
    for palette in known_palettes():
        matches = packed(palette) == numbers[:, None]
        if matches.any(axis=1).all():
            whole = np.zeros((256, 3), np.uint8)
            whole[: len(palette)] = palette
            return matches.argmax(axis=1).astype(np.uint8), whole
    return None
