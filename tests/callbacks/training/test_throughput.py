"""Throughput: shares and speeds by a clock that the test turns itself."""

import warnings

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from callbacks import Throughput
from datamodules.loading.loader import ClipSampler, ResumableLoader
from tests.helpers.contrast import Clips, Tiny, quiet_trainer


class Clock:
    """Seconds that pass only where something is said to take them."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class SlowClips(Clips):
    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__(12)
        self.clock, self.seconds = clock, seconds

    def __getitem__(self, key):
        self.clock.now += self.seconds
        return super().__getitem__(key)


class Module(pl.LightningModule):
    """Each batch takes a second, each validation a hundred."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.net, self.clock, self.logged = Tiny(), clock, {}

    def log(self, name, value, **options):
        self.logged.setdefault(self.trainer.global_step, {})[name] = value
        super().log(name, value, **options)

    def training_step(self, batch, batch_index):
        self.clock.now += 1
        return self.net(batch["clip"].flatten(0, 1)).square().mean()

    def validation_step(self, batch, batch_index):
        self.clock.now += 100

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("callbacks.training.throughput.time", clock)
    monkeypatch.setattr("datamodules.loading.loader.time", clock)
    return clock


def fit(clock, seconds, callback=None, **options):
    data, module = SlowClips(clock, seconds), Module(clock)
    loader = ResumableLoader(data, batch_size=2, sampler=ClipSampler(data, 2))
    options = {"max_epochs": 2, "log_every_n_steps": 1, "num_sanity_val_steps": 0} | options
    trainer = quiet_trainer(callbacks=[callback or Throughput()], **options)
    trainer.fit(module, loader, DataLoader([0], batch_size=None))
    return module.logged


@pytest.mark.parametrize("accumulate", [1, 3])
def test_what_is_logged(clock, accumulate):
    logged = fit(clock, 1.5, accumulate_grad_batches=accumulate, log_every_n_steps=2)
    # a batch of two clips is waited for 3 seconds and trained on for 1
    expected = {"time/step": 4.0 * accumulate, "time/data": 0.75, "time/clips_per_second": 0.5}
    assert list(logged) == ([2, 4, 6, 8, 10, 12] if accumulate == 1 else [2, 4])
    for seen in logged.values():
        assert seen == pytest.approx(expected)


def test_one_hint_when_data_are_slow(clock):
    with pytest.warns(UserWarning, match=r"75% of the time goes into waiting .*num_workers \(now 0\)") as caught:
        fit(clock, 1.5)
    assert sum("waiting for data" in str(warning.message) for warning in caught) == 1


def test_no_hint_when_they_are_not(clock):
    with warnings.catch_warnings(record=True) as caught:
        fit(clock, 0.2)
    assert not [warning for warning in caught if "waiting for data" in str(warning.message)]


def test_other_loaders_tell_no_share(clock):
    module = Module(clock)
    trainer = quiet_trainer(callbacks=[Throughput()], max_epochs=1, log_every_n_steps=1, limit_val_batches=0)
    trainer.fit(module, DataLoader(Clips(8), batch_size=2))
    assert module.logged[4] == {"time/step": 1.0, "time/clips_per_second": 2.0}


def test_a_share_is_a_share():
    with pytest.raises(ValueError, match="warn_above is 30"):
        Throughput(30)
