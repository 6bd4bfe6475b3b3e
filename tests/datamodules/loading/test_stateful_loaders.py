"""Somebody's loader with a state, such as LitData's and torchdata's, resumes at the batch at which the run stopped."""

import os
import signal
from contextlib import suppress

import pytest
import torch
from pytorch_lightning.callbacks import LambdaCallback, ModelCheckpoint

from tests.helpers.faults import differences
from tests.helpers.training import InMemory, quiet_trainer, tiny_simsiam
from vidcorr.callbacks import LastCheckpoint, Stops, TrainingStopped
from vidcorr.signals import Stopped

BATCHES = 5


class Counting:
    """A loader that counts what it has given in an epoch; its state is the count."""

    def __init__(self, batches):
        self.batches, self.taken, self.start = batches, 0, 0

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        self.taken, self.start = self.start, 0
        while self.taken < len(self):
            self.taken += 1
            yield self.batches[self.taken - 1]

    def state_dict(self):
        return {"taken": self.taken}

    def load_state_dict(self, state):
        self.taken = state["taken"]
        self.start = self.taken % len(self)  # behind a whole epoch the next begins


def fit(folder, accumulated=1, at=None, how=None, path=None, other=False):
    """Train two epochs, or until a stop; return the batches that were trained on, and the weights."""
    seen = []
    data = InMemory(BATCHES * 2, 2, 2, 32)
    data.setup("fit")

    def strike(trainer, module, batch, *_):
        if len(seen) == at and how == "kill":  # before the batch, with nothing saved but what was
            raise TrainingStopped("killed")
        seen.append(tuple(batch["video_index"].tolist()))
        if len(seen) == at and how == "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)

    savers = [ModelCheckpoint(folder, "other-{step}", every_n_train_steps=1, save_top_k=-1)] if other else []
    callbacks = [*savers, LambdaCallback(on_train_batch_start=strike), LastCheckpoint(2, folder), Stops()]
    options = {"max_epochs": 2, "accumulate_grad_batches": accumulated, "enable_checkpointing": True}
    torch.manual_seed(0)
    module = tiny_simsiam()
    trainer = quiet_trainer(callbacks=callbacks, default_root_dir=folder, limit_val_batches=0, **options)
    with suppress(TrainingStopped, Stopped):
        trainer.fit(module, Counting(list(data.train_dataloader())), ckpt_path=path)
    return seen, module.state_dict()


@pytest.mark.parametrize(("accumulated", "other"), [(1, False), (1, True), (2, False)])
@pytest.mark.parametrize("how", ["kill", "SIGTERM"])
@pytest.mark.parametrize("at", [1, 3, 4, 7])
@pytest.mark.sampled(12)
def test_a_run_takes_every_batch_once_in_each_epoch(at, how, accumulated, other, tmp_path):
    whole, weights = fit(tmp_path / "whole", accumulated)
    assert (len(whole), len(set(whole))) == (2 * BATCHES, BATCHES)
    folder = tmp_path / "stopped"
    first, _ = fit(folder, accumulated, at, how, other=other)
    last = folder / "last.ckpt"
    if last.exists():
        rest, resumed = fit(folder, accumulated, path=last, other=other)
        assert whole == first[: len(whole) - len(rest)] + rest
        assert differences(weights, resumed) == []
    for saved in sorted(folder.glob("other-*.ckpt")):
        rest, resumed = fit(tmp_path / f"from-{saved.stem}", accumulated, path=saved)
        assert whole[len(whole) - len(rest) :] == rest
        assert differences(weights, resumed) == []
