"""Learning rates: linear scaling with the global batch, and the decays that the papers use."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from vidcorr.videos.files import require_at_least

LIIR_WARMUP_STEPS = {0.4: 1 / 2, 0.6: 1 / 4, 0.8: 1 / 8, 1.0: 1 / 16}
"""Liir's first phase: fraction of its decay samples (1 M in the public code) → factor beyond this fraction."""
LIIR_STEPS = {55 / 300: 0.9, 85 / 300: 0.75, 135 / 300: 1 / 2, 175 / 300: 1 / 4, 250 / 300: 1 / 8, 1.0: 1 / 16}
"""Liir's second phase: fraction of its decay samples (300,000) → factor beyond this fraction."""


def scaled_lr(base_lr: float, global_batch: int) -> float:
    """Scale `base_lr`, the learning rate for a batch of 256, linearly to a global batch (VFS, section 4.1)."""
    return base_lr * global_batch / 256


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
    free = {"params": [parameter for parameter in learned if parameter.ndim <= 1], "weight_decay": 0.0}
    optimizer = AdamW([decayed, free], lr, betas=(0.9, 0.95))
    warmup_steps = warmup * total_steps
    return scheduled(optimizer, LambdaLR(optimizer, lambda step: warm_cosine_factor(step, total_steps, warmup_steps)))


def continue_schedule(schedule: object) -> dict[str, str]:
    """Set the rates of a resumed run to those of its own schedule; a finished run had reached a rate of 0.

    Args:
        schedule: the schedule of a run; only a `LambdaLR` depends on the run's length.

    Returns:
        A row of the plan, if the rates of the checkpoint were others, because its run had another length.
    """
    if not isinstance(schedule, LambdaLR):
        return {}
    before = [group["lr"] for group in schedule.optimizer.param_groups]
    factors = [factor(schedule.last_epoch) for factor in schedule.lr_lambdas]
    rates = [base_lr * factor for base_lr, factor in zip(schedule.base_lrs, factors, strict=True)]
    for group, rate in zip(schedule.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    if before == rates:
        return {}
    told = ", ".join(f"{rate:.6g}" for rate in before)
    return {"schedule": f"of this run's length, which is not the checkpoint's: its rate was {told}"}


def samples_of_step(batch: int, accumulated: int, batches: float) -> str:
    """Return the samples of an optimiser step, in words, with those of an epoch's last step if they are fewer.

    Args:
        batch: samples of a batch, over all devices.
        accumulated: batches per step.
        batches: batches of an epoch; infinite if unknown.

    Raises:
        ValueError: if an epoch has fewer batches than a step.
    """
    if batches < accumulated:
        raise ValueError(
            f"trainer.accumulate_grad_batches {accumulated}: an epoch has only {int(batches)} batches, and Lightning "
            f"steps at its end; accumulate at most {int(batches)}, or take more samples an epoch"
        )
    rest = 0 if math.isinf(batches) else int(batches) % accumulated
    return f"{batch * accumulated}" + (f" ({batch * rest} in the last step of an epoch)" if rest else "")


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


@dataclass(frozen=True)
class LiirSchedule:
    """Liir's two phases: their lengths, learning rates and batches per optimiser step.

    In both phases the rate falls by steps to 1/16 of the phase's first rate, as in the public code.

    Args:
        warmup_epochs: epochs of the first phase, the reconstruction within videos.
        warmup_accumulation: batches per optimiser step in the first phase; afterwards 1.
        warmup_lr: learning rate of the first phase; not scaled with the batch.
        lr: learning rate of the second phase.
        warmup_decay_samples: samples over which `warmup_lr` decays to 1/16.
        decay_samples: samples over which `lr` decays to 1/16.

    Raises:
        ValueError: for a number of epochs below 0, or of batches below 1.
    """

    warmup_epochs: int = 30
    warmup_accumulation: int = 2
    warmup_lr: float = 1e-3
    lr: float = 1e-4
    warmup_decay_samples: int = 1_000_000
    decay_samples: int = 300_000

    def __post_init__(self) -> None:
        require_at_least(0, warmup_epochs=self.warmup_epochs)
        require_at_least(1, warmup_accumulation=self.warmup_accumulation)

    def steps(self, epochs: int, batches: int) -> int:
        """Return the optimiser steps of a number of epochs of `batches` batches; the first phase accumulates."""
        in_warmup = min(epochs, self.warmup_epochs)
        return in_warmup * math.ceil(batches / self.warmup_accumulation) + (epochs - in_warmup) * batches

    def factor(self, samples: int, epoch_samples: int) -> float:
        """Return the factor on `warmup_lr` after a number of samples.

        Args:
            samples: samples seen, over all ranks.
            epoch_samples: samples of an epoch, over all ranks.
        """
        warmup_samples = self.warmup_epochs * epoch_samples
        if samples < warmup_samples:
            return step_factor(samples / self.warmup_decay_samples, LIIR_WARMUP_STEPS)
        return self.lr / self.warmup_lr * step_factor((samples - warmup_samples) / self.decay_samples, LIIR_STEPS)
