"""Liir's Eqs. 1 to 3 and 8: golden numbers, and the form by tiles against the stored affinity.

Also tests `functional/local_reconstruction.py`.
"""

import numpy as np
import pytest
import torch

from tests.helpers import stored_affinity as of_stored
from vidcorr import functional
from vidcorr.functional.local_reconstruction import reconstruction_loss

BORDERS = ("exclude", "zero")


@pytest.fixture
def case(golden):
    return {key: torch.from_numpy(np.asarray(value)) for key, value in golden("liir_mast").items()}


def maps(batch, count, channels, height, width):
    """Query, references, and values with a channel for each reference, in double precision."""
    query = torch.randn(batch, channels, height, width, dtype=torch.float64)
    references = torch.randn(batch, count, channels, height, width, dtype=torch.float64)
    return query, references, torch.randn(batch, count, count, height, width, dtype=torch.float64)


@pytest.mark.parametrize("name", ["rec1", "rec3"])
def test_colours_are_reconstructed_as_by_mast(case, name):
    query, references = case[f"{name}_q"], case[f"{name}_k"].transpose(0, 1)
    colours = case[f"{name}_colours"].transpose(0, 1)
    stored = of_stored.reconstruct(of_stored.local_affinity(query, references, 6, "zero"), colours, 6)
    torch.testing.assert_close(stored, case[f"{name}_out"], atol=1e-4, rtol=0)
    tiled = functional.reconstruct_locally(query, references, colours, 6, "zero").values
    torch.testing.assert_close(tiled, case[f"{name}_out"], atol=1e-4, rtol=0)


def test_losses_equal_liir(case):
    query, references, colours = case["inter_q"], case["inter_k"][:, None], case["inter_colours"][:, None]
    found = functional.reconstruct_locally(query, references, colours, 6, "zero", functional.CompactnessPrior())
    torch.testing.assert_close(found.values, case["inter_out"], atol=1e-4, rtol=0)
    pixel, _, compact = case["inter_loss_parts"].tolist()
    assert reconstruction_loss(found.values, case["inter_target_full"]).item() == pytest.approx(pixel, abs=1e-4)
    assert found.compactness.item() == pytest.approx(compact, abs=1e-5)
    affinity = of_stored.local_affinity(query, references, 6, "zero")
    stored = of_stored.compactness_loss(affinity, 6, functional.CompactnessPrior())
    assert stored.item() == pytest.approx(compact, abs=1e-5)


@pytest.mark.parametrize("workspace", [1, 1 << 14])
@pytest.mark.parametrize("border", BORDERS)
def test_tiles_equal_the_stored_affinity(monkeypatch, border, workspace):
    monkeypatch.setitem(functional.local_reconstruction.PRODUCTS_BUDGET, "cpu", workspace)
    inputs = [tensor.requires_grad_() for tensor in maps(3, 2, 4, 11, 18)]
    query, references, values = inputs
    prior = functional.CompactnessPrior(2, 0.4, "moments")
    affinity = of_stored.local_affinity(2 * query, references, 3, border)
    logsumexp = (2 * query * references[:, 0]).sum(1) - affinity[:, 24].log()  # by the cell itself
    stored = (of_stored.reconstruct(affinity, values, 3), logsumexp, of_stored.compactness_loss(affinity, 3, prior))
    tiled = functional.reconstruct_locally(2 * query, references, values, 3, border, prior)
    assert tiled.compactness > 0
    torch.testing.assert_close(tuple(tiled), stored)
    grid = functional.window_tiles.TileGrid((11, 18), functional.window_tiles.Neighbourhood(3))
    assert grid.pad(values.detach().movedim(2, -1)[:, 0]).shape == (3, 20, 28, 2)  # to the end of the last halo
    upstream = torch.randn_like(values[:, 0])
    gradients = [
        torch.autograd.grad((average * upstream).sum() + total.sin().sum() + 50 * compactness, inputs)
        for average, total, compactness in (tiled, stored)
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("width", ["fixed", "moments"])
@pytest.mark.parametrize("weights", ["softmax", "mass"])
def test_a_second_peak_that_has_vanished_keeps_its_place(width, weights):
    """Against the stored affinity in float64, where the second peak still has a weight; within autocast too."""
    query, references, values = maps(2, 1, 4, 9, 11)
    prior = functional.CompactnessPrior(2, 0.5, width, weights)
    inputs = [(30 * query).requires_grad_(), references]
    expected = of_stored.compactness_loss(of_stored.local_affinity(*inputs, 3), 3, prior)
    single = inputs[0].float(), references.float(), values.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = functional.reconstruct_locally(*single, 3, prior=prior).compactness
    gradients = [torch.autograd.grad(loss, inputs[0])[0] for loss in (found, expected)]
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-7)
