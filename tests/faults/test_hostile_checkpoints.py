"""Hostile and damaged checkpoints through every command that reads a file: one line each; none of their code runs."""

import json
import shlex
import sys
from pathlib import Path

import pytest
import torch

from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from tests.helpers.words import refusal
from vidcorr.backbones.files import trust
from vidcorr.cli import main
from vidcorr.lightning_modules import FrozenEncoder, VFSSimSiam

pytestmark = pytest.mark.usefixtures("canary")


def checkpoint(path, **changes):
    """Write a checkpoint of a FrozenEncoder, its fields changed; `note` and `arguments` are those of the module."""
    write_checkpoint(FrozenEncoder("raw_colour"), path)
    content = torch.load(path, weights_only=True)
    content["vidcorr"] |= changes.pop("note", {})
    content["hyper_parameters"] |= changes.pop("arguments", {})
    torch.save({name: value for name, value in (content | changes).items() if value is not None}, path)
    return path


TABLES = json.loads(Path(__file__).with_name("hostile_checkpoints.json").read_text())
ATTACKS, COMMANDS = TABLES["attacks"], TABLES["commands"]
"""Changes of a checkpoint; words that read it."""


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_runs_what_a_file_names(command, davis_root, tmp_path):
    path = tmp_path / "a.ckpt"
    words = shlex.split(command.format(path=path, davis=davis_root))
    # the others read a file in the same way as the first
    for name in ATTACKS if command == COMMANDS[0] else ("callable", "nested process"):
        checkpoint(path, **ATTACKS[name])
        line = refusal(*words)
        if words[0] != "evaluate" and name != "function":
            assert "a.ckpt" in line, (name, line)
    path.write_bytes(path.read_bytes()[:-1])
    refusal(*words)


@pytest.mark.slow
def test_what_the_command_line_names_too_is_used(davis_root, tmp_path, monkeypatch):
    spec = "tests.helpers.encoders:Blocky"
    path = tmp_path / "a.ckpt"
    write_checkpoint(FrozenEncoder(spec), path)
    words = shlex.split(COMMANDS[0].format(path=path, davis=davis_root))
    changes = ["--change", "radius=3", "context=2", f"--trainer.default_root_dir={tmp_path}"]
    for allowed in ([f"--allow={spec}"], [f"--model.spec={spec}", "--model=FrozenEncoder"]):
        trust._allowed.clear()
        monkeypatch.delitem(sys.modules, "tests.helpers.encoders", raising=False)  # no script has imported it
        line = f"call vidcorr.allow({spec!r}) in Python, or add to the command --allow {spec}"
        assert line in refusal(*words)
        main([*words, *allowed, *changes])
        (results,) = tmp_path.rglob("results.json")
        assert json.loads(results.read_text())["scores"]
        results.unlink()


def test_lightnings_own_loading_takes_the_same_way(tmp_path):
    for number, changes in enumerate(ATTACKS.values()):
        path = checkpoint(tmp_path / "a.ckpt", **changes)
        strict = False if number % 2 else None
        refused(ValueError, r"a\.ckpt: ", FrozenEncoder.load_from_checkpoint, path, strict=strict)
    write_checkpoint(FrozenEncoder("raw_colour", stage="colour"), path)
    assert FrozenEncoder.load_from_checkpoint(path, map_location="cpu", stride=4).hparams["stride"] == 4
    refused(ValueError, "holds FrozenEncoder, not VFSSimSiam", VFSSimSiam.load_from_checkpoint, path)
    assert isinstance(FrozenEncoder.load_from_checkpoint(path, weights_only=True), FrozenEncoder)
