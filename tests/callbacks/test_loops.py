"""Counters of Lightning that `loops` reads and writes: it fails here first when a release changes it.

That a training resumes exactly is tested in tests/callbacks/test_checkpoints.py.
"""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import pytorch_lightning as pl
import torch

from tests.helpers.stops import make
from tests.helpers.training import loader, quiet_trainer
from vidcorr.callbacks import loops


def trainer_after_a_batch(newest=3, is_last=False, **settings):
    """Return a trainer after the third batch of its first epoch, the seventh of all batches, and step 5."""
    trainer = Mock(should_stop=True, global_step=5, min_epochs=None, min_steps=None, val_check_batch=None)
    trainer.fit_loop.epoch_progress.current = SimpleNamespace(ready=1, started=1, processed=0)
    current = SimpleNamespace(started=3, completed=3, ready=newest)
    trainer.fit_loop.epoch_loop.batch_progress = SimpleNamespace(current=current, is_last_batch=is_last)
    trainer.fit_loop.total_batch_idx = 6
    defaults = {"check_val_every_n_epoch": 1, "accumulate_grad_batches": 2, "num_training_batches": 10}
    trainer.configure_mock(**defaults | settings)
    return trainer


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({}, True),
        ({"should_stop": False}, False),
        ({"min_epochs": 1}, False),
        ({"min_steps": 6}, False),
        ({"min_steps": 5}, True),
        ({"global_step": 0}, True),
        ({"num_training_batches": 3}, False),
        ({"val_check_batch": 3}, False),
        ({"val_check_batch": 2}, True),
        ({"val_check_batch": 3, "check_val_every_n_epoch": None}, True),  # the seventh batch of all epochs
        ({"val_check_batch": 7, "check_val_every_n_epoch": None}, False),
    ],
)
def test_a_stop_ends_within_the_epoch_unless_lightning_ends_or_validates_first(changes, ends):
    assert loops.ends_within_epoch(trainer_after_a_batch(**changes)) == ends


@pytest.mark.parametrize(("newest", "is_last"), [(3, True), (4, False)])
def test_the_last_batch_of_an_epoch_without_a_length_is_known_while_it_is_the_newest(newest, is_last):
    trainer = trainer_after_a_batch(newest, is_last=True, num_training_batches=math.inf)
    assert (loops.accumulates(trainer), loops.epochs_completed(trainer)) == (not is_last, is_last)


@pytest.mark.parametrize(("max_steps", "restarting"), [(-1, False), (9, True)])
def test_schedules_move_again_after_a_resumption_unless_steps_limit_the_run(max_steps, restarting):
    trainer = SimpleNamespace(fit_loop=SimpleNamespace(restarting=True), max_steps=max_steps)
    loops.follow_schedules(trainer)
    assert trainer.fit_loop.restarting == restarting


COUNTERS = json.loads(Path(__file__).with_name("counters.json").read_text())
"""Hook and begun batches → counters in a checkpoint of that moment, and what `loops` says and makes of them.

Two batches make a step, an epoch has three; each is validated. The run ends with the second batch of its second epoch.
"""


def counters(checkpoint):
    """Return the counters (ready, completed, started, processed) of epochs and batches, and the logged steps."""
    saved = checkpoint["loops"]["fit_loop"]
    batches = saved["epoch_loop.batch_progress"]
    of_epochs, *of_batches = saved["epoch_progress"]["current"], batches["current"], batches["total"]
    found = [list(each.values()) for each in (of_epochs, *of_batches)]
    return [*found, batches["is_last_batch"], saved["epoch_loop.state_dict"]["_batches_that_stepped"]]


class Places(pl.Callback):
    """Notes the counters in a checkpoint of each hook, and what `loops` says there."""

    def __init__(self, folder):
        self.path = folder / "a.ckpt"
        self.seen = {}
        self.restarts = []

    def note(self, trainer, hook):
        trainer.save_checkpoint(self.path)
        saved, completed, within = (torch.load(self.path, weights_only=True) for _ in range(3))
        loops.complete_epoch(completed)
        loops.stay_within_epoch(trainer, within)
        told = (loops.logged_step, loops.is_resumable, loops.accumulates, loops.epochs_completed)
        self.seen[f"{hook} {counters(saved)[2][0]}"] = {
            "saved": counters(saved),
            "complete_epoch": counters(completed),
            "stay_within_epoch": [*counters(within), within["epoch"]],
            "told": [function(trainer) for function in told],
        }

    def on_train_start(self, trainer, *args):
        self.restarts.append((loops.is_between_epochs(trainer), trainer.fit_loop.epoch_loop.restarting))
        loops.begin_next_epoch(trainer)
        assert not trainer.fit_loop.epoch_loop.restarting


for name in {place.partition(" ")[0] for place in COUNTERS}:
    setattr(Places, name, lambda self, trainer, *args, hook=name: self.note(trainer, hook))


def test_the_counters_of_the_loops_are_those_that_resuming_relies_on(tmp_path):
    def run(steps, path=None):
        places = Places(tmp_path)
        settings = {"max_epochs": 3, "accumulate_grad_batches": 2, "val_check_interval": 1, "num_sanity_val_steps": 0}
        trainer = quiet_trainer(callbacks=[places], max_steps=steps, default_root_dir=tmp_path, **settings)
        data = loader(6, 2, frames=2, size=16), loader(2, 2, frames=2, size=16)
        trainer.fit(make("VFSSimSiam", 2), *data, ckpt_path=path, weights_only=True)
        return places

    places = run(3)
    assert places.seen == COUNTERS
    assert places.restarts == [(True, False)]
    assert run(4, places.path).restarts == [(True, True)]
