"""The run summary."""

from typing import Any

import pytest
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from tests.helpers.contrast import Clips, loader, quiet_trainer
from tests.helpers.liir import tiny as tiny_liir
from tests.helpers.moco import tiny


class Look(pl.Callback):
    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.plan = pl_module.plan()


def test_plan_tells_the_size_of_the_queue(capsys: pytest.CaptureFixture[str], caplog: Any) -> None:
    look = Look()
    quiet_trainer(max_steps=1, callbacks=[look]).fit(tiny(), loader(videos=8, batch_size=8))
    assert look.plan["BatchNorm"] == "Shuffle BN: 4 group(s) of 2 videos"
    assert look.plan["negatives"].startswith("16 keys of 4 numbers, 0.0 MB")


@pytest.mark.parametrize(
    ("momentum", "advice"),
    [(0.5, ""), (0.999, "; 99% of it is still its start after 6 steps: lower encoder_momentum")],
)
def test_plan_tells_of_an_average_that_cannot_follow(momentum: float, advice: str) -> None:
    look = Look()
    module = tiny(encoder_momentum=momentum)
    quiet_trainer(max_steps=6, callbacks=[look]).fit(module, loader(videos=8, batch_size=8))
    assert look.plan["momentum encoder"] == f"average with m = {momentum}{advice}"


def test_plan_tells_of_negatives_that_join_before_the_average_has_followed() -> None:
    look = Look()
    module = tiny_liir(warmup_epochs=2, warmup_accumulation=2, encoder_momentum=0.8)
    quiet_trainer(max_epochs=9, callbacks=[look]).fit(module, DataLoader(Clips(8, 2, 16), batch_size=2))
    expected = "average with m = 0.8; 41% of it is still its start when negatives join after 4 steps"
    assert look.plan["momentum encoder"] == f"{expected}: lower encoder_momentum"
