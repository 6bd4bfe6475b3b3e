"""Somebody's LightningModule, with its own network, loss and data, and our benchmark as a callback."""

import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LambdaCallback
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.helpers.refusal import refused
from tests.helpers.training import quiet_trainer
from tests.helpers.words import SMALL, TINY
from vidcorr import DavisBenchmark
from vidcorr.backbones import build_feature_extractor
from vidcorr.callbacks import BenchmarkCallback
from vidcorr.cli import main


class Rotations(pl.LightningModule):
    """Learns which way up an image is."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 1))
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(16, 4))

    def feature_extractor(self, stage=None, stride=None):
        return build_feature_extractor(self.trunk, stage, stride)

    def training_step(self, batch, batch_idx):
        (images,) = batch
        turns = torch.randint(4, (len(images),))
        turned = torch.stack([image.rot90(int(turn), (1, 2)) for image, turn in zip(images, turns, strict=True)])
        return nn.functional.cross_entropy(self.head(self.trunk(turned).mean((2, 3))), turns)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.5, momentum=0.9)


def train(folder, *callbacks):
    torch.manual_seed(3)
    module = Rotations()
    images = TensorDataset(torch.rand(12, 3, 32, 32))
    trainer = quiet_trainer(default_root_dir=folder, max_epochs=2, callbacks=list(callbacks))
    trainer.fit(module, DataLoader(images, batch_size=4, shuffle=True))
    return module


@pytest.mark.slow
def test_a_training_is_the_one_without_the_benchmark_and_its_scores_are_those_of_frozen_copies(davis_root, tmp_path):
    benchmark = BenchmarkCallback(DavisBenchmark(davis_root, changes=SMALL, limit_sequences=1), before_training=True)
    copies = []
    keep = LambdaCallback(on_train_epoch_end=lambda trainer, module: copies.append(copy.deepcopy(module.trunk).eval()))
    scored, alone = train(tmp_path / "scored", benchmark, keep), train(tmp_path / "alone")
    assert all(map(torch.equal, scored.state_dict().values(), alone.state_dict().values()))
    before, *scores = (logged["davis/J&F-Mean"] for logged in benchmark.history.values())
    assert len({before, *scores}) == 3  # the network learned
    results = [benchmark.benchmark.evaluate(build_feature_extractor(trunk)) for trunk in copies]
    assert scores == [result.scores["J&F-Mean"] for result in results]


GUEST = Path(__file__).resolve().parents[2] / "docs/own-trainer.md"


@pytest.mark.slow
def test_the_block_of_a_plain_module_runs_in_lightnings_other_package(davis_root, tmp_path):
    (block,) = re.findall(r"file=plain_module.py\n(.*?)```", GUEST.read_text(), re.S)
    script = block.replace("import pytorch_lightning as pl", "import lightning as pl")
    script = script.replace("demo/data/davis", str(davis_root))
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "{2: {'davis/J&F-Mean': 0." in done.stdout


CLASSES = """
import lightning as L
class Module(L.LightningModule): ...
class Data(L.LightningDataModule): ...
class Call(L.Callback): ...
"""


OTHERS = ["--model=of_lightning.Module", "--data=of_lightning.Data", "--trainer.callbacks=of_lightning.Call"]


@pytest.mark.parametrize("flag", OTHERS)
def test_a_class_of_the_other_package_is_refused_by_the_name_of_ours(flag, tmp_path, monkeypatch, capsys):
    (tmp_path / "of_lightning.py").write_text(CLASSES)
    monkeypatch.syspath_prepend(str(tmp_path))
    words = ["fit", *(TINY if "model" not in flag else []), flag]
    refused(SystemExit, "^2$", main, words)
    assert "write `import pytorch_lightning as pl`" in capsys.readouterr().err
