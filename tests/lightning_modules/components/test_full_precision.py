"""Averages and queues stay in float32 in a training of lower precision."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_modules import VFSMoCo
from tests.helpers.contrast import loader, quiet_trainer
from tests.helpers.liir import tiny as tiny_liir
from tests.helpers.moco import closed_form


class Weights(pl.Callback):
    """Weights of the encoder after each optimiser step."""

    def __init__(self) -> None:
        self.weights: list[Tensor] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        self.weights.append(next(pl_module.encoder.parameters()).detach().clone())


PRECISIONS = ["32-true", "bf16-mixed", "bf16-true", "16-true", "64-true"]


# Liir's Adam has no 16-true: its ε of 1e-8 is 0 in float16
@pytest.mark.parametrize(("method", "precision"), [*(("moco", each) for each in PRECISIONS), ("liir", "bf16-true")])
def test_training_keeps_average_and_queue_exact(method: str, precision: Any) -> None:
    options: dict[str, Any] = {"encoder_momentum": 0.999}
    if method == "moco":
        module: Any = VFSMoCo("tests.helpers.contrast:Tiny", 4, queue_size=32, base_lr=0.5, **options)
        data = loader(videos=24, batch_size=4)
    else:
        module = tiny_liir(lr=1e-5, **options)
        data = loader(videos=24, batch_size=4, frames=2, size=16)
    record, queue = Weights(), module.queue if method == "moco" else module.bank
    start = next(module.target_encoder.parameters()).clone()
    trainer = quiet_trainer(max_steps=5, precision=precision, callbacks=[record])
    trainer.fit(module, data)
    average = next(module.target_encoder.parameters())
    assert average.dtype == (torch.float64 if precision == "64-true" else torch.float32)
    if precision in ("bf16-true", "16-true"):
        assert record.weights[0].dtype in (torch.bfloat16, torch.float16)  # the encoder is rounded, its average is not
    expected = closed_form(start, record.weights, 0.999)
    moved = (expected - start.double()).abs().max()
    assert moved > 0
    torch.testing.assert_close(average.double(), expected, rtol=0, atol=float(moved) * 0.02 + 4e-8)
    assert queue.keys.dtype in (torch.float32, torch.float64)
    assert queue.video_ids.min() >= 0
    if method == "moco":
        torch.testing.assert_close(queue.keys.norm(dim=1).float(), torch.ones(32), rtol=0, atol=1e-6)
