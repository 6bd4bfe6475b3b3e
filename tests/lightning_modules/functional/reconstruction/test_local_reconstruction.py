"""The fused reconstruction: gradients, and precision."""

from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_modules.functional import (
    local_affinity,
    reconstruct,
    reconstruct_locally,
    reconstruct_with_negatives,
)
from tests.helpers.reconstruction import BORDERS, maps


@pytest.mark.parametrize("border", BORDERS)
def test_gradients(border: Any) -> None:
    query, references, values = (tensor.requires_grad_() for tensor in maps(1, 2, 2, 3, 4))
    negatives = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    excluded = torch.tensor([[True, False, False, True, False]])

    def stored(q: Tensor, r: Tensor, v: Tensor) -> Tensor:
        return reconstruct(local_affinity(q, r, 1, border), v, 1)

    def tiled(q: Tensor, r: Tensor, v: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
        found = reconstruct_with_negatives(q, r, v, n, 1, border, excluded)
        return found, reconstruct_locally(q, r, v, 1, border).logsumexp

    assert torch.autograd.gradcheck(stored, (query, references, values))
    assert torch.autograd.gradcheck(tiled, (query, references, values, negatives))


def test_products_far_apart_stay_finite() -> None:
    query, references, values = (tensor.float() for tensor in maps(1, 1, 4, 9, 9))
    query = (1000 * query).requires_grad_()
    negatives = -query.detach()[0, :, 4, 4][None]
    found = reconstruct_with_negatives(query, references, values, negatives, 2)
    found.sum().backward()
    assert found.isfinite().all()
    assert query.grad is not None
    assert query.grad.isfinite().all()


def test_half_precision_is_computed_in_float32() -> None:
    query, references, values = (tensor.bfloat16() for tensor in maps(1, 1, 8, 4, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = reconstruct_locally(query, references, values, 1).values
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, reconstruct_locally(query.float(), references.float(), values.float(), 1).values)
