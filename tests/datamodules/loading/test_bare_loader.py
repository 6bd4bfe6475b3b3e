"""A loader on its own: a plain loop goes through the epochs, and a plain Trainer resumes it within one."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from tests.helpers.faults import differences
from tests.helpers.refusal import refused
from tests.helpers.training import quiet_trainer
from vidcorr.callbacks import LastCheckpoint
from vidcorr.datamodules import VideoDataModule


def data_module(video_folder):
    return VideoDataModule(video_folder, size=32, frames=2, batch_size=2, num_workers=0, seed=0, repeat=3)


def bare_loader(video_folder):
    data = data_module(video_folder)
    data.setup("fit")
    return data.train_dataloader()


def drawn(loader, batches=None):
    found = []
    for number, batch in enumerate(loader):
        if number == batches:
            break
        found.append(batch["clip"].double().sum().item())
    return found


def test_a_pass_after_a_whole_pass_is_the_next_epoch(video_folder):
    loader, chosen = bare_loader(video_folder), bare_loader(video_folder)
    passes = [drawn(loader) for _ in range(3)]
    assert len(passes[0]) > 2
    for epoch, expected in enumerate(passes):
        chosen.sampler.set_epoch(epoch)
        assert drawn(chosen) == expected
    assert passes[0] != passes[1] != passes[2] != passes[0]
    chosen.sampler.set_epoch(1)  # again, as a second fit does
    assert drawn(chosen) == passes[1]
    fresh = bare_loader(video_folder)
    assert drawn(fresh, 1) == passes[0][:1]
    assert drawn(fresh) == passes[0]  # a pass that was left repeats


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_a_place_is_its_state(batches, video_folder):
    whole = bare_loader(video_folder)
    first, second = drawn(whole), drawn(whole)
    left, resumed = bare_loader(video_folder), bare_loader(video_folder)
    drawn(left)
    iterator = iter(left)
    for _ in range(batches):
        next(iterator)
    resumed.load_state_dict(left.state_dict())
    assert drawn(resumed) == second[batches:]
    assert first != second


class Plain(pl.LightningModule):
    """Somebody's module, which takes clips as they come."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def training_step(self, batch, _):
        return self.layer(batch["clip"].float().mean((1, 3, 4)) / 255).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class Scheduled(Plain):
    """A module whose schedule asks for the length of the training, so Lightning makes its loaders early."""

    def configure_optimizers(self):
        optimizer = super().configure_optimizers()
        steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def stop(trainer, step):
    if trainer.global_step == step:
        raise RuntimeError("a user's mistake")


BARE = [
    (Plain, bare_loader, (), {}),
    (Scheduled, bare_loader, (LastCheckpoint,), {}),
    (Scheduled, data_module, (), {}),
    (Scheduled, data_module, (LastCheckpoint,), {}),
    (Scheduled, data_module, (), {"reload_dataloaders_every_n_epochs": 1}),
]


@pytest.mark.parametrize(("kind", "data", "more", "options"), BARE)
@pytest.mark.sampled(3)
def test_a_plain_trainer_resumes_within_an_epoch(kind, data, more, options, video_folder, tmp_path):
    def fit(path=None, at=-1):
        torch.manual_seed(0)
        saver = pl.callbacks.ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
        strike = pl.callbacks.LambdaCallback(on_train_batch_start=lambda trainer, *_: stop(trainer, at))
        callbacks = [saver, strike, *(each(dirpath=tmp_path) for each in more)]
        trainer = quiet_trainer(max_epochs=2, callbacks=callbacks, enable_checkpointing=True, **options)
        module = kind()
        trainer.fit(module, data(video_folder), ckpt_path=path)
        return module.state_dict(), trainer.global_step

    whole, steps = fit()
    for at in (1, steps // 2 + 1):
        for path in tmp_path.iterdir():
            path.unlink()
        refused(RuntimeError, "a user's mistake", fit, at=at)
        (newest,) = [path for path in tmp_path.iterdir() if path.name == f"step={at}.ckpt"]
        rest, _ = fit(newest)
        assert differences(rest, whole) == []
