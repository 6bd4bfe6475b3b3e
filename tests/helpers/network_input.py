"""Comparison of a network's input with the figures of it in tests/golden/protocols/inputs.npz."""

import numpy as np
import torch
from torch import Tensor


def check_input(seen: Tensor, expected: dict[str, np.ndarray], family: str, tolerance: float = 1e-5) -> None:
    """Assert that an input (3, H, W) is that of a family: its shape, moments, weighted means and sums of samples."""
    row, column = torch.arange(seen.shape[1]).double()[:, None], torch.arange(seen.shape[2]).double()
    waves = [(0.37 * row + 0.11 * column).cos(), (0.05 * row - 0.23 * column).sin()]
    x = seen.double()
    figures = {
        "shape": torch.tensor(x.shape),
        "sums": sampled_sums(x[:, ::16, ::16]),
        "mean_c": x.mean((1, 2)),
        "std_c": x.std((1, 2), correction=0),
        "weighted": torch.stack([(x * wave).mean((1, 2)) for wave in waves]),
    }
    for key, found in figures.items():
        wanted = torch.from_numpy(expected[f"{family}_{key}"])
        torch.testing.assert_close(
            found.to(wanted).flatten(), wanted.flatten(), atol=tolerance, rtol=0, msg=f"{family} {key}"
        )


def sampled_sums(samples: Tensor) -> Tensor:
    """Return 32 sums over samples (3, h, w), each weighted by another wave and divided by √(h · w): (32, 3).

    They stand for the samples themselves: an error of e in single samples moves a sum by about e. The samples would be
    a small copy of the frame, which is not ours to give away.
    """
    row, column = torch.arange(samples.shape[1]).double()[:, None], torch.arange(samples.shape[2]).double()
    k = torch.arange(1, 33).double().view(-1, 1, 1)
    waves = (0.1 * k + 0.37 * k * row + 1.13 * k * column + 0.05 * k**2 * (row + column)).cos()
    return torch.einsum("chw,khw->kc", samples.double(), waves) / samples[0].numel() ** 0.5
