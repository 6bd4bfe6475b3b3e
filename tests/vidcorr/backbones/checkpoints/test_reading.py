"""Checkpoints say what they are, need no other file, and outlive a release."""

import pytest
import torch

from lightning_modules import FrozenEncoder, LinearProbe, SiamFC, VFSMoCo, VFSSimSiam
from tests.helpers.method_steps import RUNS, data
from tests.helpers.refusal import refused
from tests.helpers.training import quiet_trainer
from vidcorr.backbones import build_feature_extractor, module_from_checkpoint
from vidcorr.backbones.checkpoints import write_checkpoint
from vidcorr.backbones.checkpoints.reading import FORMAT


def made(run):
    kind, arguments, _ = RUNS[run]
    return kind(**arguments)


@pytest.mark.parametrize("run", ["simsiam", "moco", "liir", "siamfc", "probe-moco"])
def test_a_run_leaves_a_checkpoint_of_plain_types(run, tmp_path):
    module, path = made(run), tmp_path / "a.ckpt"
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(module, data(run))
    trainer.save_checkpoint(path)
    content = torch.load(path, weights_only=True)
    assert content["optimizer_states"]
    assert content["vidcorr"]["class_path"].endswith(f".{type(module).__name__}")
    assert content["vidcorr"]["format"] == FORMAT
    again = module_from_checkpoint(path)
    assert type(again) is type(module)
    torch.testing.assert_close(again.state_dict(), module.state_dict(), rtol=0, atol=0)
    assert not again.training


@pytest.mark.parametrize(
    ("kind", "options"),
    [(FrozenEncoder, {}), (LinearProbe, {"num_classes": 2}), (SiamFC, {"dilated": False})],
)
def test_a_probe_needs_nothing_but_its_own_checkpoint(kind, options, tmp_path):
    first, second = tmp_path / "first.ckpt", tmp_path / "second.ckpt"
    write_checkpoint(made("simsiam"), first)
    write_checkpoint(FrozenEncoder(str(first), stage="res5"), second)  # one more between
    module = kind(str(second), **options)
    write_checkpoint(module, tmp_path / "probe.ckpt")
    first.unlink()
    second.unlink()
    again = module_from_checkpoint(tmp_path / "probe.ckpt")
    view, expected = (m.backbone if kind is LinearProbe else m.feature_extractor() for m in (again, module))
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(view(images), expected(images))


@pytest.mark.parametrize("kind", [VFSSimSiam, VFSMoCo])
def test_training_may_begin_with_a_checkpoint(kind, tmp_path):
    first, start = made("simsiam"), tmp_path / "start.ckpt"
    write_checkpoint(first, start)
    module = kind(str(start))
    assert torch.equal(module.backbone.conv1.weight, first.backbone.conv1.weight)
    assert module.backbone.training
    write_checkpoint(module, tmp_path / "own.ckpt")
    start.unlink()
    assert torch.equal(module_from_checkpoint(tmp_path / "own.ckpt").backbone.conv1.weight, first.backbone.conv1.weight)
    write_checkpoint(made("liir"), tmp_path / "liir.ckpt")
    refused(ValueError, "Liir has no full network", kind, str(tmp_path / "liir.ckpt"))


def changed(path, **changes):
    write_checkpoint(made("simsiam"), path)
    content = torch.load(path, weights_only=True)
    content["vidcorr"] |= changes
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99, "version": "9.1"}, r"written by vidcorr 9\.1 in format 99; this is vidcorr .*: update it"),
        ({"class_path": "lightning_modules.VFSMoCo"}, "VFSMoCo has no argument 'p"),
        ({"format": -1}, "is damaged: class, format, weights or arguments"),
    ],
)
def test_checkpoints_that_do_not_load_say_why(changes, message, tmp_path):
    assert refused(ValueError, message, lambda: build_feature_extractor(changed(tmp_path / "x.ckpt", **changes)))
