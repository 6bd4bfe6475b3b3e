"""Liir's training in two phases: lengths, accumulated batches and learning rates, and their plan."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vidcorr.videos.files import require_at_least

from .checks import Batch
from .saving import SavedModule
from .schedules import scheduled

LIIR_WARMUP_STEPS = {0.4: 1 / 2, 0.6: 1 / 4, 0.8: 1 / 8, 1.0: 1 / 16}
"""Liir's first phase: fraction of its decay samples (1 M in the public code) → factor beyond this fraction."""
LIIR_STEPS = {55 / 300: 0.9, 85 / 300: 0.75, 135 / 300: 1 / 2, 175 / 300: 1 / 4, 250 / 300: 1 / 8, 1.0: 1 / 16}
"""Liir's second phase: fraction of its decay samples (300,000) → factor beyond this fraction."""


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


class SampleLR(LambdaLR):
    """Schedule over the number of samples seen, for optimiser steps of any number of samples.

    `count` adds the samples of a batch. `step`, called once per optimiser step, advances by the samples counted since
    the last step; torch's own first step, before any batch, advances by 1.
    """

    _counted = 0

    def count(self, samples: int) -> None:
        """Add the samples of a batch, over all ranks."""
        self._counted += samples

    def step(self, epoch: int | None = None) -> None:
        """Set the learning rate for the next optimiser step."""
        self.last_epoch += max(self._counted, 1) - 1  # `super` adds the last 1
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


class TwoPhaseMethod(SavedModule):
    """Mixin before `CorrespondenceModule` for a method whose phases differ in rate and accumulated batches.

    Attributes:
        schedule: lengths, learning rates and accumulation of the phases.
    """

    schedule: LiirSchedule

    if TYPE_CHECKING:  # methods of CorrespondenceModule, which parts must not import

        def global_batch(self) -> int: ...

        def samples_in(self, batch: Batch) -> int: ...

    @property
    def warming_up(self) -> bool:
        """True in the first phase."""
        return self.current_epoch < self.schedule.warmup_epochs

    def scheduled_by_phase(self, optimizer: Optimizer) -> OptimizerLRScheduler:
        """Return an optimiser with the schedule over the samples seen, as `configure_optimizers` must return it.

        Raises:
            ValueError: if the Trainer accumulates batches, which this class does for each phase.
        """
        if self.trainer.accumulate_grad_batches != 1:
            raise ValueError("trainer.accumulate_grad_batches: set model.schedule.warmup_accumulation in its place")
        samples = self.global_batch()  # asks for the loader, whose number of batches is known from then on
        batches = self.trainer.num_training_batches
        epoch_samples = samples * int(batches)
        return scheduled(optimizer, SampleLR(optimizer, lambda seen: self.schedule.factor(seen, epoch_samples)))

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Set the number of accumulated batches: `warmup_accumulation` in the first phase, then 1.

        Lightning's GradientAccumulationScheduler sets it only at the start of an epoch, so a run that resumes within an
        epoch would have a wrong number.
        """
        self.trainer.accumulate_grad_batches = self.schedule.warmup_accumulation if self.warming_up else 1
        schedule = self.lr_schedulers()
        if isinstance(schedule, SampleLR):
            schedule.count(self.samples_in(batch) * self.trainer.world_size)

    def on_fit_end(self) -> None:
        """Restore the trainer's accumulation, which `scheduled_by_phase` requires to be 1."""
        self.trainer.accumulate_grad_batches = 1

    def rows_of_phases(self) -> dict[str, str]:
        """Return the plan's rows on batches and rates of the phases."""
        settings = self.schedule
        epochs = settings.warmup_epochs
        rows = {"phases": f"{epochs} epochs within videos, then all"}
        if epochs:
            samples = self.global_batch()
            rows["global batch"] = f"{samples * settings.warmup_accumulation} clips, then {samples} clips"
            rows["learning rate"] = f"{settings.warmup_lr:.6g}, then {settings.lr:.6g}"
        return rows
