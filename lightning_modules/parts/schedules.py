"""Learning rates: the decays that the papers use."""

import math

from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


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


def scheduled(optimizer: Optimizer, schedule: LRScheduler, interval: str = "step") -> OptimizerLRSchedulerConfig:
    """Return an optimiser and its schedule as `configure_optimizers` must return them; the rate is logged as `lr`.

    The schedule moves after every optimiser step, or after every epoch if `interval` is "epoch".
    """
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": interval, "name": "lr"}}


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
    return scheduled(optimizer, LambdaLR(optimizer, lambda step: warm_cosine_factor(step, total_steps, warmup_steps)))


def continue_schedule(schedule: object) -> None:
    """Set the rates of a resumed run to those of its own schedule, whose length may differ from the checkpoint's.

    Without it the first step of a longer run would have the checkpoint's rate, which is 0 after a finished run. Only a
    `LambdaLR` depends on the run's length.
    """
    if isinstance(schedule, LambdaLR):
        for number, group in enumerate(schedule.optimizer.param_groups):
            group["lr"] = schedule.base_lrs[number] * schedule.lr_lambdas[number](schedule.last_epoch)
