"""InfoNCE: the golden numbers, the plain form, and what it keeps."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from lightning_modules.functional import info_nce_loss, products


def unit(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return normalize(torch.randn(*shape, dtype=dtype), dim=-1)


def plain(predicted: Tensor, target: Tensor, queue: Tensor, temperature: float, excluded: Tensor | None) -> Tensor:
    """One row of logits, positive first, for each pair (i, j) of each video."""
    losses = []
    for b in range(len(predicted)):
        kept = queue if excluded is None else queue[~excluded[b]]
        for p in predicted[b]:
            for z in target[b]:
                logits = torch.cat([(p @ z)[None], kept @ p]) / temperature
                losses.append(cross_entropy(logits[None], torch.zeros(1, dtype=torch.long)))
    return torch.stack(losses).mean()


def test_golden(golden: Any) -> None:
    g = {key: torch.from_numpy(value) for key, value in golden("vfs_losses").items() if key.startswith("moco")}
    query = g["moco_q"].requires_grad_()
    loss = info_nce_loss(query, g["moco_k"], g["moco_queue"].T, float(g["moco_tau"]))
    loss.backward()
    torch.testing.assert_close(loss.detach(), g["moco_loss_all"].float(), rtol=0, atol=1e-5)
    assert query.grad is not None
    torch.testing.assert_close(query.grad, g["moco_grad_q_all"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("with_excluded", [False, True])
@pytest.mark.parametrize("chunk", [1, 700, 1 << 21])
def test_equals_the_plain_form(monkeypatch: pytest.MonkeyPatch, chunk: int, with_excluded: bool) -> None:
    monkeypatch.setattr(products, "PRODUCTS_AT_ONCE", chunk)
    query, target, queue = (unit(3, 4, 16).double(), unit(3, 4, 16).double(), unit(203, 16).double())
    excluded = torch.rand(3, 203) < 0.3 if with_excluded else None
    gradients = []
    for function in (info_nce_loss, plain):
        leaf = query.clone().requires_grad_()
        loss = function(leaf, target, queue, 0.07, excluded)
        loss.backward()
        gradients.append((loss.detach(), leaf.grad))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-12)


def test_a_video_without_negatives_has_no_loss() -> None:
    query = unit(2, 2, 4).requires_grad_()
    excluded = torch.tensor([[True] * 5, [False] * 5])
    loss = info_nce_loss(query, unit(2, 2, 4), unit(5, 4), excluded=excluded)
    loss.backward()
    assert loss.isfinite()
    assert query.grad is not None
    assert query.grad[0].abs().max() == 0
    assert query.grad[1].abs().min() > 0


def test_half_precision_is_summed_in_float32() -> None:
    query, target, queue = unit(4, 2, 32), unit(4, 2, 32), unit(500, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = info_nce_loss(query.bfloat16(), target.bfloat16(), queue)
    expected = info_nce_loss(query.bfloat16().float(), target.bfloat16().float(), queue)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((2, 4), (2, 4), (5, 4)), {}, "expected predicted and target"),
        (((2, 1, 4), (2, 2, 4), (5, 4)), {}, "expected predicted and target"),
        (((2, 1, 4), (2, 1, 4), (5, 3)), {}, "does not fit"),
        (((2, 1, 4), (2, 1, 4), (0, 4)), {}, "does not fit"),
        (((2, 1, 4), (2, 1, 4), (5, 4)), {"temperature": 0.0}, "above 0"),
        (((2, 1, 4), (2, 1, 4), (5, 4)), {"excluded": torch.zeros(5, 2, dtype=torch.bool)}, "excluded must be bool"),
        (((2, 1, 4), (2, 1, 4), (5, 4)), {"excluded": torch.zeros(2, 5)}, "excluded must be bool"),
    ],
)
def test_bad_input_raises(shapes: tuple[tuple[int, ...], ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        info_nce_loss(*(torch.zeros(shape) for shape in shapes), **options)
