"""Tiles of the reconstruction."""

from typing import Any

import pytest
import torch

from lightning_modules.functional import (
    CompactnessPrior,
    compactness_loss,
    local_affinity,
    local_reconstruction,
    reconstruct,
    reconstruct_locally,
)
from tests.helpers.reconstruction import BORDERS, maps


@pytest.mark.parametrize("workspace", [1, 1 << 14, 1 << 30])
@pytest.mark.parametrize("border", BORDERS)
def test_tiles_equal_the_stored_affinity(monkeypatch: pytest.MonkeyPatch, border: Any, workspace: int) -> None:
    monkeypatch.setitem(local_reconstruction.PRODUCTS_BUDGET, "cpu", workspace)
    inputs = [tensor.requires_grad_() for tensor in maps(3, 2, 4, 11, 18)]
    query, references, values = inputs
    prior = CompactnessPrior(2, 0.4, "moments")
    affinity = local_affinity(2 * query, references, 3, border)
    stored = reconstruct(affinity, values, 3), compactness_loss(affinity, 3, prior)
    tiled = reconstruct_locally(2 * query, references, values, 3, border, prior)
    assert stored[1] > 0
    torch.testing.assert_close(tiled.values, stored[0])
    torch.testing.assert_close(tiled.compactness, stored[1])
    upstream = torch.randn_like(stored[0])
    expected = torch.autograd.grad((stored[0] * upstream).sum() + 50 * stored[1], inputs)
    found = torch.autograd.grad((tiled.values * upstream).sum() + 50 * tiled.compactness, inputs)
    torch.testing.assert_close(found, expected)
