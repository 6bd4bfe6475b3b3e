"""Spread of embeddings on cases with known answers; warnings; speeds by a clock."""

import math
import warnings
from functools import partial
from types import SimpleNamespace
from unittest.mock import Mock, call

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch import nn

from callbacks import BenchmarkCallback, CollapseMonitor, LastCheckpoint, Throughput, TrainingPictures
from callbacks.monitors import embedding_spread
from lightning_modules import VFSMoCo
from tests.helpers.logged import Logged
from tests.helpers.refusal import refused
from tests.helpers.training import loader, quiet_trainer


def test_spread_is_one_on_the_sphere_and_zero_in_a_point():
    assert math.isclose(embedding_spread(torch.randn(5000, 64)).item(), 1, abs_tol=0.02)
    assert embedding_spread(torch.randn(1, 64).expand(50, -1)).item() < 1e-6
    two = torch.tensor([[3.0, 0.0], [-5.0, 0.0]])  # unit vectors ±e1: deviations √2 and 0
    assert math.isclose(embedding_spread(two).item(), math.sqrt(2) / 2 * math.sqrt(2), rel_tol=1e-6)
    for shape in ((1, 8), (4, 2, 8)):
        refused(ValueError, r"expected embeddings \(N, D\)", embedding_spread, torch.rand(shape))


def test_it_logs_what_a_step_publishes_and_nothing_twice():
    module, logger = VFSMoCo("tests.helpers.training:Tiny", 4, queue_size=64), Logged()
    monitors = [CollapseMonitor(every_n_steps=2), EarlyStopping("monitor/embedding_std", mode="max", patience=9)]
    trainer = quiet_trainer(
        max_steps=6, log_every_n_steps=1, callbacks=monitors, logger=logger, accumulate_grad_batches=2
    )
    trainer.fit(module, loader(48, 4))
    names = ("embedding_std", "positive_similarity", "negative_similarity", "queue_age")
    logged = {name.removeprefix("monitor/"): values for name, values in logger.scores.items() if "monitor/" in name}
    assert set(logged) == set(names)
    assert all(list(values) == [1, 3, 5] for values in logged.values())  # Lightning counts steps from 0
    # 64 places, 16 keys a step; all are filled when step 6 begins
    assert logged["queue_age"] == {1: 1, 3: 3, 5: 4}
    assert all(-1 <= value <= 1 for value in logged["negative_similarity"].values())


class Publishes(pl.LightningModule):
    """Embeddings of which the first 1024 are one point in some steps, else on the sphere."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch, batch_index):
        embeddings = torch.randn(1025, 8)
        if self.global_step in (0, 2, 3, 5, 6, 7, 8):
            embeddings[:1024] = 1
        return {"loss": self.layer(torch.ones(1, 1)).sum(), "embeddings": embeddings}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def test_it_warns_once_after_some_checks_in_a_row():
    monitor = CollapseMonitor(1, patience=3)
    for below, lines in ((0.1, 1), (0.1, 1), (0.0, 0)):  # a second fit begins anew; a spread of 0 is not below 0
        monitor.warn_below = below
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            quiet_trainer(max_steps=9, callbacks=[monitor]).fit(Publishes(), loader(64, 4))
        said = [str(each.message)[:58] for each in caught if "collapsed" in str(each.message)]
        assert said == ["step 8: the embeddings have collapsed: their spread is 0.000"[:58]] * lines


OF_ONE = [
    (CollapseMonitor, "every_n_steps"),
    (CollapseMonitor, "patience"),
    (LastCheckpoint, "every_n_steps"),
    (TrainingPictures, "every_n_epochs"),
    (partial(BenchmarkCallback, None), "every_n_epochs"),
]
"""Callback, and a number that is at least 1."""


@pytest.mark.parametrize(("kind", "name"), OF_ONE)
def test_a_number_below_one_is_refused(kind, name):
    assert getattr(kind(**{name: 1}), name) == 1
    refused(ValueError, name, kind, **{name: 0})


def test_the_speed_is_logged_every_few_steps_and_not_over_a_pause(monkeypatch):
    """A batch is waited for 3 seconds and trained on for 1; three make a step."""
    logged, warned = Mock(), Mock()
    loader = SimpleNamespace(batch_size=2, num_workers=5)
    trainer = SimpleNamespace(accumulate_grad_batches=3, log_every_n_steps=2, train_dataloader=loader, world_size=1)
    monkeypatch.setattr("callbacks.monitors._log_measured", lambda _, values: logged(trainer.batch, values))
    monkeypatch.setattr("callbacks.monitors.accumulates", lambda _: trainer.batch % 3)
    monkeypatch.setattr("callbacks.monitors.time", SimpleNamespace(perf_counter=lambda: 4.0 * trainer.batch))
    monitor = Throughput()
    monkeypatch.setattr(monitor, "_warn_if_slow", warned)
    for batch in range(1, 22):
        trainer.batch, trainer.global_step, loader.waited = batch, batch // 3, 3.0 * batch
        trainer.log_every_n_steps = 2 if batch < 19 else 0
        monitor.on_train_batch_end(trainer, None, None, None, 0)
        if batch == 12:
            monitor.on_validation_end(trainer, None)
    known = {"time/step": 12.0, "time/clips_per_second": 0.5, "time/data": 0.75}
    assert logged.mock_calls == [call(batch, known) for batch in (6, 12, 18)]
    assert warned.mock_calls == [call(0.75, 5)] * 3


def test_a_method_without_embeddings_is_refused(monkeypatch):
    monkeypatch.setattr("callbacks.monitors.accumulates", lambda _: False)
    end, trainer = CollapseMonitor(2).on_train_batch_end, SimpleNamespace(global_step=2)
    refused(ValueError, "^CollapseMonitor: Linear gives no embeddings", end, trainer, nn.Linear(1, 1), {}, None, 0)


def test_one_hint_when_data_are_slow():
    monitor = Throughput()
    with pytest.warns(UserWarning, match=r"^31% of the time goes into waiting .*num_workers \(now 2\)"):
        monitor._warn_if_slow(0.31, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monitor._warn_if_slow(0.31, 2)
        Throughput()._warn_if_slow(0.3, 2)


def test_the_speed_counts_the_clips_of_all_ranks():
    monitor = Throughput()
    monitor._batches, monitor._waited_before = 6, 1.0
    trainer = SimpleNamespace(train_dataloader=SimpleNamespace(batch_size=2), accumulate_grad_batches=3, world_size=4)
    known = {"time/step": 6.0, "time/clips_per_second": 4.0, "time/data": 0.25}
    assert monitor._speed(trainer, 12.0, 4.0) == known
    trainer.train_dataloader = object()
    assert monitor._speed(trainer, 12.0, None) == {"time/step": 6.0}
