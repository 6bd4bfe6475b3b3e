"""Learning rates as functions of the optimiser step: a resumed run follows the schedule of its own length."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence

from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def cosine_factor(step: int, total_steps: int, warmup_steps: float = 0) -> float:
    """Return the factor of the learning rate at a step: from 0 linearly to 1, then by a half cosine to 0.

    Sources: SGDR (Loshchilov and Hutter, ICLR 2017), Eq. 5; VFS, section 4.1, without the rise; MAE (He et al., CVPR
    2022), `util/lr_sched.py`, with it.

    Args:
        step: optimiser steps before this one.
        total_steps: length of the run, steps; the factor stays 0 beyond it.
        warmup_steps: length of the rise, steps.

    Example:
        >>> [round(cosine_factor(step, 6, warmup_steps=2), 2) for step in (0, 1, 2, 4, 6, 9)]
        [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    """
    if step < warmup_steps:
        return step / warmup_steps
    passed = min(step, total_steps) - warmup_steps
    return 0.5 * (1 + math.cos(math.pi * passed / (total_steps - warmup_steps)))


def milestone_factor(time: float, milestones: Sequence[float], factor: float) -> float:
    """Return `factor` to the power n, n being the number of milestones that a time has reached.

    Args:
        time: number of steps or of epochs so far.
        milestones: in the same unit, ascending.
        factor: factor at each milestone.

    Example:
        >>> milestone_factor(8, (6, 8), 0.5)
        0.25
    """
    return factor ** bisect_right(milestones, time)


def step_factor(fraction: float, steps: Mapping[float, float]) -> float:
    """Return the factor of the learning rate after a fraction of the samples: a stair that begins at 1.

    Args:
        fraction: fraction of the samples, 0 at the start.
        steps: the stair: a fraction → the factor beyond it, in ascending order.

    Example:
        >>> step_factor(0.5, {0.4: 0.5, 0.6: 0.25})
        0.5
    """
    factors = [1.0, *steps.values()]
    return factors[bisect_left(list(steps), fraction)]


class FactorLR(LambdaLR):
    """A factor on the rates of all groups, also of those that a callback adds: `BackboneFinetuning` unfreezes so."""

    def get_lr(self) -> list[float | Tensor]:
        """Return the rates of the next step."""
        factor = self.lr_lambdas[0](self.last_epoch)
        # the present rate of a group that was added later becomes its rate of factor 1
        return [group.setdefault("initial_lr", group["lr"]) * factor for group in self.optimizer.param_groups]


def scheduled(optimizer: Optimizer, factor: Callable[[int], float]) -> OptimizerLRSchedulerConfig:
    """Return an optimiser and its schedule as `configure_optimizers` must return them; the rate is logged as `lr`.

    Args:
        optimizer: the optimiser; its rates are those of factor 1.
        factor: optimiser steps so far → factor on the rates of the next step. It may depend on the run's length: a
            resumed run calls its own function, at the checkpoint's step.
    """
    schedule = FactorLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step", "name": "lr"}}


def continue_schedule(schedule: object) -> None:
    """Set the rates of a resumed run by its own schedule, whose length may differ from the schedule in the checkpoint.

    Otherwise the first step of a longer run would have the checkpoint's rate, which is 0 after a finished run. A
    schedule of another kind, by a user's method, continues as torch restores it.
    """
    if isinstance(schedule, FactorLR):
        for group, rate in zip(schedule.optimizer.param_groups, schedule.get_lr(), strict=True):
            group["lr"] = rate
