"""A user's own class and network in a checkpoint: each way to allow them, by each command; `commands/inspect.py`."""

import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest

import vidcorr
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
LINE = r"x.ckpt: names code .* if you trust it, call (.*) in Python, or add to the command (.*)"


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
    trust._allowed.clear()
    trust._named.clear()
    sys.modules.pop("mine", None)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.sampled(4)
def test_the_line_of_a_refusal_is_what_the_command_needs(command, checkpoint, davis_root, capsys):
    words = shlex.split(COMMANDS[command].format(davis=davis_root))
    line = refusal(*words)
    printed, errors = capsys.readouterr()
    found = re.search(LINE, "\n".join((line, printed, errors)))  # evaluate goes on with other networks
    assert found
    assert "mine" not in sys.modules
    for allowed in (shlex.split(found[2]), ["--allow=mine.Mine", "--allow=mine:net"]):
        forget()
        said = "\n".join((run(words + allowed), *capsys.readouterr()))
        assert "names code" not in said, said


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
        assert "names code" not in run(words + further)
        forget()


def test_a_script_allows_a_class_by_the_call_of_the_line(checkpoint):
    """Other ways: tests/vidcorr/backbones/files/test_trust.py."""
    asked = refused(ValueError, LINE, load, "x.ckpt")
    exec(re.search(LINE, asked)[1], {"vidcorr": vidcorr})  # type: ignore[index]
    assert load("x.ckpt").described.name == "net"
    forget()
    refused(ValueError, "--allow mine.Mine mine:net$", VFSSimSiam.load_from_checkpoint, "x.ckpt")
    mine = importlib.import_module("mine")
    vidcorr.allow(mine.net)
    assert isinstance(mine.Mine.load_from_checkpoint("x.ckpt"), mine.Mine)  # the caller names it


def test_inspect_prints_what_a_file_names_and_needs(checkpoint, capsys):
    main(["inspect", "x.ckpt"])
    printed, _ = capsys.readouterr()
    assert printed == "names: mine.Mine, mine:net\nto use it, if you trust it: --allow mine.Mine mine:net\n"
    assert "mine" not in sys.modules
