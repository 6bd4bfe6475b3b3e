"""Learning rates as functions of the optimiser step: a resumed run follows the schedule of its own length."""

import math
from collections.abc import Callable, Mapping, Sequence

from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR


def cosine_factor(step: int, total_steps: int) -> float:
    """Return the factor of the learning rate at a step, from 1 at step 0 down to 0 at `total_steps`, without warm-up.

    Papers: VFS, section 4.1; SGDR (Loshchilov and Hutter, ICLR 2017), Eq. 5.
    """
    return 0.5 * (1 + math.cos(math.pi * min(step, total_steps) / total_steps))


def warm_cosine_factor(step: int, total_steps: int, warmup_steps: float) -> float:
    """Return the factor of the learning rate at a step: from 0 linearly to 1, then by a half cosine to 0.

    Source: MAE (He et al., CVPR 2022), `util/lr_sched.py`.

    Args:
        step: optimiser steps before this one.
        total_steps: length of the run, steps.
        warmup_steps: length of the rise, steps.
    """
    if step < warmup_steps:
        return step / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / (total_steps - warmup_steps)))


def milestone_factor(time: float, milestones: Sequence[float], factor: float) -> float:
    """Return `factor` to the power of the milestones reached by a time: a number of steps, or of epochs.

    Example:
        >>> milestone_factor(8, (6, 8), 0.5)
        0.25
    """
    reached = sum(time >= milestone for milestone in milestones)
    return factor**reached


def step_factor(fraction: float, steps: Mapping[float, float]) -> float:
    """Return the factor of the learning rate after a fraction of the samples.

    Args:
        fraction: fraction of the samples, 0 at the start.
        steps: fraction → factor beyond it, ascending; before the first fraction the factor is 1.

    Example:
        >>> step_factor(0.5, {0.4: 0.5, 0.6: 0.25})
        0.5
    """
    factors = [1.0, *(factor for bound, factor in steps.items() if fraction > bound)]
    return factors[-1]


def scheduled(optimizer: Optimizer, factor: Callable[[int], float]) -> OptimizerLRSchedulerConfig:
    """Return an optimiser and its schedule as `configure_optimizers` must return them; the rate is logged as `lr`.

    Args:
        optimizer: the optimiser; its rates are those of factor 1.
        factor: optimiser steps so far → factor on the rates of the next step. It may depend on the run's length: a
            resumed run calls its own function, at the checkpoint's step.
    """
    schedule = LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step", "name": "lr"}}


def adamw_with_warmup(
    module: nn.Module, lr: float, weight_decay: float, total_steps: int, warmup: float
) -> OptimizerLRSchedulerConfig:
    """Return AdamW over the parameters that take a gradient, with a warm-up and a half cosine to 0, set by step.

    Biases, norms and all else of one dimension have no weight decay; betas are 0.9 and 0.95.

    Source: MAE (He et al., CVPR 2022), `main_pretrain.py`.

    Args:
        module: what learns.
        lr: learning rate at the end of the warm-up.
        weight_decay: weight decay.
        total_steps: length of the run, optimiser steps.
        warmup: length of the warm-up, fraction of the run.
    """
    learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
    decayed = {"params": [parameter for parameter in learned if parameter.ndim > 1], "weight_decay": weight_decay}
    undecayed = {"params": [parameter for parameter in learned if parameter.ndim <= 1], "weight_decay": 0.0}
    optimizer = AdamW([decayed, undecayed], lr, betas=(0.9, 0.95))
    warmup_steps = warmup * total_steps
    return scheduled(optimizer, lambda step: warm_cosine_factor(step, total_steps, warmup_steps))


def continue_schedule(schedule: object) -> None:
    """Set the rates of a resumed run to those of its own schedule, whose length may differ from the checkpoint's.

    Without it the first step of a longer run would have the checkpoint's rate, which is 0 after a finished run. A
    schedule of another kind, by a user's method, continues as torch restores it.
    """
    if isinstance(schedule, LambdaLR):
        for number, group in enumerate(schedule.optimizer.param_groups):
            group["lr"] = schedule.base_lrs[number] * schedule.lr_lambdas[number](schedule.last_epoch)
