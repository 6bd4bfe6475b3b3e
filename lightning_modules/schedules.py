"""Learning rates: linear scaling with the global batch, and the decays that the papers use."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

LIIR_WARMUP_STEPS = {0.4: 1 / 2, 0.6: 1 / 4, 0.8: 1 / 8, 1.0: 1 / 16}
"""Liir's first phase: fraction of its decay samples (1 M in the public code) → factor beyond this fraction."""
LIIR_STEPS = {55 / 300: 0.9, 85 / 300: 0.75, 135 / 300: 1 / 2, 175 / 300: 1 / 4, 250 / 300: 1 / 8, 1.0: 1 / 16}
"""Liir's second phase: fraction of its decay samples (300,000) → factor beyond this fraction."""


def scaled_lr(base_lr: float, global_batch: int) -> float:
    """Scale `base_lr`, the learning rate for a batch of 256, linearly to a global batch (VFS, section 4.1)."""
    return base_lr * global_batch / 256


def cosine_factor(step: int, total_steps: int) -> float:
    """Return the factor of the learning rate at a step: 1 at step 0, 0 at `total_steps`, without warm-up.

    Papers: VFS, section 4.1; SGDR (Loshchilov and Hutter, ICLR 2017), Eq. 5.
    """
    return 0.5 * (1 + math.cos(math.pi * min(step, total_steps) / total_steps))


def step_factor(fraction: float, steps: Mapping[float, float]) -> float:
    """Return the factor of the learning rate after a fraction of the samples.

    Args:
        fraction: fraction of the samples, 0 at the start.
        steps: fraction → factor beyond it, ascending; before the first fraction the factor is 1.

    Example:
        >>> step_factor(0.5, {0.4: 0.5, 0.6: 0.25})
        0.5
    """
    return [1.0, *(factor for passed, factor in steps.items() if fraction > passed)][-1]


def scheduled(optimizer: Optimizer, schedule: LRScheduler, interval: str = "step") -> OptimizerLRSchedulerConfig:
    """Return an optimiser and its schedule as `configure_optimizers` must return them; the rate is logged as `lr`."""
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": interval, "name": "lr"}}


class SampleLR(LambdaLR):
    """Schedule over the number of samples seen, for optimiser steps of any number of samples.

    `count` adds the samples of a batch. `step`, called once per optimiser step, advances by the samples counted since
    the last step, or by 1 if none were counted.
    """

    _counted = 0

    def count(self, samples: int) -> None:
        """Add the samples of a batch, over all ranks."""
        self._counted += samples

    def step(self, epoch: int | None = None) -> None:
        """Set the learning rate for the next optimiser step."""
        self.last_epoch += max(self._counted, 1) - 1
        self._counted = 0
        super().step(epoch)


def liir_factor(settings: Mapping[str, Any], epoch_samples: int) -> Callable[[int], float]:
    """Return Liir's factor of the learning rate as a function of the samples seen.

    In both phases the rate falls by steps to 1/16 of the phase's first rate, as in the public code.

    Args:
        settings: `warmup_epochs`, the length of phase 1; `warmup_lr` and `lr`, the first rates of phases 1 and 2;
            `warmup_decay_samples` and `decay_samples`, the samples after which the rates have fallen to 1/16.
        epoch_samples: samples of an epoch, over all ranks.
    """
    warmup_samples = settings["warmup_epochs"] * epoch_samples
    ratio = settings["lr"] / settings["warmup_lr"]

    def factor(samples: int) -> float:
        if samples < warmup_samples:
            return step_factor(samples / settings["warmup_decay_samples"], LIIR_WARMUP_STEPS)
        return ratio * step_factor((samples - warmup_samples) / settings["decay_samples"], LIIR_STEPS)

    return factor
