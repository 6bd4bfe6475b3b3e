"""The momentum encoder against the closed form of its average, in every precision; names, gradients, statistics."""

import pytest
import torch
from torch import nn

from lightning_modules.components.momentum_encoder import MomentumEncoder
from tests.helpers.contrast import Tiny
from tests.helpers.moco import closed_form


def test_average_equals_the_closed_form() -> None:
    module = Tiny()
    average = MomentumEncoder(module)
    start, weights = module.conv.weight.detach().clone(), []
    for _ in range(7):
        with torch.no_grad():
            module.conv.weight.add_(torch.randn_like(module.conv.weight))
        weights.append(module.conv.weight.detach().clone())
        average.update(module, 0.9)
    expected = closed_form(start, weights, 0.9).float()
    torch.testing.assert_close(average.average.conv.weight, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_average_moves_by_thousandths_in_every_precision(dtype: torch.dtype) -> None:
    """After 1,000 updates by 0.999 it is 63.2 % of the way to a constant encoder; in bfloat16 it would hardly move."""
    module = nn.Linear(4, 4).to(dtype)
    average = MomentumEncoder(module).to(dtype)
    start = average.average.weight.detach().clone().double()
    with torch.no_grad():
        module.weight.add_(1)
    for _ in range(1000):
        average.update(module, 0.999)
    part = (average.average.weight.double() - start) / (module.weight.detach().double() - start)
    torch.testing.assert_close(part, torch.full_like(part, 1 - 0.999**1000), rtol=1e-3, atol=0)


def test_half_precision_passes_take_images_of_half_precision() -> None:
    average = MomentumEncoder(Tiny()).to(torch.bfloat16).eval()
    images = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        exact, half = average(images), average(images.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, rtol=0.05, atol=0.02)


def test_average_takes_no_gradient_and_keeps_its_own_statistics() -> None:
    module = Tiny()
    average = MomentumEncoder(module)
    module(torch.randn(4, 3, 8, 8))
    average.update(module, 0.5)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert average.average.bn.running_mean.abs().max() == 0
    assert module.bn.running_mean.abs().max() > 0


def test_a_state_dict_has_the_encoders_names_both_ways() -> None:
    module, holder = Tiny(), nn.Module()
    holder.target = MomentumEncoder(module)
    state = holder.state_dict()
    assert list(state) == [f"target.{name}" for name in module.state_dict()]
    other = nn.Module()
    other.target = MomentumEncoder(Tiny())
    other.load_state_dict(state)
    assert torch.equal(other.target.average.conv.weight, module.conv.weight)


@pytest.mark.parametrize("momentum", [-0.1, 1.5])
def test_a_momentum_that_would_not_average_is_refused(momentum: float) -> None:
    encoder = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=rf"encoder_momentum must be in \[0, 1\], got {momentum}"):
        MomentumEncoder(encoder).update(encoder, momentum)
