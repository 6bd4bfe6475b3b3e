"""One short scene for the tests of `predict`, and masks on disk."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

FRAMES, RATE = 10, 12


def tensors(video):
    return torch.from_numpy(video).permute(0, 3, 1, 2)


def bounds(mask):
    rows, columns = np.argwhere(mask.any(1)).ravel(), np.argwhere(mask.any(0)).ravel()
    return np.array([columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]], float)


def read_masks(folder: Path) -> torch.Tensor:
    """Return the masks of a folder, in the order of their names: (T, H, W) uint8."""
    return torch.stack([torch.from_numpy(np.array(Image.open(path))) for path in sorted(folder.glob("*.png"))])
