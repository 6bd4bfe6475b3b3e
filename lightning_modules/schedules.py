"""Learning rates: linear scaling with the global batch, and the decay that the papers use."""

import math
from collections.abc import Mapping

from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR


def scaled_lr(base_lr: float, global_batch: int) -> float:
    """Learning rate for a global batch, `base_lr` being the one for 256 (VFS, section 4.1)."""
    return base_lr * global_batch / 256


def cosine_factor(step: int, total_steps: int) -> float:
    """Factor of the learning rate at a step, from 1 at step 0 down to 0 at `total_steps`, without warm-up.

    Paper: VFS, section 4.1; SGDR, Eq. 5.
    """
    return 0.5 * (1 + math.cos(math.pi * min(step, total_steps) / total_steps))


def step_factor(share: float, steps: Mapping[float, float]) -> float:
    """Factor of the learning rate after a share of the samples: that of the last step passed, 1 before the first.

    Args:
        share: of the samples, 0 at the start.
        steps: share → factor beyond it, ascending.

    Example:
        >>> step_factor(0.5, {0.4: 0.5, 0.6: 0.25})
        0.5
    """
    return [1.0, *(factor for passed, factor in steps.items() if share > passed)][-1]


def sgd_with_cosine(
    module: nn.Module, lr: float, momentum: float, weight_decay: float, total_steps: int
) -> OptimizerLRSchedulerConfig:
    """SGD over every parameter that learns, with a cosine decay by step, in the form Lightning takes.

    Args:
        module: whose parameters learn.
        lr: at the first step.
        momentum: of SGD.
        weight_decay: of every parameter, biases and norms included (as in the VFS code).
        total_steps: optimiser steps of the whole run.

    Returns:
        What `configure_optimizers` returns.
    """
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
    schedule = LambdaLR(optimizer, lambda step: cosine_factor(step, total_steps))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step", "name": "lr"}}
