"""Hostile and damaged checkpoints through every command that reads a file: one line each; none of their code runs."""

import json
import shlex

import pytest
import torch

from tests.helpers.refusal import refused
from tests.helpers.words import refusal
from vidcorr.backbones import trust
from vidcorr.backbones.checkpoints import write_checkpoint
from vidcorr.cli import main
from vidcorr.lightning_modules import FrozenEncoder, VFSSimSiam

pytestmark = pytest.mark.usefixtures("canary")
CANARY = "tests.helpers.canary"
LIIR = "vidcorr.lightning_modules.liir.Liir"
FROZEN = "vidcorr.lightning_modules.frozen_encoder.FrozenEncoder"


def checkpoint(path, **changes):
    """Write a checkpoint of a FrozenEncoder, its fields changed; `note` and `arguments` are those of the module."""
    write_checkpoint(FrozenEncoder("raw_colour"), path)
    content = torch.load(path, weights_only=True)
    content["vidcorr"] |= changes.pop("note", {})
    content["hyper_parameters"] |= changes.pop("arguments", {})
    torch.save({name: value for name, value in (content | changes).items() if value is not None}, path)
    return path


POPEN = {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "canary"]}}
ATTACKS = {
    "callable": {"arguments": {"spec": f"{CANARY}:sing", "encoder": None}},
    "standard library": {"arguments": {"spec": "os:abort", "encoder": None}},
    "process": {"note": {"class_path": "subprocess.Popen"}, "hyper_parameters": {"args": ["touch", "canary"]}},
    "nested process": {
        "arguments": {"encoder": {"class_path": FROZEN, "init_args": {"spec": "x.ckpt", "encoder": POPEN}}}
    },
    "Lightning's instantiator": {
        "note": {"class_path": f"{CANARY}.Song"},
        "arguments": {"_instantiator": f"{CANARY}.sing", "_class_path": f"{CANARY}.Song"},
    },
    "nested class": {"note": {"class_path": LIIR}, "hyper_parameters": {"bank": {"class_path": f"{CANARY}.Song"}}},
    "nested text": {"note": {"class_path": LIIR}, "hyper_parameters": {"prior": f"{CANARY}.Song"}},
    "function": {"arguments": {"spec": "vidcorr.callbacks.stops:requeue_job", "encoder": None}},
    "itself": {"arguments": {"spec": "a.ckpt", "encoder": None}},
}
ON = "--trainer.logger=false --trainer.accelerator=cpu --on davis={davis}"
COMMANDS = [
    f"validate --ckpt_path={{path}} {ON}",
    "predict {davis}/JPEGImages/480p/synthetic-000 --model {path} --box=1,2,30,4",
    "fit --ckpt_path={path} --data=SyntheticVideoDataModule",
    f"validate --model=VFSSimSiam --model.backbone={{path}} {ON}",
    f"validate --model=FrozenEncoder --model.spec={{path}} {ON}",
    "evaluate {path} --on davis={davis}",
    "export {path} out.safetensors",
    "convert {path} out.ckpt",
]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_runs_what_a_file_names(command, davis_root, tmp_path):
    path = tmp_path / "a.ckpt"
    words = shlex.split(command.format(path=path, davis=davis_root))
    # the others read a file in the same way as the first
    for name in ATTACKS if command == COMMANDS[0] else ("callable", "nested process"):
        checkpoint(path, **ATTACKS[name])
        line = refusal(*words)
        if words[0] not in ("convert", "evaluate") and name != "function":
            assert "a.ckpt" in line, (name, line)
    path.write_bytes(path.read_bytes()[:-1])
    refusal(*words)


@pytest.mark.slow
def test_what_the_command_line_names_too_is_used(davis_root, tmp_path):
    spec = "tests.helpers.encoders:Blocky"
    path = tmp_path / "a.ckpt"
    write_checkpoint(FrozenEncoder(spec), path)
    words = shlex.split(COMMANDS[0].format(path=path, davis=davis_root))
    changes = ["--change", "radius=3", "context=2", f"--trainer.default_root_dir={tmp_path}"]
    for allowed in ([f"--allow={spec}"], [f"--model.spec={spec}", "--model=FrozenEncoder"]):
        trust._allowed.clear()
        assert f"if you trust it, add --allow {spec} (in" in refusal(*words)
        main([*words, *allowed, *changes])
        (results,) = tmp_path.rglob("results.json")
        assert json.loads(results.read_text())["scores"]
        results.unlink()


def test_lightnings_own_loading_takes_the_same_way(tmp_path):
    for changes in ATTACKS.values():
        path = checkpoint(tmp_path / "a.ckpt", **changes)
        for strict in (None, False):
            refused(ValueError, r"a\.ckpt: ", FrozenEncoder.load_from_checkpoint, path, strict=strict)
    write_checkpoint(FrozenEncoder("raw_colour", stage="colour"), path)
    assert FrozenEncoder.load_from_checkpoint(path, map_location="cpu", stride=4).hparams["stride"] == 4
    refused(ValueError, "holds FrozenEncoder, not VFSSimSiam", VFSSimSiam.load_from_checkpoint, path)
    assert isinstance(FrozenEncoder.load_from_checkpoint(path, weights_only=True), FrozenEncoder)
