"""The plan before a training: every row of it, and those that a method and a callback of the user add."""

import logging

import pytorch_lightning as pl

from lightning_modules import VFSSimSiam
from tests.helpers.training import TINY, loader, quiet_trainer


class Planned(VFSSimSiam):
    """A user's method with a row of its own, in place of `precision`, and a new one."""

    def plan_rows(self):
        return super().plan_rows() | {"precision": "mine", "loss": "cosine"}


class Counts(pl.Callback):
    """A user's callback whose text stands behind the method's, or in a row of its own."""

    def __init__(self, name):
        self.name = name

    def plan_row(self):
        return self.name, "by a callback"


def test_the_plan_of_a_user(caplog):
    callbacks = [Counts("loss"), Counts("count")]
    trainer = quiet_trainer(max_epochs=1, max_steps=1, accumulate_grad_batches=2, callbacks=callbacks)
    with caplog.at_level(logging.INFO):
        trainer.fit(Planned(**TINY, base_lr=0.05), loader(8, 2, frames=2, size=32))
    plan = next(record.message for record in caplog.records if "global batch" in record.message)
    rows = dict(line.strip().split("  ", 1) for line in plan.splitlines())
    assert {name: text.strip() for name, text in rows.items()} == {
        "method": "Planned",
        "backbone": "tests.helpers.encoders:TinyResNet, 0.00263 of 0.00371 M parameters",
        "global batch": "4 videos = 2 per device × 1 device(s) × 2 accumulated",
        "learning rate": "0.00078125 at the start, base_lr 0.05 × 4 / 256",
        "length": "1 epochs, at most 1 steps",
        "precision": "mine",
        "loss": "cosine; by a callback",
        "count": "by a callback",
    }
