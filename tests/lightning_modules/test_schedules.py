"""Rates and lengths of a run: what the plan says is what happens."""

import math
import re

import pytest
import pytorch_lightning as pl

from callbacks import LastCheckpoint, Stops
from lightning_modules import VFSSimSiam
from lightning_modules.parts.schedules import LiirSchedule, cosine_factor, samples_of_step
from tests.helpers.refusal import refused
from tests.helpers.training import TINY, loader, quiet_trainer, tiny_liir


class Rates(pl.Callback):
    """Keeps the learning rate of each step, and the steps of the run."""

    def __init__(self):
        self.rates = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.rates.append(optimizer.param_groups[0]["lr"])


def test_more_accumulated_batches_than_an_epoch_has_are_refused():
    trainer = quiet_trainer(accumulate_grad_batches=64, max_steps=3)
    line = "accumulate_grad_batches 64: an epoch has only 4 batches, .* accumulate at most 4"
    assert refused(ValueError, line, trainer.fit, VFSSimSiam(**TINY), loader(8, 2, frames=2, size=32))
    assert trainer.global_step == 0


@pytest.mark.parametrize(
    ("accumulated", "batches", "samples"),
    [(1, 5, "4"), (5, 5, "20"), (3, 6, "12"), (3, 5, "12 (8 in the last step of an epoch)"), (8, math.inf, "32")],
)
def test_the_plan_has_the_samples_of_steps_that_occur(accumulated, batches, samples):
    assert samples_of_step(4, accumulated, batches) == samples


def test_a_finished_run_that_is_extended_continues_by_the_schedule_of_its_new_length(tmp_path, caplog):
    caplog.set_level("INFO")

    def run(steps, path=None):
        rates = Rates()
        callbacks = [rates, LastCheckpoint(dirpath=tmp_path), Stops()]
        trainer = quiet_trainer(callbacks=callbacks, max_steps=steps, enable_checkpointing=True)
        data = loader(16, 4, frames=2, size=32)
        trainer.fit(VFSSimSiam(**TINY), data, ckpt_path=path, weights_only=True)
        return rates.rates

    first = run(4)
    base = first[0]
    assert first == [base * cosine_factor(step, 4) for step in range(4)]
    caplog.clear()
    assert run(10, tmp_path / "last.ckpt") == [base * cosine_factor(step, 10) for step in range(4, 10)]
    (told,) = re.findall("schedule .*", caplog.text)
    assert told.endswith("of this run's length, which is not the checkpoint's: its rate was 0")
    assert f"learning rate  {base * cosine_factor(4, 10):.6g} at step 4" in re.sub(" {3,}", "  ", caplog.text)


def test_a_batch_of_one_small_video_names_the_batch_that_is_needed():
    trainer = quiet_trainer(max_steps=1)
    line = r"data.batch_size 1: BatchNorm sees a single value per channel; give at least 2 videos per device"
    module = VFSSimSiam("torchvision:resnet18", projector_dim=8, predictor_dim=4)
    assert refused(ValueError, line, trainer.fit, module, loader(2, 1, frames=2, size=32))


@pytest.mark.parametrize(
    ("epochs", "warmup", "batches", "steps"), [(3, 1, 9, 5 + 18), (3, 5, 9, 15), (2, 0, 9, 18), (4, 2, 8, 8 + 16)]
)
def test_the_steps_of_both_phases(epochs, warmup, batches, steps):
    assert LiirSchedule(warmup_epochs=warmup, warmup_accumulation=2).steps(epochs, batches) == steps


@pytest.mark.slow
@pytest.mark.parametrize(("warmup", "steps", "begins"), [(1, 8, True), (9, 6, False)])
def test_liirs_plan_knows_its_accumulation(warmup, steps, begins, tmp_path, caplog):
    caplog.set_level("INFO")
    module = tiny_liir(
        schedule={"warmup_epochs": warmup, "warmup_accumulation": 2}, bank={"encoder": "average"}, encoder_momentum=0.5
    )
    trainer = quiet_trainer(max_epochs=2, default_root_dir=tmp_path)
    trainer.fit(module, loader(10, 2, frames=2, size=16))
    assert trainer.global_step == steps
    assert re.search(rf"length +{steps} steps", caplog.text)
    assert ("the second phase never begins" in caplog.text) != begins
    assert "lower encoder_momentum" not in caplog.text or begins
