"""A user's subclass of every method that stores its own hyper-parameters trains, resumes and is loaded again."""

import shutil
import subprocess
import sys

import pytest
import torch
from pytorch_lightning.callbacks import LambdaCallback

from tests.faults.random_stops import Blow, command_of, write_data
from tests.helpers import faults, subclasses
from tests.helpers.faults import differences
from tests.helpers.method_steps import BACKBONE, METHODS, VIT, InMemory, arguments_of, tiny
from tests.helpers.refusal import refused
from tests.helpers.training import trainer_in
from vidcorr.backbones import build_feature_extractor, load
from vidcorr.backbones.checkpoints import write_checkpoint
from vidcorr.callbacks import LastCheckpoint
from vidcorr.cli import main
from vidcorr.lightning_modules import FrozenEncoder, VFSSimSiam


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
def test_it_resumes_and_is_loaded_without_the_file_that_it_began_with(name, tmp_path, monkeypatch):
    kind = getattr(subclasses, f"Own{name}")
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
        with torch.no_grad():
            assert torch.equal(build_feature_extractor(last)(images), loaded.eval().feature_extractor()(images))
        assert "last.ckpt" in str(load(last).described)


@pytest.mark.slow
@pytest.mark.sampled(4, "exhaustive")
@pytest.mark.parametrize("name", METHODS)
def test_by_command_it_stops_resumes_and_is_evaluated(name, tmp_path):
    write_data(tmp_path)
    shutil.copy(subclasses.__file__, tmp_path / "own.py")
    runs = tmp_path / "runs"
    blow = Blow(name, 1, "SIGKILL", "end", 7, 0, False, False)
    strike = faults.harm("Strike", name="SIGKILL", step=7)
    words = command_of(blow, runs, tmp_path, "--model.alpha=0.7", "--ckpt_path=last", callbacks=[strike])
    words[words.index(f"--model={name}")] = f"--model=own.Own{name}"
    faults.run(words, -9, place=tmp_path)
    faults.run(words, 0, place=tmp_path, STRUCK="7")
    last = faults.last_of(runs)
    assert faults.last(runs)["hyper_parameters"]["alpha"] == 0.7
    if name != "LinearProbe":
        on = ["--on", f"davis={tmp_path}/davis", "--change", "radius=3", "--limit", "1", "--allow", BACKBONE, VIT]
        faults.run(
            ["evaluate", str(last), *on, "--allow", f"own.Own{name}", "--output", str(tmp_path / "out")],
            0,
            place=tmp_path,
        )


class Fixed(VFSSimSiam):
    """A subclass that chooses the arguments of its base."""

    def __init__(self, alpha: float = 0.5) -> None:
        super().__init__(backbone="tests.helpers.encoders:TinyResNet", projector_dim=16, predictor_dim=8)
        self.save_hyperparameters()


def test_a_subclass_that_fixes_the_backbone_goes_on_by_command(video_folder, tmp_path, caplog):
    """Its data are videos, since no other data module is named."""
    caplog.set_level("INFO")
    words = ["fit", f"--model={__name__}.Fixed", f"--data.source={video_folder}", "--data.size=32"]
    words += ["--data.batch_size=2", "--data.num_workers=0", "--trainer.accelerator=cpu"]
    words.append(f"--trainer.default_root_dir={tmp_path}")
    main([*words, "--trainer.max_steps=1", "--model.alpha=0.7"])
    (last,) = tmp_path.rglob("last.ckpt")
    assert Fixed.load_from_checkpoint(last).hparams["alpha"] == 0.7
    main([*words, "--trainer.max_steps=2", f"--ckpt_path={last}"])
    assert len(list(tmp_path.rglob("last.ckpt"))) == 2
    assert " held out" in caplog.text
    assert "weights_only" not in caplog.text


SCRIPT = """
import sys
import pytorch_lightning as pl
from tests.helpers.method_steps import Samples
from vidcorr import LastCheckpoint, VFSSimSiam
from vidcorr.backbones import load
from torch.utils.data import DataLoader

class Mine(VFSSimSiam):
    def __init__(self, alpha: float = 0.5, **kwargs):
        super().__init__(**kwargs)
        self.save_hyperparameters()

def fit(steps, path=None):
    module = Mine(0.7, backbone="tests.helpers.encoders:TinyResNet", projector_dim=16, predictor_dim=8)
    options = {"max_steps": steps, "logger": False, "accelerator": "cpu", "enable_progress_bar": False}
    samples = [Samples("VFSSimSiam", 4)[0, number] for number in range(4)]
    trainer = pl.Trainer(callbacks=[LastCheckpoint(dirpath=sys.argv[1])], **options)
    trainer.fit(module, DataLoader(samples, 2), ckpt_path=path)
    return trainer.global_step

last = f"{sys.argv[1]}/last.ckpt"
fit(1)
print(Mine.load_from_checkpoint(last).hparams["alpha"], fit(2, last), load(last).network.__class__.__name__)
"""


@pytest.mark.slow
def test_a_method_of_a_script_trains_resumes_and_is_loaded_there(tmp_path):
    run = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0.7 2 TinyResNet"
    message = "class __main__.Mine was defined in a script or notebook: load it there, or move the class to a file"
    refused(ValueError, message, build_feature_extractor, tmp_path / "last.ckpt")
