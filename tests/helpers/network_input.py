"""Comparison of a network's input with the figures of it in ../shared/golden/protocols/inputs.npz."""

import numpy as np
import torch
from torch import Tensor


def summaries(x: Tensor) -> dict[str, Tensor]:
    """Return the figures of an input (3, H, W): shape, samples, moments, weighted means."""
    row, column = torch.arange(x.shape[1]).double()[:, None], torch.arange(x.shape[2]).double()
    waves = [(0.37 * row + 0.11 * column).cos(), (0.05 * row - 0.23 * column).sin()]
    x = x.double()
    return {
        "shape": torch.tensor(x.shape),
        "s16": x[:, ::16, ::16],
        "mean_c": x.mean((1, 2)),
        "std_c": x.std((1, 2), correction=0),
        "weighted": torch.stack([(x * wave).mean((1, 2)) for wave in waves]),
    }


def check_input(seen: Tensor, expected: dict[str, np.ndarray], family: str, tolerance: float = 1e-5) -> None:
    """Assert that an input is that of a family."""
    for key, found in summaries(seen).items():
        wanted = torch.from_numpy(expected[f"{family}_{key}"])
        torch.testing.assert_close(
            found.to(wanted).flatten(), wanted.flatten(), atol=tolerance, rtol=0, msg=f"{family} {key}"
        )
