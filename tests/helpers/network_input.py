"""Comparison of a network's input with the figures of it in ../shared/golden/protocols/inputs.npz."""

import numpy as np
import torch
from torch import Tensor


def check_input(seen: Tensor, expected: dict[str, np.ndarray], family: str, tolerance: float = 1e-5) -> None:
    """Assert that an input (3, H, W) is that of a family: its shape, samples, moments and weighted means."""
    row, column = torch.arange(seen.shape[1]).double()[:, None], torch.arange(seen.shape[2]).double()
    waves = [(0.37 * row + 0.11 * column).cos(), (0.05 * row - 0.23 * column).sin()]
    x = seen.double()
    figures = {
        "shape": torch.tensor(x.shape),
        "s16": x[:, ::16, ::16],
        "mean_c": x.mean((1, 2)),
        "std_c": x.std((1, 2), correction=0),
        "weighted": torch.stack([(x * wave).mean((1, 2)) for wave in waves]),
    }
    for key, found in figures.items():
        wanted = torch.from_numpy(expected[f"{family}_{key}"])
        torch.testing.assert_close(
            found.to(wanted).flatten(), wanted.flatten(), atol=tolerance, rtol=0, msg=f"{family} {key}"
        )
