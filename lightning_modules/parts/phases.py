"""Liir's training in two phases: lengths, accumulated batches and learning rates."""

import math
from dataclasses import dataclass

from vidcorr.videos.files import require_at_least

from .schedules import step_factor

LIIR_WARMUP_STEPS = {0.4: 1 / 2, 0.6: 1 / 4, 0.8: 1 / 8, 1.0: 1 / 16}
"""Liir's first phase: fraction of its decay samples (1 M in the public code) → factor beyond this fraction."""
LIIR_STEPS = {55 / 300: 0.9, 85 / 300: 0.75, 135 / 300: 1 / 2, 175 / 300: 1 / 4, 250 / 300: 1 / 8, 1.0: 1 / 16}
"""Liir's second phase: fraction of its decay samples (300,000) → factor beyond this fraction."""


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

    def samples_before(self, step: int, batch_samples: int, epoch_batches: int) -> int:
        """Return the number of samples before an optimiser step, over all ranks.

        Args:
            step: optimiser steps before this one.
            batch_samples: samples of a batch, over all ranks.
            epoch_batches: number of batches of an epoch.

        Example:
            >>> schedule = LiirSchedule(warmup_epochs=1)  # two batches a step in the first epoch, then one
            >>> [schedule.samples_before(step, batch_samples=2, epoch_batches=4) for step in range(5)]
            [0, 4, 8, 10, 12]
            >>> schedule = LiirSchedule(warmup_epochs=2)  # here the last step of an epoch has one batch
            >>> [schedule.samples_before(step, batch_samples=2, epoch_batches=3) for step in range(6)]
            [0, 4, 6, 10, 12, 14]
        """
        epoch_steps = math.ceil(epoch_batches / self.warmup_accumulation)
        warmup_steps = self.warmup_epochs * epoch_steps
        if step >= warmup_steps:
            return batch_samples * (self.warmup_epochs * epoch_batches + step - warmup_steps)
        epoch, epoch_step = divmod(step, epoch_steps)
        return batch_samples * (epoch * epoch_batches + epoch_step * self.warmup_accumulation)

    def factor(self, step: int, batch_samples: int, epoch_batches: int) -> float:
        """Return the factor on `warmup_lr` at an optimiser step, in both phases.

        Arguments as of `samples_before`.

        Example:
            >>> schedule = LiirSchedule(warmup_epochs=1, warmup_decay_samples=10, decay_samples=10)
            >>> [round(schedule.factor(step, batch_samples=2, epoch_batches=4), 3) for step in range(7)]
            [1.0, 1.0, 0.1, 0.09, 0.075, 0.025, 0.025]
        """
        samples = self.samples_before(step, batch_samples, epoch_batches)
        warmup_samples = batch_samples * self.warmup_epochs * epoch_batches
        if samples < warmup_samples:
            return step_factor(samples / self.warmup_decay_samples, LIIR_WARMUP_STEPS)
        # the optimiser's rate is `warmup_lr`, so the second phase's rate `lr` is a part of it
        return self.lr / self.warmup_lr * step_factor((samples - warmup_samples) / self.decay_samples, LIIR_STEPS)
