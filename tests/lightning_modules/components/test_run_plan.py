"""The run summary."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_modules.base import CorrespondenceModule
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
    assert look.plan["length"] == "9 epochs"
    assert look.plan["phases"] == "2 epochs within videos, then all; 4 batches an epoch"
    assert look.plan["negatives"] == "12 points of 6 frames, from epoch 2 on"


class GroupNorms(CorrespondenceModule):
    """A user's method with words of ours for things of its own."""

    warming_up = True

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(groups, 8))

    def step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        return {"loss": self.backbone(batch["clip"].flatten(0, 1)).mean()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_a_method_of_a_users_own_has_the_rows_of_every_method() -> None:
    look = Look()
    quiet_trainer(max_epochs=1, callbacks=[look]).fit(GroupNorms(2), loader(videos=8, batch_size=8))
    rows = ["method", "backbone", "global batch", "learning rate", "length", "BatchNorm", "precision"]
    assert list(look.plan) == rows
    assert look.plan["BatchNorm"] == "none"
    assert look.plan["length"] == "1 steps in 1 epochs"


@pytest.mark.parametrize(("made", "length"), [(GroupNorms(2), "2 steps"), (tiny_liir(), "5 epochs, at most 2 steps")])
def test_plan_promises_no_more_than_the_steps_that_a_run_may_take(made: Any, length: str) -> None:
    look = Look()
    quiet_trainer(max_epochs=5, max_steps=2, callbacks=[look]).fit(made, DataLoader(Clips(8, 2, 16), batch_size=2))
    assert look.plan["length"] == length
