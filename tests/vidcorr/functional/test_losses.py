"""VFS's losses and the contrastive random walk: the original codes' numbers, plain forms, and what they keep.

Also tests `functional/logsumexp.py`, `functional/seeds.py`.
"""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from tests.helpers.memory import peak_of
from tests.helpers.plain_info_nce import plain_info_nce
from vidcorr.functional import contrastive_random_walk_loss, info_nce_loss, logsumexp, simsiam_loss


def unit(*shape, dtype=torch.float32):
    return normalize(torch.randn(*shape, dtype=dtype), dim=-1)


def frames(golden, case, name):
    batch, length, width, _ = (int(number) for number in golden[f"{case}_params"])
    return torch.from_numpy(golden[f"{case}_{name}"]).view(batch, length, width)


@pytest.mark.parametrize("case", ["n8_clip4", "n4_clip2", "n2_clip1"])
def test_simsiam_is_the_golden_one(golden, case):
    numbers = golden("vfs_losses")
    p1, z1, p2, z2 = (frames(numbers, case, name).requires_grad_() for name in ("p1", "z1", "p2", "z2"))
    loss = simsiam_loss(p1, z1, p2, z2)
    loss.backward()
    assert loss.item() == pytest.approx(float(numbers[f"{case}_loss"]), abs=1e-5)
    for p, name in ((p1, "grad_p1"), (p2, "grad_p2")):
        assert torch.allclose(p.grad, frames(numbers, case, name), atol=1e-5)
    assert (z1.grad, z2.grad) == (None, None)


def test_info_nce_is_the_golden_one(golden):
    g = {key: torch.from_numpy(value) for key, value in golden("vfs_losses").items() if key.startswith("moco")}
    query = g["moco_q"].requires_grad_()
    loss = info_nce_loss(query, g["moco_k"], g["moco_queue"].T, float(g["moco_tau"]))
    loss.backward()
    torch.testing.assert_close(loss.detach(), g["moco_loss_all"].float(), rtol=0, atol=1e-5)
    torch.testing.assert_close(query.grad, g["moco_grad_q_all"], rtol=0, atol=1e-6)


# several chunks of oneDNN, the last of them small
PLAIN = [(torch.float64, 4, 16, 203, 700), (torch.float32, 11, 48, 5000, 1 << 16)]


@pytest.mark.parametrize(("dtype", "frames", "width", "keys", "products"), PLAIN)
def test_info_nce_equals_the_plain_form(dtype, frames, width, keys, products, monkeypatch):
    monkeypatch.setitem(logsumexp.PRODUCTS_AT_ONCE, "cpu", products)
    query, target, queue = (unit(*shape, width, dtype=dtype) for shape in ((3, frames), (3, frames), (keys,)))
    excluded = torch.rand(3, keys) < torch.tensor([[0.3], [0.3], [1]])  # the last video has no negatives
    found = []
    for function in (info_nce_loss, plain_info_nce):
        leaf = query.clone().requires_grad_()
        loss = function(leaf, target, queue, 0.07, excluded)
        loss.backward()
        found.append((loss.detach(), leaf.grad))
    rtol, atol = (1e-9, 1e-12) if dtype == torch.float64 else (1e-5, 1e-7)
    torch.testing.assert_close(*found, rtol=rtol, atol=atol)


def test_memory_does_not_grow_with_the_queue(monkeypatch):
    monkeypatch.setitem(logsumexp.PRODUCTS_AT_ONCE, "cpu", 1 << 12)
    query, queue = torch.randn(3, 11, 8), torch.randn(2000, 8)
    peaks = [peak_of(lambda keys=keys: logsumexp.dot_logsumexp(query, keys)) for keys in (queue, queue[:1000])]
    assert peaks[0] == peaks[1]


@pytest.mark.parametrize("case", ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c1d"])
def test_the_random_walk_is_the_golden_one(golden, case):
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
