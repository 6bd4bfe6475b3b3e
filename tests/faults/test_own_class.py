"""A user's own class and network in a checkpoint: one line names three ways, and each of them works."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from tests.helpers.words import refusal
from vidcorr.backbones import load
from vidcorr.backbones.files import trust
from vidcorr.cli import main
from vidcorr.lightning_modules import VFSSimSiam

pytestmark = pytest.mark.usefixtures("canary")
MINE = """
from torch import nn
from vidcorr.lightning_modules import VFSSimSiam

class Mine(VFSSimSiam):
    pass

def net():
    return nn.Conv2d(3, 8, 8, 8)
"""
COMMANDS = {
    "export": "export x.ckpt out.safetensors",
    "evaluate": "evaluate x.ckpt --on davis={davis} --change radius=3 context=2",
    "validate": "validate --ckpt_path x.ckpt --trainer.logger=false --on davis=nowhere",
    "fit": "fit --ckpt_path x.ckpt --trainer.fast_dev_run=true --trainer.logger=false --data nowhere",
}
LINE = r"x.ckpt: names (mine[.:]\w+), which is not of vidcorr: give (mine:\w+=x.ckpt) in its place, or its run's folder"


@pytest.fixture
def checkpoint(here, monkeypatch):
    """Write x.ckpt of a user's class and network, whose module is then forgotten, in the working directory."""
    monkeypatch.syspath_prepend(str(here))
    Path("mine.py").write_text(MINE)
    Path("mine.yaml").write_text("model: {class_path: mine.Mine, init_args: {backbone: 'mine:net'}}\n")
    from mine import Mine  # type: ignore[import-not-found]

    write_checkpoint(Mine("mine:net", 8, 8), Path("x.ckpt"))
    forget()
    yield
    forget()


def forget():
    """Forget what the user has said and imported."""
    trust.KNOWN.difference_update([name for name in trust.KNOWN if name.startswith("mine.")])
    sys.modules.pop("mine", None)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.sampled(4)
def test_each_command_refuses_it_in_one_line_and_runs_nothing(command, checkpoint, davis_root, capsys):
    words = shlex.split(COMMANDS[command].format(davis=davis_root))
    line = refusal(*words)
    assert re.search(LINE, "\n".join((line, *capsys.readouterr())))  # evaluate goes on with other networks
    assert "mine" not in sys.modules


@pytest.mark.parametrize("command", ["export", "evaluate"])
@pytest.mark.sampled(2)
def test_the_first_way_of_the_line_is_what_a_command_takes(command, checkpoint, davis_root, capsys):
    words = COMMANDS[command].format(davis=davis_root)
    line = refused(ValueError, LINE, load, "x.ckpt")
    main(shlex.split(words.replace("x.ckpt", re.search(LINE, line)[2])))  # type: ignore[index]
    assert "which is not of vidcorr" not in "".join(capsys.readouterr())


def run(words):
    """Run a command, and return the line with which it ends, if it does."""
    try:
        main(words)
    except SystemExit as error:
        return str(error)
    return ""


def test_a_model_or_a_config_that_the_words_name_is_enough(checkpoint):
    words = shlex.split(COMMANDS["validate"])
    for further in (["--model", "mine:Mine", "--model.backbone", "mine:net"], ["--config", "mine.yaml"]):
        assert "which is not of vidcorr" not in run(words + further)
        forget()


def test_a_class_and_a_network_are_named_in_python(checkpoint):
    refused(ValueError, "names mine.Mine, which", VFSSimSiam.load_from_checkpoint, "x.ckpt")
    network = load("mine:net=x.ckpt")
    forget()
    from mine import Mine

    refused(ValueError, "names mine:net, which is not of vidcorr", Mine.load_from_checkpoint, "x.ckpt")
    module = Mine.load_from_checkpoint("x.ckpt", backbone="mine:net")
    assert torch.equal(module.backbone.weight, network.network.weight)
    assert load("x.ckpt").described.name == "net"  # it is known by now


def test_a_module_in_memory_trains_and_is_loaded_with_a_module(here):
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU())
    method = VFSSimSiam(backbone=backbone, projector_dim=8, predictor_dim=8)
    method.step({"clip": torch.rand(2, 2, 3, 32, 32)})["loss"].backward()
    assert backbone[0].weight.grad is not None
    write_checkpoint(method, Path("own.ckpt"))
    other = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU())
    again = VFSSimSiam.load_from_checkpoint("own.ckpt", backbone=other)
    assert again.backbone is other
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(again.eval().maps(images), method.eval().maps(images))
    refused(
        ValueError, "was a module without a name: .*load_from_checkpoint", VFSSimSiam.load_from_checkpoint, "own.ckpt"
    )
    refused(ValueError, "was a module without a name: give my_module:my_network=own.ckpt", load, "own.ckpt")
    Path("mine.py").write_text(
        "from torch import nn\ndef net(): return nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU())"
    )
    sys.path.append(str(here))
    assert torch.equal(load("mine:net=own.ckpt").network[0].weight, backbone[0].weight)
    sys.path.remove(str(here))
    forget()
