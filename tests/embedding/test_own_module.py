"""Somebody's LightningModule, with its own network, loss and data, and our benchmark as a callback."""

import copy

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from callbacks import BenchmarkCallback
from tests.helpers.plain_davis import plain_davis
from tests.helpers.training import quiet_trainer
from vidcorr import DavisBenchmark
from vidcorr.backbones import extractor_of

SCORE = "davis/J&F-Mean"


class Rotations(pl.LightningModule):
    """Learns which way up an image is."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 1))
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(16, 4))

    def feature_extractor(self, stage=None, stride=None):
        return extractor_of(self.trunk, stage, stride)

    def training_step(self, batch, batch_idx):
        (images,) = batch
        turns = torch.randint(4, (len(images),))
        turned = torch.stack([image.rot90(int(turn), (1, 2)) for image, turn in zip(images, turns, strict=True)])
        return nn.functional.cross_entropy(self.head(self.trunk(turned).mean((2, 3))), turns)

    def validation_step(self, batch, batch_idx):
        self.log("mean", self.trunk(batch[0]).mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.5, momentum=0.9)


class Copies(pl.Callback):
    """Keeps a frozen copy of the network after each epoch."""

    def __init__(self):
        self.trunks = {}

    def on_train_epoch_end(self, trainer, pl_module):
        self.trunks[trainer.global_step] = copy.deepcopy(pl_module.trunk).eval().requires_grad_(False)


def train(*callbacks, folder):
    torch.manual_seed(3)
    module = Rotations()
    images = TensorDataset(torch.rand(12, 3, 32, 32))
    trainer = quiet_trainer(default_root_dir=folder, max_epochs=2, callbacks=list(callbacks))
    trainer.fit(module, DataLoader(images, batch_size=4, shuffle=True), DataLoader(images, batch_size=4))
    return module


@pytest.fixture(scope="module")
def trained(davis_root, tmp_path_factory):
    benchmark = DavisBenchmark(davis_root, changes={"radius": 3, "context": 2}, limit_sequences=1)
    callback, copies = BenchmarkCallback(benchmark, before_training=True), Copies()
    return callback, copies, train(callback, copies, folder=tmp_path_factory.mktemp("trained"))


@pytest.mark.slow
def test_the_scores_of_a_training_are_those_of_frozen_copies(trained, davis_root):
    callback, copies, _ = trained
    scores = {step: logged[SCORE] for step, logged in callback.history.items()}
    assert list(scores) == [0, 3, 6]
    assert len(set(scores.values())) == 3  # the network learned
    for step, trunk in copies.trunks.items():
        assert scores[step] == callback.benchmark.evaluate(extractor_of(trunk)).scores["J&F-Mean"]
        expected = plain_davis(davis_root, trunk, radius=3, context=2, sequences=1)
        assert scores[step] == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_a_training_with_the_benchmark_is_the_training_without_it(trained, tmp_path):
    weights = trained[2].state_dict()
    alone = train(folder=tmp_path)
    for name, weight in alone.state_dict().items():
        assert torch.equal(weights[name], weight), name
