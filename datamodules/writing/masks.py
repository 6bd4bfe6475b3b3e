"""Object ids as indexed PNGs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .files import unfinished

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def write_ids(path: Path, ids: NDArray[np.uint8], palette: NDArray[np.uint8]) -> None:
    """Write ids `(H, W)` as an indexed PNG, atomically.

    Args:
        path: the file; its folder exists.
        ids: palette index per pixel.
        palette: `(256, 3)` RGB.
    """
    from PIL import Image

    image = Image.fromarray(ids)
    image.putpalette(palette.ravel().tolist())
    with unfinished(path) as temporary:
        image.save(temporary, "PNG", compress_level=1)
