"""bf16-mixed and accumulation train as float32 in whole batches does, up to a drift.

Small networks, the same 20 steps each way. The first step differs by arithmetic alone, the later ones by what training
makes of it. An accumulated step sees the same videos, but BatchNorm sees half of them at a time.
"""

import pytest
import torch
from pytorch_lightning.callbacks import LambdaCallback
from torch.utils.data import DataLoader, Dataset

from lightning_modules import Liir, VFSMoCo, VFSSimSiam
from tests.helpers.training import quiet_trainer

pytestmark = pytest.mark.slow
BACKBONE = "tests.helpers.encoders:TinyResNet"
LIIR = {"position_size": 16, "bank": {"frames": 32, "points": 2}, "radius": 2}
METHODS = {
    "VFSSimSiam": (VFSSimSiam, {"backbone": BACKBONE, "projector_dim": 64, "predictor_dim": 16, "base_lr": 0.4}),
    "VFSMoCo": (VFSMoCo, {"backbone": BACKBONE, "projection_dim": 32, "queue_size": 64, "groups": 1, "base_lr": 0.4}),
    "Liir": (Liir, LIIR),
}
PHASES = {"decay_samples": 10**6}
BATCH, STEPS = 8, 20


class Drifting(Dataset):
    """Smooth pictures that move some pixels from frame to frame; number i is always the same."""

    def __len__(self):
        return BATCH * STEPS

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        coarse = torch.rand(1, 3, 6, 6, generator=generator)
        picture = torch.nn.functional.interpolate(coarse, size=32, mode="bicubic").clamp(0, 1)[0]
        return {"clip": torch.stack([picture, picture.roll((2, 3), (1, 2))]), "video_index": index}


def losses(name, precision="32-true", accumulated=1, warming_up=False, steps=STEPS):
    """Losses of the optimiser steps: `(steps,)`, means over their batches.

    `warming_up`: Liir's first stage, the only one in which it accumulates.
    """
    kind, arguments = METHODS[name]
    torch.manual_seed(0)
    options = {"accumulate_grad_batches": accumulated}
    if name == "Liir":
        arguments = arguments | {
            "schedule": PHASES | {"warmup_epochs": int(warming_up), "warmup_accumulation": accumulated}
        }
        options = {}
    found = []

    def keep(trainer, module, outputs, *_):
        found.append(outputs["loss"] * trainer.accumulate_grad_batches)

    trainer = quiet_trainer(
        max_epochs=1,
        max_steps=steps,
        precision=precision,
        callbacks=[LambdaCallback(on_train_batch_end=keep)],
        **options,
    )
    trainer.fit(kind(**arguments), DataLoader(Drifting(), batch_size=BATCH // accumulated))
    return torch.stack(found).view(-1, accumulated).mean(1)


CASES = ["VFSSimSiam", "VFSMoCo", pytest.param("Liir", marks=pytest.mark.exhaustive)]
"""Methods; Liir takes most of a minute."""


def drift(reference, other):
    """Distance of two curves at the first step and in the mean, as shares of the reference."""
    apart = ((other - reference) / reference).abs()
    return float(apart[0]), float(apart.mean())


@pytest.mark.parametrize("name", CASES)
def test_bf16_drifts_little(name):
    first, mean = drift(losses(name, steps=5), losses(name, "bf16-mixed", steps=5))
    assert 0 < first < 0.01
    assert mean < 0.1


@pytest.mark.parametrize("name", CASES)
def test_accumulated_steps_are_as_many_and_alike(name):
    whole, halves = losses(name, warming_up=True), losses(name, accumulated=2, warming_up=True)
    assert len(whole) == len(halves) == STEPS
    assert drift(whole, halves)[1] < 0.2
