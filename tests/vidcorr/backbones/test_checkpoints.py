"""Checkpoints say what they are, are read as data, and need no other file."""

import argparse
import shlex
import subprocess
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import save_file

from tests.helpers.method_steps import tiny
from tests.helpers.refusal import refused
from tests.helpers.training import TINY
from vidcorr.backbones import build_feature_extractor, load, module_from_checkpoint
from vidcorr.backbones.checkpoints import check_metadata, read_content, saved_model, write_checkpoint
from vidcorr.lightning_modules import FrozenEncoder, VFSMoCo, VFSSimSiam


def test_training_may_begin_with_a_checkpoint(tmp_path):
    first, start = VFSSimSiam(**TINY), tmp_path / "start.ckpt"
    write_checkpoint(first, start)
    assert not load(start).network.training
    module = VFSMoCo(str(start), queue_size=16)
    assert torch.equal(module.backbone.conv1.weight, first.backbone.conv1.weight)
    assert module.backbone.training
    assert all(weight.requires_grad for weight in module.backbone.parameters())
    write_checkpoint(module, tmp_path / "own.ckpt")
    start.unlink()
    assert torch.equal(module_from_checkpoint(tmp_path / "own.ckpt").backbone.conv1.weight, first.backbone.conv1.weight)
    video = FrozenEncoder("tests.helpers.encoders:recurrent")
    for name, other in (("LiirEncoder", tiny("Liir")), ("Recurrent", video)):
        write_checkpoint(other, tmp_path / "other.ckpt")
        refused(ValueError, f"{name} has no full network", VFSMoCo, str(tmp_path / "other.ckpt"))


def test_a_module_with_features_of_its_own_is_stored_with_its_class(tmp_path):
    write_checkpoint(tiny("CoSettle"), tmp_path / "own.ckpt")
    module = FrozenEncoder(str(tmp_path / "own.ckpt"))
    assert module.rebuilt_by["spec"]["spec"] == "vidcorr.lightning_modules.cosettle:CoSettle"
    write_checkpoint(module, tmp_path / "again.ckpt")
    (tmp_path / "own.ckpt").unlink()
    images = torch.rand(1, 3, 32, 32)
    found = build_feature_extractor(tmp_path / "again.ckpt")(images)
    assert torch.equal(found, module.feature_extractor()(images))


@pytest.mark.parametrize(("named", "new"), [(print, True), (subprocess.Popen, False)])
def test_no_code_of_a_file_runs(named, new, tmp_path):
    class Attack:
        def __reduce__(self):
            return named, (10,)

    torch.save({"a": Attack()}, tmp_path / "a.ckpt", _use_new_zipfile_serialization=new)
    assert refused(ValueError, rf"a\.ckpt: damaged or foreign: .*{named.__name__}", read_content, tmp_path / "a.ckpt")


BESIDE = {
    "args": argparse.Namespace(lr=0.1, model=argparse.Namespace(depth=12)),
    "best": np.float64(0.5),
    "epoch": np.int64(3),
    "history": np.arange(3.0),
    "log": defaultdict(list, {"loss": [1.0]}),
    "output": Path("runs/a"),
    "windows": PureWindowsPath("runs"),
    "date": datetime(2026, 1, 2, tzinfo=UTC),
    "took": timedelta(hours=1),
}
"""What training code saves beside weights."""


@pytest.mark.parametrize("new", [True, False])
def test_data_beside_weights_are_read_by_each_door(new, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = load("torchvision:resnet18").network
    torch.save(BESIDE | {"state_dict": network.state_dict()}, "own.pth", _use_new_zipfile_serialization=new)
    assert read_content("own.pth")["args"] == BESIDE["args"]
    for name in ("torchvision:resnet18=own.pth", "own.pth"):
        found = load(name).network
        torch.testing.assert_close(found.state_dict(), network.state_dict(), rtol=0, atol=0)


FOREIGN = {
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n": "pointer of git-lfs",
    b"\n<!DOCTYPE html><html>404</html>": "a web page",
    b'{"error": "gated"}': "JSON",
}


@pytest.mark.parametrize("content", FOREIGN)
def test_what_lies_in_place_of_weights_is_named(content, tmp_path):
    for name in ("a.ckpt", "model.safetensors", "pytorch_model.bin"):
        (tmp_path / name).write_bytes(content)
        refused(ValueError, rf"{name}: .*{FOREIGN[content]}", load, tmp_path / name)


def test_the_content_tells_safetensors_and_not_the_suffix(tmp_path):
    weights = {"a": torch.rand(3)}
    save_file(weights, tmp_path / "model.bin")
    assert torch.equal(read_content(tmp_path / "model.bin")["state_dict"]["a"], weights["a"])


def test_a_damaged_file_is_one_line(tmp_path):
    path = tmp_path / "a.ckpt"
    refused(ValueError, r"a\.ckpt: no such checkpoint", read_content, path)
    torch.save({"a": torch.rand(300)}, path)
    whole = path.read_bytes()
    flipped = bytes(byte ^ (place == len(whole) // 2) for place, byte in enumerate(whole))  # a bit of a weight
    for content in (flipped, whole[:400], whole[:-30], b"", b"<html>404</html>", b"\x80\x02}q\x01h\x05."):
        path.write_bytes(content)
        for options in ({}, {"whole": False})[: 1 if content == flipped else 2]:  # the sums of a part are not checked
            refused(ValueError, r"a\.ckpt: damaged or foreign: ", read_content, path, **options)
    for parts in ({"vidcorr": ["a"], "state_dict": {}}, {"vidcorr": {"class_path": "a"}, "state_dict": []}):
        refused(ValueError, "is damaged: it lacks its weights", check_metadata, parts, path)


def test_files_of_others_are_told_with_the_flag_that_takes_them(tmp_path):
    for name in ("vfs_r18.pth", "of others.pth"):
        torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}}, tmp_path / name)
        said = refused(ValueError, "are a network: --model ", saved_model, tmp_path / name)
        words = shlex.split(said[said.index("--model ") :])
        assert words == ["--model", str(tmp_path / name), "or", "--model.backbone", str(tmp_path / name)]
    torch.save({"state_dict": {}, "pytorch-lightning_version": pl.__version__}, tmp_path / "users.ckpt")
    # a module of the user's own, which --model names, and words of Lightning
    for path in (tmp_path / "users.ckpt", "last", "best", "hpc", "s3://bucket/a.ckpt"):
        assert saved_model(path) is None
    refused(FileNotFoundError, "there is no file nowhere", saved_model, "nowhere/last.ckpt")
