"""Rates and lengths of a run: what the plan says is what happens."""

import re

from pytorch_lightning.callbacks import LambdaCallback

from callbacks import LastCheckpoint, Stops
from lightning_modules import VFSSimSiam
from lightning_modules.parts.schedules import cosine_factor
from tests.helpers.training import TINY, loader, quiet_trainer


def test_a_finished_run_that_is_extended_continues_by_the_schedule_of_its_new_length(tmp_path, caplog):
    caplog.set_level("INFO")

    def run(steps, path=None):
        rates = []
        note = LambdaCallback(on_before_optimizer_step=lambda *args: rates.append(args[-1].param_groups[0]["lr"]))
        callbacks = [note, LastCheckpoint(dirpath=tmp_path), Stops()]
        trainer = quiet_trainer(callbacks=callbacks, max_steps=steps, enable_checkpointing=True)
        data = loader(16, 4, frames=2, size=32)
        trainer.fit(VFSSimSiam(**TINY), data, ckpt_path=path, weights_only=True)
        return rates

    first = run(4)
    base = first[0]
    assert first == [base * cosine_factor(step, 4) for step in range(4)]
    caplog.clear()
    assert run(10, tmp_path / "last.ckpt") == [base * cosine_factor(step, 10) for step in range(4, 10)]
    assert f"learning rate  {base * cosine_factor(4, 10):.6g} at step 4" in re.sub(" {3,}", "  ", caplog.text)
