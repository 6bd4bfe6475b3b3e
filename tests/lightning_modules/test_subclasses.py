"""A user's subclass of every method that stores its own hyper-parameters trains, resumes and is loaded again."""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LambdaCallback
from torch import nn

from tests.helpers.faults import differences
from tests.helpers.method_steps import METHODS, InMemory, arguments_of, tiny
from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from tests.helpers.training import TINY, trainer_in
from vidcorr import lightning_modules
from vidcorr.backbones import build_feature_extractor, load
from vidcorr.callbacks import LastCheckpoint
from vidcorr.lightning_modules import FrozenEncoder, VFSSimSiam


class Alpha(pl.LightningModule):
    """An argument of a user's, which each subclass adds to a method."""

    def __init__(self, alpha: float = 0.5, **kwargs):
        super().__init__(**kwargs)
        self.save_hyperparameters()


for name in METHODS:
    bases = (Alpha, getattr(lightning_modules, name))
    globals()[f"Own{name}"] = type(f"Own{name}", bases, {"__module__": __name__})


def arguments(name, start):
    """Return arguments of a small subclass, which begins with the weights of a file."""
    given = arguments_of(name) | {"alpha": 0.7}
    if name == "Liir":
        write_checkpoint(tiny(name), start)
        return given | {"start": str(start)}
    write_checkpoint(FrozenEncoder(given["backbone"]), start)
    return given | {"backbone": str(start)}


def fit(module, name, folder, *more, path=None):
    torch.manual_seed(0)
    trainer = trainer_in(folder, LastCheckpoint(dirpath=folder), *more)
    trainer.fit(module, datamodule=InMemory(name), ckpt_path=path)
    return module.state_dict() | {"optimiser": trainer.optimizers[0].state_dict()}


def stop_before_the_last_batch(trainer, *_):
    if trainer.global_step == 2:
        raise RuntimeError("a user's mistake")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.sampled(5)
def test_it_resumes_and_is_loaded_without_the_file_that_it_began_with(name, tmp_path, monkeypatch):
    kind = globals()[f"Own{name}"]
    start, last = tmp_path / "start.ckpt", tmp_path / "last.ckpt"
    given = arguments(name, start)
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    torch.manual_seed(0)
    whole = fit(kind(**given), name, tmp_path / "whole")
    stop = LambdaCallback(on_train_batch_start=stop_before_the_last_batch)
    torch.manual_seed(0)
    refused(RuntimeError, "a user's mistake", fit, kind(**given), name, tmp_path, stop)
    start.unlink()
    monkeypatch.setenv("PL_GLOBAL_SEED", "6")  # the checkpoint holds the seed
    loaded = kind.load_from_checkpoint(last)
    assert loaded.hparams["alpha"] == 0.7
    assert differences(fit(loaded.train(), name, tmp_path, path=last), whole) == []
    if name != "LinearProbe":  # its encoder is evaluated by its own checkpoint
        images = torch.rand(1, 3, 64, 96)
        assert torch.equal(build_feature_extractor(last)(images), loaded.eval().feature_extractor()(images))
        assert "last.ckpt" in str(load(last).described)


class Configured(VFSSimSiam):
    """A method that makes a part where Lightning asks for it, in `configure_model`."""

    def __init__(self, backbone: str, projector_dim: int, predictor_dim: int) -> None:
        super().__init__(backbone, projector_dim, predictor_dim)
        self.save_hyperparameters()
        self.further = None

    def configure_model(self):
        super().configure_model()
        if self.further is None:
            self.further = nn.Linear(2, 2)

    def feature_extractor(self, stage=None, stride=None, dilated=False):
        return super().feature_extractor(stage, stride, dilated)


def test_a_part_that_is_made_in_configure_model_is_loaded(tmp_path):
    module = Configured(**TINY)
    trainer = trainer_in(tmp_path, LastCheckpoint(dirpath=tmp_path), limit_val_batches=0)
    trainer.fit(module, datamodule=InMemory("VFSSimSiam"))
    loaded = Configured.load_from_checkpoint(tmp_path / "last.ckpt")
    assert differences(loaded.state_dict(), module.state_dict()) == []
    assert load(str(tmp_path / "last.ckpt")).view("res4")(torch.zeros(1, 3, 32, 32)).ndim == 4
