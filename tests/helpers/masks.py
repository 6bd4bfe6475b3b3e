"""Masks on disk."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image


def read_masks(folder: Path) -> torch.Tensor:
    """Return the masks of a folder, in the order of their names: (T, H, W) uint8."""
    return torch.stack([torch.from_numpy(np.array(Image.open(path))) for path in sorted(folder.glob("*.png"))])
