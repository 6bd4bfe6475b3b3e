"""SGD by the fused kernel: torch's SGD to rounding, and its checkpoints."""

import copy

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from lightning_modules import VFSSimSiam
from lightning_modules.components.fused_sgd import FusedSGD
from lightning_modules.components.schedules import sgd_with_cosine
from tests.helpers.tiny import TINY, loader

OPTIONS = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}


def network() -> nn.Module:
    """Weights that are channels last, contiguous, of one pixel, and a scalar."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 7, 1), nn.BatchNorm2d(7), nn.Conv2d(7, 6, 3).double())
    net.register_parameter("scale", nn.Parameter(torch.tensor(2.0)))
    net[0].to(memory_format=torch.channels_last)
    return net


def take_steps(optimizer: Optimizer, steps: range) -> list[Tensor]:
    """Give gradients that depend on the step alone, in another layout now and then, one of them from step 2 on only."""
    parameters = optimizer.param_groups[0]["params"]
    for step in steps:
        for number, parameter in enumerate(parameters):
            drawn = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(100 * step + number))
            parameter.grad = drawn.to(parameter.dtype) if step > 1 or number != 1 else None
            if parameter.ndim == 4 and step % 2:
                parameter.grad = parameter.grad.contiguous(memory_format=torch.channels_last) if number != 1 else None
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


@pytest.mark.parametrize("options", [OPTIONS, {"lr": 0.1}, {"lr": 0.1, "momentum": 0.5}])
def test_equals_torchs_sgd(options):
    ours, theirs = network(), network()
    found = take_steps(FusedSGD(ours.parameters(), **options), range(6))
    expected = take_steps(SGD(theirs.parameters(), **options), range(6))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("first", "second"), [(SGD, FusedSGD), (FusedSGD, SGD)])
def test_a_checkpoint_of_one_goes_on_with_the_other(first, second):
    expected = network()
    take_steps(SGD(expected.parameters(), **OPTIONS), range(6))
    net = network()
    before = first(net.parameters(), **OPTIONS)
    take_steps(before, range(3))
    after = second(net.parameters(), lr=1.0)
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    found = take_steps(after, range(3, 6))
    torch.testing.assert_close(found, list(expected.parameters()), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_can_be_clipped(precision, tmp_path):
    module = VFSSimSiam(**TINY, base_lr=1e6, weight_decay=0.0)
    before = torch.cat([parameter.detach().flatten() for parameter in module.parameters()])
    trainer = pl.Trainer(
        default_root_dir=tmp_path,
        max_steps=1,
        precision=precision,
        gradient_clip_val=1e-9,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
    )
    trainer.fit(module, loader(4))
    assert type(trainer.optimizers[0]) is FusedSGD
    after = torch.cat([parameter.detach().flatten() for parameter in module.parameters()])
    assert 0 < (after - before).norm() <= 1.01 * trainer.optimizers[0].defaults["lr"] * 1e-9


def test_other_devices_have_torchs_own():
    config = sgd_with_cosine(nn.Linear(2, 2, device="meta"), **OPTIONS, total_steps=4)
    assert type(config["optimizer"]) is SGD
