"""The contrastive random walk against the golden losses and gradients, and against a loop over all paths."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from lightning_modules.functional import contrastive_random_walk_loss
from lightning_modules.functional.losses import drop_edges


@pytest.mark.parametrize("case", ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c1d"])
def test_golden(golden: Any, case: str) -> None:
    numbers = golden("crw_loss")
    nodes = torch.from_numpy(numbers[f"{case}_q"]).requires_grad_()
    masks = None
    if f"{case}_drop12" in numbers:
        masks = torch.from_numpy(numbers[f"{case}_drop12"]), torch.from_numpy(numbers[f"{case}_drop21"])
    loss = contrastive_random_walk_loss(nodes, float(numbers[f"{case}_params"][0]), masks)
    (gradient,) = torch.autograd.grad(loss, nodes)
    if case == "c1d":  # the code's total is float32, its terms are not
        assert loss.item() == pytest.approx(numbers["c1d_xent"].mean(), abs=1e-10)
    np.testing.assert_allclose(loss.item(), numbers[f"{case}_loss"].item(), rtol=0, atol=1e-4 if case == "c4" else 1e-5)
    np.testing.assert_allclose(gradient, numbers[f"{case}_grad_q"], rtol=0, atol=1e-5)


def by_paths(nodes: Tensor, temperature: float, out: Tensor, back: Tensor) -> float:
    """The loss by enumerating the paths of every walk of one sample `(C, T, N)`."""
    _, frames, count = nodes.shape

    def step(source: Tensor, target: Tensor, dropped: Tensor) -> Tensor:
        return (source.T @ target).masked_fill(dropped, -1e20).div(temperature).softmax(1)

    ahead = [step(nodes[:, t], nodes[:, t + 1], out[t]) for t in range(frames - 1)]
    home = [step(nodes[:, t + 1], nodes[:, t], back[t] | out[t].T) for t in range(frames - 1)]
    terms = []
    for length in range(2, frames):
        steps = [*ahead[:length], *reversed(home[:length])]
        total = 0.0
        for start in range(count):
            paths = itertools.product(range(count), repeat=2 * length - 1)
            chance = sum(
                torch.stack(
                    [m[a, b] for m, (a, b) in zip(steps, itertools.pairwise((start, *path, start)), strict=True)]
                )
                .prod()
                .item()
                for path in paths
            )
            total -= np.log(chance + 1e-20) / count
        terms.append(total)
    return float(np.mean(terms))


def test_it_is_the_chance_of_all_paths_that_return() -> None:
    nodes = normalize(torch.randn(1, 4, 4, 3, dtype=torch.float64), dim=1)
    masks = torch.rand(2, 1, 3, 3, 3) < 0.2
    expected = by_paths(nodes[0], 0.3, masks[0, 0], masks[1, 0])
    assert contrastive_random_walk_loss(nodes, 0.3, (masks[0], masks[1])).item() == pytest.approx(expected, rel=1e-6)


def test_dropped_edges_are_drawn_one_by_one() -> None:
    nodes = torch.zeros(3, 2, 4, 20)
    generator = torch.Generator().manual_seed(0)
    out, back = drop_edges(nodes, 0.1, generator) or (None, None)
    assert out is not None
    assert back is not None
    assert out.shape == back.shape == (3, 3, 20, 20)
    for mask in (out, back):
        assert mask.float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert (out & back).float().mean() < 0.03
    assert drop_edges(nodes, 0.0, generator) is None


def test_bad_arguments() -> None:
    nodes = torch.zeros(1, 2, 3, 4)
    with pytest.raises(ValueError, match=r"expected float nodes \(B, C, T, N\) with T >= 2, got \(1, 2, 1, 4\)"):
        contrastive_random_walk_loss(nodes[:, :, :1])
    with pytest.raises(ValueError, match=r"two bool masks \(1, 2, 4, 4\)"):
        contrastive_random_walk_loss(nodes, 0.1, (torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)))
