"""Counters of Lightning that `loops` reads and writes: it fails here first when a release changes it.

That a training resumes exactly is tested in tests/callbacks/test_checkpoints.py.
"""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch

from callbacks import loops
from lightning_modules import VFSSimSiam
from tests.helpers.training import TINY, loader, quiet_trainer


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
    """After the third batch of an epoch, and step 5."""
    batches = SimpleNamespace(current=SimpleNamespace(started=3, ready=3), is_last_batch=False)
    fit_loop = SimpleNamespace(
        epoch_progress=SimpleNamespace(current=SimpleNamespace(processed=0)),
        epoch_loop=SimpleNamespace(batch_progress=batches),
        total_batch_idx=6,
    )
    trainer = SimpleNamespace(
        fit_loop=fit_loop, should_stop=True, global_step=5, min_epochs=None, min_steps=None, num_training_batches=10
    )
    vars(trainer).update({"val_check_batch": None, "check_val_every_n_epoch": 1} | changes)
    assert loops.ends_within_epoch(trainer) == ends


@pytest.mark.parametrize(
    ("started", "newest", "length", "accumulates", "ends"),
    [
        (1, 1, 3, True, False),
        (2, 2, 3, False, False),
        (3, 3, 3, False, True),
        (3, 3, math.inf, False, True),  # the newest is known as the last
        (3, 4, math.inf, True, False),
    ],
)
def test_two_batches_or_the_last_of_an_epoch_make_a_step(started, newest, length, accumulates, ends):
    current = SimpleNamespace(started=started, completed=started, ready=newest)
    batches = SimpleNamespace(batch_progress=SimpleNamespace(current=current, is_last_batch=newest > 2))
    epochs = SimpleNamespace(current=SimpleNamespace(ready=5, started=5, processed=4))
    trainer = SimpleNamespace(accumulate_grad_batches=2, num_training_batches=length, training=True)
    trainer.fit_loop = SimpleNamespace(epoch_loop=batches, epoch_progress=epochs)
    assert (loops.accumulates(trainer), loops.epochs_completed(trainer)) == (accumulates, 4 + ends)
    assert loops.is_resumable(trainer) == (not accumulates and not ends)
    trainer.training = False  # a validation within the epoch
    assert not loops.is_resumable(trainer)


@pytest.mark.parametrize(("max_steps", "restarting"), [(-1, False), (9, True)])
def test_schedules_move_again_after_a_resumption_unless_steps_limit_the_run(max_steps, restarting):
    trainer = SimpleNamespace(fit_loop=SimpleNamespace(restarting=True), max_steps=max_steps)
    loops.follow_schedules(trainer)
    assert trainer.fit_loop.restarting == restarting


COUNTERS = json.loads(Path(__file__).with_name("counters.json").read_text())
"""Hook and step → counters in a checkpoint of that moment, and what `loops` says and makes of them."""


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
        self.seen[f"{hook} {trainer.global_step}"] = {
            "saved": counters(saved),
            "complete_epoch": counters(completed),
            "stay_within_epoch": [*counters(within), within["epoch"]],
            "logged_step": loops.logged_step(trainer),
            "is_resumable": loops.is_resumable(trainer),
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
        trainer = quiet_trainer(
            callbacks=[places], max_steps=steps, num_sanity_val_steps=0, default_root_dir=tmp_path, max_epochs=3
        )
        data = loader(8, 4, frames=2, size=32)
        trainer.fit(VFSSimSiam(**TINY), data, loader(4, 4, frames=2, size=32), ckpt_path=path, weights_only=True)
        return places, trainer

    places, trainer = run(3)
    assert places.seen == COUNTERS
    assert loops.epochs_completed(trainer) == 1
    assert places.restarts == [(True, False)]
    again, _ = run(4, places.path)
    assert again.restarts == [(True, True)]
