"""Counters of Lightning that `loops` reads and writes: it fails here first when a release changes it.

That a training resumes exactly is tested in tests/callbacks/test_checkpoints.py.
"""

import math
from copy import deepcopy
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


EPOCHS = {  # hook and step → epochs ready, completed, started, processed; batches the same; logged steps
    ("on_train_epoch_start", 0): ((1, 0, 0, 0), (0, 0, 0, 0), 0),
    ("on_train_batch_start", 0): ((1, 0, 1, 0), (1, 0, 0, 0), 0),
    ("on_train_batch_end", 1): ((1, 0, 1, 0), (1, 0, 1, 1), 0),
    ("on_train_batch_start", 1): ((1, 0, 1, 0), (2, 1, 1, 1), 1),
    ("on_train_batch_end", 2): ((1, 0, 1, 0), (2, 1, 2, 2), 1),
    ("on_validation_end", 2): ((1, 0, 1, 0), (2, 2, 2, 2), 1),
    ("on_train_epoch_end", 2): ((1, 0, 1, 1), (2, 2, 2, 2), 2),
    ("on_train_epoch_start", 2): ((2, 1, 1, 1), (2, 2, 2, 2), 2),
    ("on_train_batch_start", 2): ((2, 1, 2, 1), (1, 0, 0, 0), 2),
    ("on_train_batch_end", 3): ((2, 1, 2, 1), (1, 0, 1, 1), 2),
    ("on_train_epoch_end", 3): ((2, 1, 2, 2), (1, 1, 1, 1), 3),
    ("on_train_end", 3): ((2, 2, 2, 2), (1, 1, 1, 1), 3),
}
HOOKS = dict.fromkeys(hook for hook, _ in EPOCHS)
RESUMABLE = {("on_train_epoch_start", 0), ("on_train_batch_start", 0), ("on_train_batch_start", 1)}
RESUMABLE |= {("on_train_epoch_start", 2), ("on_train_batch_start", 2)}
COMPLETED = {
    ("on_train_epoch_start", 0): ((0, 0, 0, 0), (0, 0, 0, 0), 0),
    ("on_train_epoch_end", 2): ((1, 1, 1, 1), (2, 2, 2, 2), 2),
    ("on_train_epoch_start", 2): ((1, 1, 1, 1), (2, 2, 2, 2), 2),
    ("on_train_epoch_end", 3): ((2, 2, 2, 2), (1, 1, 1, 1), 3),
}
"""Where `complete_epoch` changes them."""
WITHIN = {
    ("on_train_batch_start", 1): ((1, 0, 1, 0), (1, 0, 1, 1), 0, (1, 0, 1, 1), False, 0),
    ("on_train_epoch_end", 3): ((2, 1, 2, 1), (1, 0, 1, 1), 2, (3, 2, 3, 3), False, 1),
    ("on_train_end", 3): ((2, 1, 2, 1), (1, 0, 1, 1), 2, (3, 2, 3, 3), False, 1),
}
"""Where `stay_within_epoch` changes them; also batches of all epochs, whether it is the last, and the epoch."""


def current(counters):
    """Return the counters of epochs and batches, and the number of logged steps."""
    of_epochs, of_batches = counters["epoch_progress"], counters["epoch_loop.batch_progress"]
    logged = counters["epoch_loop.state_dict"]["_batches_that_stepped"]
    return (tuple(of_epochs["current"].values()), tuple(of_batches["current"].values()), logged)


class Places(pl.Callback):
    """Notes the counters in a checkpoint of each hook, and what `loops` says there."""

    def __init__(self, folder):
        self.path = folder / "a.ckpt"
        self.seen, self.completed, self.within = {}, {}, {}
        self.resumable = set()
        self.restarts = []

    def note(self, trainer, hook):
        trainer.save_checkpoint(self.path)
        saved = torch.load(self.path, weights_only=True)
        counters = saved["loops"]["fit_loop"]
        place = (hook, trainer.global_step)
        self.seen[place] = current(counters)
        assert loops.logged_step(trainer) == self.seen[place][-1]
        completed = deepcopy(saved)
        loops.complete_epoch(completed)
        self.completed[place] = current(completed["loops"]["fit_loop"])
        loops.stay_within_epoch(trainer, saved)
        total = tuple(counters["epoch_loop.batch_progress"]["total"].values())
        last = counters["epoch_loop.batch_progress"]["is_last_batch"]
        self.within[place] = (*current(counters), total, last, saved["epoch"])
        if loops.is_resumable(trainer):
            self.resumable.add(place)

    def on_train_start(self, trainer, *args):
        self.restarts.append((loops.is_between_epochs(trainer), trainer.fit_loop.epoch_loop.restarting))
        loops.begin_next_epoch(trainer)
        assert not trainer.fit_loop.epoch_loop.restarting


for name in HOOKS:
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
    assert places.seen == EPOCHS
    assert places.resumable == RESUMABLE
    assert {place: counters for place, counters in places.completed.items() if counters != EPOCHS[place]} == COMPLETED
    assert {place: counters for place, counters in places.within.items() if counters[:3] != EPOCHS[place]} == WITHIN
    assert loops.epochs_completed(trainer) == 1
    assert places.restarts == [(True, False)]
    again, _ = run(4, places.path)
    assert again.restarts == [(True, True)]
