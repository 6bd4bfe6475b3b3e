"""The run summary."""

from typing import Any

import pytest
import pytorch_lightning as pl

from tests.helpers.contrast import loader, quiet_trainer
from tests.helpers.moco import tiny


def test_plan_tells_the_size_of_the_queue(capsys: pytest.CaptureFixture[str], caplog: Any) -> None:
    class Look(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
            self.plan = pl_module.plan()

    look = Look()
    quiet_trainer(max_steps=1, callbacks=[look]).fit(tiny(), loader(videos=8, batch_size=8))
    assert look.plan["BatchNorm"] == "Shuffle BN: 4 group(s) of 2 videos"
    assert look.plan["negatives"].startswith("16 keys of 4 numbers, 0.0 MB")
