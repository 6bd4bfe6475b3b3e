"""The streamed logsumexp of dot products against the stored one; InfoNCE's tests use it too."""

import pytest
import torch
from torch import Tensor

from lightning_modules.functional import products
from lightning_modules.functional.products import dot_logsumexp
from tests.helpers.memory import peak_of


def plain(query: Tensor, keys: Tensor, excluded: Tensor | None) -> Tensor:
    stored = query @ keys.T
    return (stored if excluded is None else stored.masked_fill(excluded[:, None], -torch.inf)).logsumexp(-1)


@pytest.mark.parametrize("with_excluded", [False, True])
@pytest.mark.parametrize(("chunk", "rows"), [(1, 3), (1 << 10, 8), (1 << 21, 512)])
def test_equals_the_stored_form(monkeypatch: pytest.MonkeyPatch, chunk: int, rows: int, with_excluded: bool) -> None:
    monkeypatch.setattr(products, "PRODUCTS_AT_ONCE", chunk)
    monkeypatch.setattr(products, "QUERIES_AT_ONCE", rows)
    query = (3 * torch.randn(3, 7, 5, dtype=torch.float64)).requires_grad_()
    keys = torch.randn(131, 5, dtype=torch.float64, requires_grad=True)
    excluded = torch.rand(3, 131) < 0.3 if with_excluded else None
    found, expected = dot_logsumexp(query, keys, excluded), plain(query, keys, excluded)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn_like(found)
    torch.testing.assert_close(
        torch.autograd.grad(found, (query, keys), upstream), torch.autograd.grad(expected, (query, keys), upstream)
    )


def test_nothing_left() -> None:
    query = torch.randn(2, 3, 4, requires_grad=True)
    excluded = torch.tensor([[True] * 5, [False] * 5])
    found = dot_logsumexp(query, torch.randn(5, 4), excluded)
    assert found[0].eq(-torch.inf).all()
    found.sigmoid().sum().backward()
    assert query.grad is not None
    assert query.grad[0].eq(0).all()
    assert query.grad[1].ne(0).any()


def test_memory_does_not_grow_with_the_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "PRODUCTS_AT_ONCE", 1 << 14)
    keys = torch.randn(3000, 4)

    def beyond_the_queries(batch: int) -> int:
        query = torch.randn(batch, 256, 4, requires_grad=True)
        return peak_of(lambda: dot_logsumexp(query, keys).sum().backward()) - 8 * query.nbytes

    assert beyond_the_queries(8) < 1 << 20  # 25 MB of products
    assert beyond_the_queries(16) < 1 << 20


@pytest.mark.parametrize("keys", [400, 5000])  # too small for oneDNN; several chunks of it, the last of them small
def test_large_products_equal_the_dense_ones(keys: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "PRODUCTS_AT_ONCE", 1 << 16)
    query = torch.randn(3, 11, 48).requires_grad_()
    bank = torch.randn(keys, 48).requires_grad_()
    excluded = torch.rand(3, keys) < 0.3
    dense = (query @ bank.T).masked_fill(excluded[:, None], -torch.inf).logsumexp(2)
    found = dot_logsumexp(query, bank, excluded)
    torch.testing.assert_close(found, dense, rtol=1e-5, atol=1e-5)
    upstream = torch.randn_like(found)
    for ours, theirs in zip(
        torch.autograd.grad(found, (query, bank), upstream),
        torch.autograd.grad(dense, (query, bank), upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
