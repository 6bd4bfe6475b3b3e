"""Lines that commands print run as printed, in another folder, also for a method, data and network of the user's."""

import shlex
import signal
import sys
from pathlib import Path

import pytest

from tests.helpers.refusal import refused
from vidcorr.backbones.files import trust
from vidcorr.cli import main

OWN = """
import pytorch_lightning as pl
from torch import nn
from torch.utils.data import DataLoader
from tests.helpers.training import Clips
from vidcorr.lightning_modules import VFSSimSiam

class Network(nn.Conv2d):
    def __init__(self):
        super().__init__(3, 8, 4, 4)

class Method(VFSSimSiam):
    def __init__(self, backbone: str = "torchvision:resnet18", width: int = 8) -> None:
        super().__init__(backbone, width, width)
        self.save_hyperparameters()

    def step(self, batch):
        return super().step(batch)

class Data(pl.LightningDataModule):
    def __init__(self, videos: int = 4) -> None:
        super().__init__()
        self.videos = videos

    def train_dataloader(self):
        return DataLoader(Clips(self.videos, 2, 32), 2)
"""
STUDY = Path(__file__).with_suffix(".yaml").read_text()
SHORT = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
ON = ["--limit", "1", "--change", "radius=2"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with the user's code; modules and trust are those of a new process."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "own_parts.py").write_text(OWN)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["vidcorr"])
    monkeypatch.chdir(folder)
    yield folder
    sys.modules.pop("own_parts", None)


def run_alone(words, folder, monkeypatch):
    """Run a command in a folder, as a process that has imported and allowed nothing of the user's."""
    sys.modules.pop("own_parts", None)
    monkeypatch.setattr(trust, "KNOWN", set())
    monkeypatch.setattr(sys, "path", [place for place in sys.path if "home" not in place])
    monkeypatch.chdir(folder)
    main(words)


@pytest.mark.slow
def test_the_lines_of_a_run_of_ones_own_code(home, davis_root, tmp_path, monkeypatch, capsys, info_log):
    elsewhere = tmp_path / "elsewhere"
    own = ["--model", "own_parts.Method", "--model.backbone", "own_parts:Network", "--data", "own_parts.Data"]
    strike = ["--trainer.callbacks+=tests.helpers.faults.Strike", "--trainer.callbacks.name=SIGTERM"]
    strike += ["--trainer.callbacks.step=1", "--trainer.callbacks.place=end"]
    handler = signal.getsignal(signal.SIGTERM)
    refused(SystemExit, "^143$", main, ["fit", *own, *SHORT, *strike, "--trainer.max_steps", "3"])
    signal.signal(signal.SIGTERM, handler)
    (resume,) = (line for line in info_log.messages if line.startswith("resume: vidcorr "))
    more = ["--trainer.callbacks", "[]", "--trainer.max_steps", "4"]
    run_alone([*shlex.split(resume)[2:], *more], elsewhere, monkeypatch)
    saved, line = capsys.readouterr().out.splitlines()[-2:]
    assert saved == f"checkpoint: {home}/runs/version_0/checkpoints/last.ckpt"
    assert line == f"next: vidcorr validate {home}/runs/version_0 --on davis=/data/DAVIS"
    words = shlex.split(line.replace("/data/DAVIS", str(davis_root)))[2:]
    run_alone([*words, *ON, *SHORT], elsewhere, monkeypatch)
    assert "J&F-Mean" in capsys.readouterr().out
    run = str(home / "runs/version_0")
    benchmark = ["--on", f"davis={davis_root}", *ON]
    one_step = [*SHORT, "--trainer.max_steps=1"]
    for words in (
        ["evaluate", run, *benchmark],
        ["validate", "--ckpt_path", run, *benchmark, *SHORT],
        ["validate", "--model", f"{run}/last", *benchmark, *SHORT],
        ["export", run, "a.safetensors"],
        ["fit", "--model=VFSSimSiam", f"--model.backbone={run}", "--data=own_parts.Data", *one_step],
        ["table", str(home / "runs")],
    ):
        run_alone(words, elsewhere, monkeypatch)
    file = f"{run}/checkpoints/last.ckpt"
    trusts_nothing = ["export", file, "b.safetensors"]
    refused(
        SystemExit,
        "names own_parts:Network, which is not of vidcorr",
        run_alone,
        trusts_nothing,
        elsewhere,
        monkeypatch,
    )


def test_the_lines_of_a_study_of_ones_own_method(home, davis_root, monkeypatch, capsys):
    (home / "study.yaml").write_text(STUDY.replace("DAVIS", str(davis_root)))
    main(["study", "study.yaml"])
    (line,) = capsys.readouterr().out.splitlines()
    for command in line.split(" && "):
        run_alone(shlex.split(command)[1:], home, monkeypatch)
    main(["table", "--study", "study.yaml", "studies/study"])
    assert "ours" in capsys.readouterr().out
