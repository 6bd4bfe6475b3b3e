"""Eq. 5 of VFS over all pairs: the original's numbers, a double loop, and where the gradient goes."""

import pytest
import torch

from lightning_modules.functional.losses import simsiam_loss
from tests.helpers.refusal import refused

CASES = ["n8_clip4", "n4_clip2", "n2_clip1"]


def frames(golden, case, name):
    batch, length, width, _ = (int(number) for number in golden[f"{case}_params"])
    return torch.from_numpy(golden[f"{case}_{name}"]).view(batch, length, width)


@pytest.mark.parametrize("case", CASES)
def test_golden_loss_and_gradient(golden, case):
    numbers = golden("vfs_losses")
    p1, z1, p2, z2 = (frames(numbers, case, name).requires_grad_() for name in ("p1", "z1", "p2", "z2"))
    loss = simsiam_loss(p1, z1, p2, z2)
    loss.backward()
    assert loss.item() == pytest.approx(float(numbers[f"{case}_loss"]), abs=1e-5)
    for p, name in ((p1, "grad_p1"), (p2, "grad_p2")):
        assert torch.allclose(p.grad, frames(numbers, case, name), atol=1e-5)
    assert z1.grad is None
    assert z2.grad is None


def test_equals_a_loop_over_pairs():
    p1, z1, p2, z2 = torch.randn(4, 3, 4, 8)
    total = 0.0
    for b in range(3):
        for i in range(4):
            for j in range(4):
                total += 1 - torch.cosine_similarity(p1[b, i], z2[b, j], dim=0)
                total += 1 - torch.cosine_similarity(p2[b, i], z1[b, j], dim=0)
    assert simsiam_loss(p1, z1, p2, z2).item() == pytest.approx(total.item() / (3 * 16), abs=1e-6)


def test_shapes_are_checked():
    good = torch.zeros(2, 1, 4)
    assert refused(
        ValueError, r"equal shape \(B, n/2, D\).*\(2, 4\)", simsiam_loss, good, good, good, torch.zeros(2, 4)
    )
