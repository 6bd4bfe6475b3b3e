"""Batches per optimiser step by the phase of a training."""

from types import SimpleNamespace

import pytest

from lightning_modules.components.phases import PhaseAccumulation


def test_the_phase_of_each_batch_decides() -> None:
    callback, trainer, module = (
        PhaseAccumulation(4),
        SimpleNamespace(accumulate_grad_batches=1),
        SimpleNamespace(warming_up=True),
    )
    callback.on_fit_start(trainer, module)  # type: ignore[arg-type]
    callback.on_train_batch_start(trainer, module)  # type: ignore[arg-type]
    assert trainer.accumulate_grad_batches == 4
    module.warming_up = False
    callback.on_train_batch_start(trainer, module)  # type: ignore[arg-type]
    assert trainer.accumulate_grad_batches == 1
    module.warming_up = True
    callback.on_train_batch_start(trainer, module)  # type: ignore[arg-type]
    callback.on_fit_end(trainer, module)  # type: ignore[arg-type]
    assert trainer.accumulate_grad_batches == 1


def test_a_number_of_the_trainers_own_is_refused() -> None:
    with pytest.raises(ValueError, match=r"leave it out, Liir has model\.warmup_accumulation"):
        PhaseAccumulation(4).on_fit_start(SimpleNamespace(accumulate_grad_batches=2), None)  # type: ignore[arg-type]
