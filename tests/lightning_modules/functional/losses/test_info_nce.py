"""InfoNCE: the golden numbers, the plain form, and what it keeps."""

import pytest
import torch
from torch.nn.functional import normalize

from lightning_modules.functional import info_nce_loss, logsumexp
from lightning_modules.functional.logsumexp import dot_logsumexp
from tests.helpers.memory import peak_of
from tests.helpers.plain_info_nce import plain_info_nce
from tests.helpers.refusal import refused


def unit(*shape, dtype=torch.float32):
    return normalize(torch.randn(*shape, dtype=dtype), dim=-1)


def test_golden(golden):
    g = {key: torch.from_numpy(value) for key, value in golden("vfs_losses").items() if key.startswith("moco")}
    query = g["moco_q"].requires_grad_()
    loss = info_nce_loss(query, g["moco_k"], g["moco_queue"].T, float(g["moco_tau"]))
    loss.backward()
    torch.testing.assert_close(loss.detach(), g["moco_loss_all"].float(), rtol=0, atol=1e-5)
    torch.testing.assert_close(query.grad, g["moco_grad_q_all"], rtol=0, atol=1e-6)


def test_equals_the_plain_form(monkeypatch):
    monkeypatch.setitem(logsumexp.PRODUCTS_AT_ONCE, "cpu", 700)
    query, target, queue = (unit(3, 4, 16).double(), unit(3, 4, 16).double(), unit(203, 16).double())
    excluded = torch.rand(3, 203) < 0.3
    gradients = []
    for function in (info_nce_loss, plain_info_nce):
        leaf = query.clone().requires_grad_()
        loss = function(leaf, target, queue, 0.07, excluded)
        loss.backward()
        gradients.append((loss.detach(), leaf.grad))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-12)


def test_a_video_without_negatives_has_no_loss():
    query = unit(2, 2, 4).requires_grad_()
    excluded = torch.tensor([[True] * 5, [False] * 5])
    loss = info_nce_loss(query, unit(2, 2, 4), unit(5, 4), excluded=excluded)
    loss.backward()
    assert loss.isfinite()
    assert query.grad[0].abs().max() == 0
    assert query.grad[1].abs().min() > 0


def test_half_precision_is_summed_in_float32():
    query, target, queue = unit(4, 2, 32), unit(4, 2, 32), unit(500, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = info_nce_loss(query.bfloat16(), target.bfloat16(), queue)
    expected = info_nce_loss(query.bfloat16().float(), target.bfloat16().float(), queue)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)


def test_bad_input_raises():
    pair, queue = torch.zeros(2, 1, 4), torch.zeros(5, 4)
    assert refused(ValueError, "expected predicted and target", info_nce_loss, pair, torch.zeros(2, 2, 4), queue)
    assert refused(ValueError, "does not fit", info_nce_loss, pair, pair, queue[:, :3])
    assert refused(ValueError, "above 0", info_nce_loss, pair, pair, queue, temperature=0.0)
    assert refused(ValueError, "excluded must be bool", info_nce_loss, pair, pair, queue, excluded=torch.zeros(2, 5))


def stored(query, keys, excluded):
    logits = query @ keys.T
    return (logits if excluded is None else logits.masked_fill(excluded[:, None], -torch.inf)).logsumexp(-1)


def test_memory_does_not_grow_with_the_queries(monkeypatch):
    monkeypatch.setitem(logsumexp.PRODUCTS_AT_ONCE, "cpu", 1 << 14)
    keys = torch.randn(3000, 4)

    def beyond_the_queries(batch):
        query = torch.randn(batch, 256, 4, requires_grad=True)
        return peak_of(lambda: dot_logsumexp(query, keys).sum().backward()) - 8 * query.nbytes

    assert beyond_the_queries(8) < 1 << 20  # 25 MB of products
    assert beyond_the_queries(16) < 1 << 20


@pytest.mark.parametrize("keys", [400, 5000])  # too small for oneDNN; several chunks of it, the last of them small
def test_large_products_equal_the_dense_ones(keys, monkeypatch):
    monkeypatch.setitem(logsumexp.PRODUCTS_AT_ONCE, "cpu", 1 << 16)
    query = torch.randn(3, 11, 48).requires_grad_()
    bank = torch.randn(keys, 48)
    excluded = torch.rand(3, keys) < 0.3
    dense = stored(query, bank, excluded)
    found = dot_logsumexp(query, bank, excluded)
    torch.testing.assert_close(found, dense, rtol=1e-5, atol=1e-5)
    upstream = torch.randn_like(found)
    gradients = [torch.autograd.grad(result, query, upstream) for result in (found, dense)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)
