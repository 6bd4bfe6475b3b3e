"""Means over an epoch in which a run was stopped are those of the uninterrupted run."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers.logger import DummyLogger
from torchmetrics import MeanMetric

from lightning_modules import VFSSimSiam
from tests.helpers.stops import EPOCHS, TINY, Stop, go


class Logging(VFSSimSiam):
    """Logs a number of each batch over the epoch, by each of Lightning's reductions and by a metric object."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(TINY, projector_dim=8, predictor_dim=4)
        self.mean_metric = MeanMetric()

    def training_step(self, batch: Any, batch_index: int) -> Any:
        published = super().training_step(batch, batch_index)
        loss = published["loss"].detach()
        for reduction in ("mean", "sum", "max", "min"):
            self.log(f"{reduction} of losses", loss, on_step=False, on_epoch=True, reduce_fx=reduction, batch_size=4)
        self.log("both", loss, on_step=True, on_epoch=True, batch_size=4)
        self.mean_metric(loss)
        self.log("metric", self.mean_metric, on_step=False, on_epoch=True, batch_size=4)
        if batch_index == 0:
            self.log("only of the first batch", loss, on_step=False, on_epoch=True, batch_size=4)
        return published


class Logged(DummyLogger):
    """Keeps what is logged at the ends of epochs."""

    def __init__(self, epochs: list[dict[str, float]]) -> None:
        super().__init__()
        self.epochs = epochs

    def log_metrics(self, metrics: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "mean of losses" in metrics:
            self.epochs.append(metrics)


def run(folder: Path, start: Path | None = None, stop: Stop | None = None) -> list[dict[str, float]]:
    epochs: list[dict[str, float]] = []
    go("", folder, start=start, stop=stop, module=Logging(), logger=Logged(epochs), every=100)
    return epochs


@pytest.mark.parametrize(
    "stop",
    [Stop("step", 0), Stop("step", 1), Stop("step", 4), Stop("step", 5), Stop("validation", 1), Stop("validated", 1)],
    ids=lambda stop: f"{stop.hook} {stop.number}",
)
def test_means_of_the_epoch_that_was_stopped(tmp_path: Path, stop: Stop) -> None:
    expected = run(tmp_path / "whole")
    assert len(expected) == EPOCHS
    assert expected[0]["mean of losses"] == pytest.approx(expected[0]["sum of losses"] / 3)
    found = run(tmp_path / "parts", stop=stop)
    found += run(tmp_path / "parts", start=tmp_path / "parts" / "last.ckpt")
    assert [metrics["epoch"] for metrics in found] == [metrics["epoch"] for metrics in expected]
    assert found == expected


def test_sums_of_ranks_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    from callbacks.training.epoch_means import EpochMeans

    trainer = pl.Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path, enable_checkpointing=False)
    means = EpochMeans()
    means.on_load_checkpoint(trainer, [{"a": {}}, {"a": {}}])
    means.on_train_batch_end(trainer)
    assert trainer.fit_loop.epoch_loop._results == {}
