"""Mistakes in one's own method or benchmark are answered in a line that says what to write."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tests.helpers.refusal import refused
from tests.helpers.training import quiet_trainer
from tests.helpers.words import NETWORK
from vidcorr import Benchmark
from vidcorr.backbones import EncoderSpec
from vidcorr.experiments.runs.store import Job
from vidcorr.lightning_modules import FrozenEncoder
from vidcorr.lightning_modules.base import CorrespondenceModule
from vidcorr.metrics import fractions
from vidcorr.videos.files import DataError

CLIPS = [{"clip": torch.rand(2, 2, 3, 32, 32)} for _ in range(3)]


class Mine(CorrespondenceModule):
    """A method whose step is a function of itself and a batch, by a network of a name."""

    base_lr, momentum, weight_decay = 0.1, 0.9, 0.0

    def __init__(self, step, name="backbone"):
        super().__init__()
        setattr(self, name, self.network_to_train(NETWORK))
        self.by = step

    def step(self, batch):
        return self.by(self, batch)


def loss(module, batch):
    return module.embed(batch["clip"].flatten(0, 1)).square().mean(1)


class WithoutRate(Mine):
    base_lr = property()  # an attribute that is absent


class ReadsLabel(Mine):
    def step(self, batch):
        return super().step(batch) + batch["label"].sum()


METHODS = {
    "Mine.step returned no loss but NoneType: it returns a scalar": lambda: Mine(lambda *_: None),
    "Mine.step returned no loss but float": lambda: Mine(lambda *_: {"loss": 0.5}),
    r"Mine.step returned a loss of shape \(4,\), not its mean": lambda: Mine(loss),
    "Mine.step returned a loss without a gradient": lambda: Mine(lambda *args: loss(*args).mean().detach()),
    r"ReadsLabel needs a batch with clip \(B, T, 3, H, W\) and label; the batch has clip$": lambda: ReadsLabel(
        lambda *args: loss(*args).mean()
    ),
    r"images must be \(N, 3, H, W\), got \(2, 2, 3, 32, 32\): batch\['clip'\].flatten\(0, 1\)": lambda: Mine(
        lambda module, batch: module.embed(batch["clip"]).mean()
    ),
    "WithoutRate has no base_lr for SGD: set them, or define configure_optimizers": lambda: WithoutRate(loss),
    "Mine has no backbone: self.backbone = self.network_to_train": lambda: Mine(loss, name="net"),
}


@pytest.mark.parametrize("line", METHODS)
def test_a_mistake_in_a_method_is_a_line(line):
    refused(ValueError, line, quiet_trainer(max_steps=2).fit, METHODS[line](), DataLoader(CLIPS, batch_size=None))


@dataclass(frozen=True)
class Own(Benchmark):
    """A benchmark of one sequence."""

    name = "own"
    declared = fractions("score")

    sequence: object

    def read(self):
        return [self.sequence]

    def score(self, sequence, encoder, output):
        return []

    def scores(self, rows):
        return {}


class Sequence(SimpleNamespace):
    """A user's sequence."""


@pytest.mark.parametrize(("facts", "absent"), [({}, "name and no num_frames"), ({"name": "a"}, "num_frames")])
def test_a_sequence_without_its_facts_is_named(facts, absent):
    line = f"^Own.read: a sequence, Sequence, has no {absent}$"
    refused(ValueError, line, Own(Sequence(**facts)).evaluate, "raw_colour")


def test_a_folder_in_a_sequence_is_named(tmp_path):
    benchmark = Own(Sequence(name="a", num_frames=3, folder=tmp_path))
    line = f"^{tmp_path}: a sequence holds paths of files; a folder that it needs is a text, str"
    refused(DataError, line, lambda: Job(EncoderSpec("raw_colour"), benchmark).key)
    assert Job(EncoderSpec("raw_colour"), Own(Sequence(name="a", num_frames=3, folder=str(tmp_path)))).key


def test_predictions_are_of_images_with_or_without_a_key():
    images = torch.rand(4, 3, 32, 32)
    module, trainer = FrozenEncoder("raw_colour"), quiet_trainer()
    with_labels = TensorDataset(images, torch.arange(4))
    forms = [images, with_labels, [{"image": image} for image in images], [{"clip": image[None]} for image in images]]
    found = [torch.cat(trainer.predict(module, DataLoader(data, 2))) for data in forms]
    assert all(torch.equal(found[0].flatten(), each.flatten()) for each in found)
    line = "^predict needs images, or a batch with clip or image, got a dict with picture$"
    refused(ValueError, line, trainer.predict, module, DataLoader([{"picture": image} for image in images], 2))


def test_a_training_without_batches_ends_at_once():
    module = Mine(loss)
    trainer = quiet_trainer(max_epochs=1, limit_train_batches=0)
    trainer.fit(module, DataLoader(CLIPS, batch_size=None))
    assert trainer.global_step == 0
