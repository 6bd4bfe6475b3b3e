"""One short scene for the tests of `predict`."""

import numpy as np
import torch

FRAMES, RATE = 10, 12


def tensors(video):
    return torch.from_numpy(video).permute(0, 3, 1, 2)


def bounds(mask):
    rows, columns = np.argwhere(mask.any(1)).ravel(), np.argwhere(mask.any(0)).ravel()
    return np.array([columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]], float)
