"""Turning and mirroring of frames as a video file's display matrix asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import av

_MATRIX_BYTES = 36
_ONE = 1 << 16  # of the matrix's 16.16 fixed-point numbers


class Orientation(NamedTuple):
    """One of the eight ways to turn and mirror a picture; true unless it leaves the picture as it is.

    Attributes:
        transposed: rows and columns change places, first of all.
        mirrored: left and right change places.
        flipped: top and bottom change places.
    """

    transposed: bool = False
    mirrored: bool = False
    flipped: bool = False

    def __bool__(self) -> bool:
        return any(self)

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Return a view of (H, W, …) as it is to be shown: (H, W, …) or (W, H, …)."""
        shown = picture.swapaxes(0, 1) if self.transposed else picture
        return shown[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """Return the orientation that a decoded frame's display matrix asks for; none where it has no such matrix."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return Orientation()
    content = bytes(memoryview(data))  # type: ignore[arg-type]
    return nearest_orientation(np.frombuffer(content, np.int32)) if len(content) == _MATRIX_BYTES else Orientation()


def nearest_orientation(matrix: np.ndarray) -> Orientation:
    """Return the orientation that is nearest to a display matrix.

    The matrix [a b u, c d v, x y w] takes a stored pixel (p, q) to (a p + c q + x, b p + d q + y); its translation is
    what brings the picture back into view and needs no reading. Other angles than quarter turns go to the nearest one,
    and a matrix whose linear part is zero or singular says nothing.

    Args:
        matrix: (9,) int32, fixed point: 16.16, the third column 2.30.

    Example:
        >>> nearest_orientation(np.array([-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30]))
        Orientation(transposed=False, mirrored=True, flipped=False)
    """
    a, b, c, d = (float(matrix[index]) / _ONE for index in (0, 1, 3, 4))
    if abs(a * d - b * c) < 1e-6:
        return Orientation()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        across, down = _signs(a, d, a * d - b * c)
        return Orientation(False, across, down)
    across, down = _signs(c, b, b * c - a * d)
    return Orientation(True, across, down)


def _signs(across: float, down: float, product: float) -> tuple[bool, bool]:
    """Return which of two factors are negative, where the sign of the smaller follows from that of their product."""
    if abs(across) >= abs(down):
        return across < 0, (across < 0) != (product < 0)
    return (down < 0) != (product < 0), down < 0
