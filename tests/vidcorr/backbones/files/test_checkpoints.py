"""Checkpoints say what they are, are read as data, and need no other file."""

import argparse
import enum
import os
import subprocess
import zipfile
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import save_file
from torch import nn

from tests.helpers.encoders import TinyResNet
from tests.helpers.method_steps import tiny
from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from tests.helpers.training import TINY
from vidcorr.backbones import build_feature_extractor, load, module_from_checkpoint
from vidcorr.backbones.files.saved_models import read_content, saved_model
from vidcorr.lightning_modules import FrozenEncoder, VFSMoCo, VFSSimSiam


def test_training_may_begin_with_a_checkpoint(tmp_path):
    first = VFSSimSiam(**TINY)
    start = write_checkpoint(first, tmp_path / "start.ckpt")
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
        saved = write_checkpoint(other, tmp_path / "other.ckpt")
        refused(ValueError, f"{name} has no full network", VFSMoCo, str(saved))


def test_a_module_with_features_of_its_own_is_stored_with_its_class(tmp_path):
    write_checkpoint(tiny("CoSettle"), tmp_path / "own.ckpt")
    module = FrozenEncoder(str(tmp_path / "own.ckpt"))
    assert module.arguments_again()["spec"]["spec"] == "vidcorr.lightning_modules.cosettle:CoSettle"
    again = write_checkpoint(module, tmp_path / "again.ckpt")
    (tmp_path / "own.ckpt").unlink()
    images = torch.rand(1, 3, 32, 32)
    found = build_feature_extractor(again)(images)
    assert torch.equal(found, module.feature_extractor()(images))


def test_lightnings_own_loading_takes_the_same_way(tmp_path):
    path = write_checkpoint(FrozenEncoder("raw_colour", stage="colour"), tmp_path / "a.ckpt")
    assert FrozenEncoder.load_from_checkpoint(path, map_location="cpu", stride=4).hparams["stride"] == 4
    refused(ValueError, "holds FrozenEncoder, not VFSSimSiam", VFSSimSiam.load_from_checkpoint, path)
    assert isinstance(FrozenEncoder.load_from_checkpoint(path, weights_only=True), FrozenEncoder)
    torch.save(torch.load(path, weights_only=True) | {"hyper_parameters": {"spec": "os:abort"}}, path)
    for strict in (False, None):
        refused(ValueError, r"a\.ckpt: ", FrozenEncoder.load_from_checkpoint, path, strict=strict)


class Attack:
    def __init__(self, called, *given):
        self.called = called, given

    def __reduce__(self):
        return self.called


@pytest.mark.parametrize("new", [True, False])
def test_no_code_of_a_file_runs(new, tmp_path):
    for called in ((open, str(tmp_path / "ran"), "w"), (subprocess.Popen, ["touch", str(tmp_path / "ran")])):
        content = {"a": Attack(*called), "state_dict": {"a": torch.ones(1)}}
        torch.save(content, tmp_path / "a.ckpt", _use_new_zipfile_serialization=new)
        assert list(read_content(tmp_path / "a.ckpt")["a"]) == []
    torch.save(Attack(os.system, "true"), tmp_path / "a.ckpt", _use_new_zipfile_serialization=new)
    refused(ValueError, "foreign: it holds posix.system, which is code", read_content, tmp_path / "a.ckpt")
    assert not (tmp_path / "ran").exists()


class Config(dict):
    """Settings of a library, which are a dict."""


class Kind(enum.Enum):
    SMALL = "small"


class Tuned:
    def __init__(self):
        self.history = {1, 2}


BESIDE = {
    "args": argparse.Namespace(lr=0.1, model=argparse.Namespace(depth=12)),
    "best": np.float64(0.5),
    "epoch": np.int64(3),
    "history": np.array(["a", None], dtype=object),
    "log": defaultdict(list, {"loss": [1.0]}),
    "output": Path("runs/a"),
    "windows": PureWindowsPath("runs"),
    "date": datetime(2026, 1, 2, tzinfo=UTC),
    "took": timedelta(hours=1),
    "config": Config(depth=12),
    "kind": Kind.SMALL,
    "own": Tuned(),
    "optimiser": torch.optim.Adam([nn.Parameter(torch.ones(1))]),
    "torch": torch.__version__,
}
"""What training code saves beside weights."""


@pytest.mark.parametrize("new", [True, False])
def test_data_beside_weights_are_read(new, here):
    network = TinyResNet()
    torch.save(BESIDE | {"state_dict": network.state_dict()}, "own.pth", _use_new_zipfile_serialization=new)
    content = read_content("own.pth")
    read = ("log", "output", "windows", "config")
    assert {name: content[name] for name in read} == {name: BESIDE[name] for name in read}
    found = load("tests.helpers.encoders:TinyResNet=own.pth").network
    torch.testing.assert_close(found.state_dict(), network.state_dict(), rtol=0, atol=0)


FOREIGN = {
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n": "pointer of git-lfs",
    b"\n<!DOCTYPE html><html>404</html>": "a web page",
    b'{"error": "gated"}': "JSON",
    b"\x81\xa6params\x82": "msgpack, as Flax writes it",
    b"\x08\x08\x12\x07pytorch": "ONNX",
    b"\x93NUMPY\x01\0v\0": "arrays of numpy",
    b"PK\x03\x04" + 26 * b"\0" + b"weights.npy": "arrays of numpy",
    b"PK\x03\x04" + 26 * b"\0" + b"own/data.pkl": "a part of an archive",
    b"": "an empty file",
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


def test_files_of_others_are_told_with_the_flag_that_takes_them(tmp_path):
    torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}}, tmp_path / "vfs_r18.pth")
    refused(ValueError, "are a network: --model .* or --model.backbone ", saved_model, tmp_path / "vfs_r18.pth")
    torch.save({"state_dict": {}, "pytorch-lightning_version": pl.__version__}, tmp_path / "users.ckpt")
    assert saved_model(tmp_path / "users.ckpt") is None  # a module of the user's own, which --model names


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_file_that_another_program_zipped_again_is_read_alike_in_whole_and_in_part(compression, tmp_path):
    torch.save({"state_dict": {"a": torch.arange(9.0)}}, tmp_path / "x.pth")
    with zipfile.ZipFile(tmp_path / "x.pth") as given, zipfile.ZipFile(tmp_path / "y.pth", "w", compression) as again:
        for name in given.namelist():
            again.writestr(name, given.read(name))
    for whole in (True, False):
        assert torch.equal(read_content(tmp_path / "y.pth", whole)["state_dict"]["a"], torch.arange(9.0))


def test_a_program_of_torchscript_has_a_line_of_its_own(tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.Conv2d(3, 4, 8), torch.rand(1, 3, 8, 8)), tmp_path / "x.pt")
    refused(ValueError, "x.pt: .* a program of TorchScript: give the module, torch.jit.load", load, tmp_path / "x.pt")
