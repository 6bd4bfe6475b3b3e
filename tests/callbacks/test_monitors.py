"""Monitors log, warn, and measure speeds by a clock."""

import re
import warnings
from functools import partial
from types import SimpleNamespace
from unittest.mock import Mock, call

import pytest
import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch import nn

from tests.helpers.logged import Logged
from tests.helpers.refusal import refused
from tests.helpers.training import loader, quiet_trainer
from vidcorr.callbacks import BenchmarkCallback, CollapseMonitor, LastCheckpoint, Throughput, TrainingPictures
from vidcorr.lightning_modules import VFSMoCo


def test_it_logs_what_a_step_publishes_and_nothing_twice():
    module, logger = VFSMoCo("tests.helpers.training:Tiny", 4, queue_size=64), Logged()
    monitors = [CollapseMonitor(every_n_steps=2), EarlyStopping("monitor/embedding_std", mode="max", patience=9)]
    length = {"max_steps": 6, "log_every_n_steps": 1, "accumulate_grad_batches": 2}
    trainer = quiet_trainer(callbacks=monitors, logger=logger, **length)
    trainer.fit(module, loader(48, 4))
    names = ("embedding_std", "positive_similarity", "negative_similarity", "queue_age")
    logged = {name.removeprefix("monitor/"): values for name, values in logger.scores.items() if "monitor/" in name}
    assert set(logged) == set(names)
    assert all(list(values) == [1, 3, 5] for values in logged.values())  # Lightning counts steps from 0
    # 64 places, 16 keys a step; all are filled when step 6 begins
    assert logged["queue_age"] == {1: 1, 3: 3, 5: 4}
    assert all(-1 <= value <= 1 for value in logged["negative_similarity"].values())


def test_it_warns_once_after_some_checks_in_a_row(monkeypatch):
    """The first 1024 embeddings are one point in some steps, else on the sphere."""
    monkeypatch.setattr("vidcorr.callbacks.monitors.accumulates", lambda _: False)
    monkeypatch.setattr("vidcorr.callbacks.monitors._log_measured", Mock())
    monitor, trainer = CollapseMonitor(2), SimpleNamespace(global_step=0)
    for below, lines in ((0.1, 1), (0.1, 1), (0.0, 0)):  # a second fit begins anew; a spread of 0 is not below 0
        monitor.warn_below = below
        monitor.on_fit_start(trainer, None)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for trainer.global_step in range(20):
                embeddings = torch.randn(1025, 8)
                if trainer.global_step not in (4, 8):
                    embeddings[:1024] = 1
                monitor.on_train_batch_end(trainer, None, {"embeddings": embeddings}, None, 0)
        said = [str(each.message)[:59] for each in caught]
        assert said == ["step 14: the embeddings have collapsed: their spread is 0.000"[:59]] * lines
    line = "^CollapseMonitor: Linear gives no embeddings"
    trainer.global_step = 2
    refused(ValueError, line, monitor.on_train_batch_end, trainer, nn.Linear(1, 1), {"loss": 1.0}, None, 0)
    monitor.on_train_batch_end(trainer, nn.Linear(1, 1), {}, None, 0)  # the step has left its batch out


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
    """A batch takes 4 seconds; three make a step. Slow data are told once, above three tenths of the time."""
    logged = Mock()
    loader = SimpleNamespace(batch_size=2, num_workers=5)
    trainer = SimpleNamespace(accumulate_grad_batches=3, log_every_n_steps=2, train_dataloader=loader, world_size=4)
    monkeypatch.setattr("vidcorr.callbacks.monitors._log_measured", lambda _, values: logged(trainer.batch, values))
    monkeypatch.setattr("vidcorr.callbacks.monitors.accumulates", lambda _: trainer.batch % 3)
    monkeypatch.setattr("vidcorr.callbacks.monitors.time", SimpleNamespace(perf_counter=lambda: 4.0 * trainer.batch))
    monitor = Throughput()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for batch in range(1, 28):
            trainer.batch, trainer.global_step = batch, batch // 3
            loader.waited = {1: 1.0, 6: 7.0}.get(batch, 3.0 * batch - 11)
            trainer.log_every_n_steps = 0 if 18 < batch < 22 else 2
            trainer.train_dataloader = loader if batch < 22 else object()
            monitor.on_train_batch_end(trainer, None, None, None, 0)
            if batch == 12:
                monitor.on_validation_end(trainer, None)
    known = {"time/step": 12.0, "time/clips_per_second": 2.0}
    told = [call(batch, known | {"time/data": waited}) for batch, waited in ((6, 0.3), (12, 0.75), (18, 0.75))]
    assert logged.mock_calls == [*told, call(24, {"time/step": 12.0})]
    (line,) = warned
    assert re.match(r"75% of the time goes into waiting .*num_workers \(now 5\)", str(line.message))
