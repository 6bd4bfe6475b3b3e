"""The gate: a file has nothing made but classes of this project, and what the command line names."""

import sys

import pytest
import pytorch_lightning as pl
import torch

from lightning_modules import FrozenEncoder, LinearProbe, VFSSimSiam
from tests.helpers.refusal import refused
from vidcorr.backbones import build_encoder
from vidcorr.backbones.checkpoints import ForeignCheckpoint, reconcile, saved_model, trust, write_checkpoint
from vidcorr.backbones.checkpoints.trust import check_fit_of, pass_gate

FROZEN = "lightning_modules.frozen_encoder.FrozenEncoder"
PROBE = "lightning_modules.linear_probe.LinearProbe"
CANARY = "tests.helpers.canary"
RAW = {"class_path": FROZEN, "init_args": {"spec": "raw_colour"}}


@pytest.fixture(autouse=True)
def _nothing_allowed(monkeypatch):
    monkeypatch.setattr(trust, "_allowed", set())
    sys.modules.pop(CANARY, None)
    yield
    assert CANARY not in sys.modules


@pytest.mark.parametrize(
    ("class_path", "arguments", "message"),
    [
        (["a"], {}, "must be an import path"),
        (FROZEN, {"spec": f"{CANARY}:sing"}, rf"names the network '{CANARY}:sing', .* add --allow {CANARY}:sing"),
        (FROZEN, {"spec": "/other/file.ckpt"}, "its encoder is '/other/file.ckpt', another file"),
        (FROZEN, {"spec": "raw_colour", "upsample": "os:abort"}, "names the network 'os:abort'"),
        (FROZEN, {"spec": "x", "upsample": "os:abort", "encoder": RAW}, "names the network 'os:abort'"),
        (FROZEN, {"spec": "timm:hf-hub:timm/resnet18.a1_in1k"}, "not the name of a network of that library"),
        (FROZEN, {"spec": "raw_colour", "shell": "true"}, "FrozenEncoder has no argument 'shell'"),
        (FROZEN, {"spec": "raw_colour", "stage": ["res4"]}, r"cannot take \['res4'\] as stage"),
        (FROZEN, {"spec": "raw_colour", 3: 1}, "must be names and values"),
    ],
)
def test_what_a_file_may_not_name(class_path, arguments, message):
    assert refused(ValueError, message, pass_gate, class_path, arguments, "x.ckpt").startswith("x.ckpt: ")


def test_nested_encoders_take_the_same_way(tmp_path):
    process = {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", str(tmp_path / "canary")]}}
    arguments = {"backbone": "b.ckpt", "num_classes": 2, "encoder": process}
    refused(ValueError, r"names the class 'subprocess\.Popen'", pass_gate, PROBE, arguments, "x.ckpt")
    refused(ValueError, r"names the class 'subprocess\.Popen'", build_encoder, "a.ckpt", recipe=process)
    refused(ValueError, r"names the class 'subprocess\.Popen'", FrozenEncoder, "a.ckpt", encoder=process)
    nested = RAW
    for _ in range(9):
        nested = {"class_path": FROZEN, "init_args": {"spec": "a.ckpt", "encoder": nested}}
    refused(ValueError, "nested more than 4 deep", pass_gate, FROZEN, {"spec": "b.ckpt", "encoder": nested}, "x.ckpt")
    assert not (tmp_path / "canary").exists()


def test_a_class_is_found_by_its_name_wherever_it_has_moved():
    recipe = pass_gate("lightning_modules.older_place.VFSSimSiam", {"projector_dim": 8}, "x.ckpt")
    assert recipe.kind is VFSSimSiam
    assert recipe.ours


@pytest.mark.parametrize(
    ("class_path", "arguments"),
    [("lightning_modules.VFSMoCo", {"queue_size": 10**12}), (FROZEN, {"spec": "timm:vit_giant_patch14_dinov2"})],
)
def test_a_few_bytes_ask_for_no_memory(class_path, arguments):
    recipe = pass_gate(class_path, arguments, "x.ckpt")
    assert refused(ValueError, "does not fit|cannot be made", check_fit_of, recipe, {"a": torch.zeros(1)}, "x.ckpt")


def test_endless_values_are_refused_at_once():
    shared = [0]
    for _ in range(60):
        shared = [shared, shared]  # 2**60 values, as a pickle of 200 bytes holds them
    arguments = {"spec": "raw_colour", "stage": shared}
    assert refused(ValueError, r"FrozenEncoder cannot take \[\[.* as stage$", pass_gate, FROZEN, arguments, "x.ckpt")


def test_files_of_others_are_told_with_the_line_that_converts_them(tmp_path):
    torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}}, tmp_path / "vfs_r18.pth")
    line = r"vidcorr convert .*vfs_r18\.pth vfs_r18_converted\.ckpt, with --architecture .*; then give"
    refused(ForeignCheckpoint, line, saved_model, tmp_path / "vfs_r18.pth")
    torch.save({"state_dict": {}, "pytorch-lightning_version": pl.__version__}, tmp_path / "users.ckpt")
    # a module of the user's own, which --model names, and words of Lightning
    for path in (tmp_path / "users.ckpt", "last", "best", "hpc", "s3://bucket/a.ckpt"):
        assert saved_model(path) is None


def test_the_encoder_of_a_checkpoint_is_that_of_the_named_backbone(tmp_path):
    write_checkpoint(FrozenEncoder("raw_colour"), tmp_path / "first.ckpt")
    probe = LinearProbe(str(tmp_path / "first.ckpt"), num_classes=2, stage=None, stride=None)
    write_checkpoint(probe, tmp_path / "probe.ckpt")
    saved = saved_model(tmp_path / "probe.ckpt")
    chosen = {"class_path": saved.class_path, "init_args": saved.arguments | {"encoder": None}}
    reconcile(saved, chosen, "probe.ckpt")
    assert chosen["init_args"]["encoder"] == saved.arguments["encoder"]
    chosen["init_args"]["backbone"] = "torchvision:resnet18"
    message = r"is over .*first\.ckpt, not over torchvision:resnet18: leave out --model.backbone"
    refused(ValueError, message, reconcile, saved, chosen, "probe.ckpt")
