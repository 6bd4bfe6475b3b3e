"""Random masks, and masks on disk."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image


def random_masks(seed: int, frames: int = 6, height: int = 37, width: int = 52) -> torch.Tensor:
    """Blobs that often touch the picture's border; frame 0 is empty, frame 1 full, frame 2 one pixel."""
    noise = torch.nn.functional.avg_pool2d(
        torch.randn(frames, 1, height + 8, width + 8, generator=torch.manual_seed(seed)), 9, 1
    )
    masks = noise[:, 0] > 0.02
    masks[0], masks[1], masks[2] = False, True, False
    masks[2, seed % height, (7 * seed) % width] = True
    return masks


def read_masks(folder: Path) -> torch.Tensor:
    """Return the masks of a folder, in the order of their names: (T, H, W) uint8."""
    return torch.stack([torch.from_numpy(np.array(Image.open(path))) for path in sorted(folder.glob("*.png"))])
