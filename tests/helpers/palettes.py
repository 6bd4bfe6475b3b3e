"""Masks as indexed pictures."""

from typing import Any

import numpy as np
from PIL import Image

from vidcorr.videos.masks import davis_palette


def with_palette(ids: np.ndarray, palette: Any = None) -> Image.Image:
    """Return ids as an indexed picture, in DAVIS's colours where none are given."""
    image = Image.fromarray(ids)
    image.putpalette(np.ravel(davis_palette() if palette is None else palette).tolist())
    return image
