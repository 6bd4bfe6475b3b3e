"""Counters of Lightning that `loops` reads and writes: it fails here first when a release changes it.

That a training resumes exactly is tested in tests/callbacks/test_checkpoints.py.
"""

import json
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from tests.helpers.stops import make
from tests.helpers.training import loader, quiet_trainer
from vidcorr import loops

LENGTHS = [(True, {"val_check_interval": "00:01:00:00"}, True), (False, {}, False), (True, {"min_epochs": 1}, False)]
LENGTHS += [(True, {"min_steps": 3, "min_epochs": 0}, False)]


@pytest.mark.parametrize(("asks", "options", "ends"), LENGTHS)
def test_a_stop_waits_for_the_least_length(asks, options, ends):
    told = {}

    def ask(trainer, *_):
        trainer.should_stop |= asks
        told[trainer.global_step] = loops.ends_within_epoch(trainer)

    trainer = quiet_trainer(callbacks=[pl.callbacks.LambdaCallback(on_train_batch_end=ask)], max_epochs=1, **options)
    trainer.fit(make("VFSSimSiam", 1), loader(10, 2, frames=2, size=16), loader(2, 2, frames=2, size=16))
    assert told[1] == (trainer.global_step == 1) == ends


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
        seen = {"saved": counters(saved), "complete_epoch": counters(completed)}
        seen["stay_within_epoch"] = [*counters(within), within["epoch"]]
        seen["told"] = [function(trainer) for function in told]
        self.seen[f"{hook} {counters(saved)[2][0]}"] = seen

    def on_train_start(self, trainer, *args):
        loops.follow_schedules(trainer)  # nothing where steps limit the run
        restarting = trainer.fit_loop.epoch_loop.restarting, trainer.fit_loop.restarting
        self.restarts.append((loops.is_between_epochs(trainer), *restarting))
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
    assert places.restarts == [(True, False, False)]
    assert run(4, places.path).restarts == [(True, True, True)]
