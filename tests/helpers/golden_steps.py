"""Rates of a method's schedule, and steps of AdamW against the golden ones."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from vidcorr.lightning_modules.base import CorrespondenceModule


def rates_of(module: CorrespondenceModule, steps: int) -> list[float]:
    """Return the rates of the first steps."""
    schedule = module.configure_optimizers()["lr_scheduler"]["scheduler"]
    return [schedule.base_lrs[0] * schedule.lr_lambdas[0](step) for step in range(steps)]


def expect_steps(
    module: CorrespondenceModule,
    numbers: Mapping[str, np.ndarray],
    ours_of: Callable[[str], str],
    loss: Callable[[], Tensor],
) -> None:
    """Train four steps; expect the golden choice of weights that decay, losses, rates, and weights afterwards.

    Args:
        module: a method with golden weights, in float64.
        numbers: golden arrays `steps/…`; a single rate stands in place of the schedule's.
        ours_of: name of a weight in the golden file → ours.
        loss: computes the loss of the golden batch.
    """
    configured = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    named = dict(module.named_parameters())
    decayed = {id(parameter) for parameter in optimizer.param_groups[0]["params"]}
    assert decayed == {id(named[ours_of(str(name))]) for name in numbers["steps/decayed"]}
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.05, 0]
    rates = numbers["steps/lr"]
    for expected, rate in zip(numbers["steps/loss"], np.broadcast_to(rates, 4), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = float(rate) if rates.ndim == 0 else group["lr"]
            assert group["lr"] == pytest.approx(rate, abs=1e-12)
        optimizer.zero_grad()
        found = loss()
        assert found.item() == pytest.approx(expected, abs=1e-10)
        found.backward()
        optimizer.step()
        schedule.step()
    for name in numbers:
        if name.startswith("steps/after/"):
            weight = named[ours_of(name.removeprefix("steps/after/"))].detach()
            torch.testing.assert_close(weight, torch.from_numpy(numbers[name]), rtol=0, atol=1e-10)
