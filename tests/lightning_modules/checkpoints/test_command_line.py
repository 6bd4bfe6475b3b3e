"""The model that --ckpt_path stands for, and the names that a command line allows."""

import pytest
import pytorch_lightning as pl
import torch

from lightning_modules import FrozenEncoder, LinearProbe, VFSSimSiam
from lightning_modules.checkpoints import (
    ForeignCheckpoint,
    allow_named,
    reconcile,
    saved_model,
    trust,
    write_checkpoint,
)
from tests.helpers.refusal import refused


@pytest.fixture(autouse=True)
def _nothing_allowed(monkeypatch):
    monkeypatch.setattr(trust, "_allowed", set())


@pytest.mark.parametrize("flag", ["--config={}", "--config {}", "-c {}"])
def test_names_on_a_command_line_and_in_its_configs_are_allowed(tmp_path, flag):
    config = tmp_path / "a.yaml"
    config.write_text("model:\n  class_path: mine.Method\n  init_args:\n    names: [a:b, {deep: c:d}]\n    n: 3\n")
    allow_named(["--data.annotations", str(config)])
    assert "mine.Method" not in trust._allowed  # a file of data names nothing
    given = flag.format(config).split(" ")
    args = ["fit", "--model", "x.Y", "--model.backbone=e:f", "--allow", "g:h", *given, "--allow=i:j"]
    assert allow_named(args) == ["fit", "--model", "x.Y", "--model.backbone=e:f", *given]
    assert {"x.Y", "e:f", "g:h", "i:j", "mine.Method", "a:b", "c:d"} <= trust._allowed
    for wrong in (["--allow"], ["--allow", "--config"], ["--allow="]):
        refused(ValueError, "--allow: name the class or callable", allow_named, wrong)
    config.write_text("a: [")
    assert allow_named(["--config", str(config)]) == ["--config", str(config)]


def test_a_saved_model_is_a_parsers_default(tmp_path):
    write_checkpoint(VFSSimSiam(projector_dim=8, predictor_dim=4, base_lr=0.5), tmp_path / "a.ckpt")
    saved = saved_model(tmp_path / "a.ckpt")
    assert saved.class_path == "lightning_modules.vfs_simsiam.VFSSimSiam"
    assert saved.arguments["base_lr"] == 0.5
    for word in ("last", "best", "hpc", "s3://bucket/a.ckpt"):
        assert saved_model(word) is None
    with pytest.raises(FileNotFoundError, match="--ckpt_path: there is no file nowhere"):
        saved_model("nowhere.ckpt")


def test_files_of_others_are_told_with_the_line_that_converts_them(tmp_path):
    torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}}, tmp_path / "vfs_r18.pth")
    with pytest.raises(ForeignCheckpoint, match=r"vidcorr convert .*vfs_r18\.pth vfs_r18_converted\.ckpt; then"):
        saved_model(tmp_path / "vfs_r18.pth")
    torch.save({"state_dict": {}, "pytorch-lightning_version": pl.__version__}, tmp_path / "users.ckpt")
    assert saved_model(tmp_path / "users.ckpt") is None  # a module of the user's own, which --model names


def test_the_encoder_of_a_checkpoint_is_that_of_the_named_backbone(tmp_path):
    write_checkpoint(FrozenEncoder("raw_colour"), tmp_path / "first.ckpt")
    probe = LinearProbe(str(tmp_path / "first.ckpt"), num_classes=2, stage=None, stride=None)
    write_checkpoint(probe, tmp_path / "probe.ckpt")
    saved = saved_model(tmp_path / "probe.ckpt")
    chosen = {"class_path": saved.class_path, "init_args": saved.arguments | {"encoder": None}}
    reconcile(saved, chosen, "probe.ckpt")
    assert chosen["init_args"]["encoder"] == saved.arguments["encoder"]
    chosen["init_args"]["backbone"] = "torchvision:resnet18"
    with pytest.raises(ValueError, match=r"is over .*first\.ckpt, but torchvision:resnet18 is named as its backbone"):
        reconcile(saved, chosen, "probe.ckpt")
