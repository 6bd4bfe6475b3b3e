"""DINO's files."""

import argparse

import pytest
import torch

from lightning_modules.backbones import build_network, module_from_checkpoint
from lightning_modules.foreign.conversion import convert


def test_dino_is_the_teacher_with_its_own_normalisation(tmp_path):
    network = build_network("timm:vit_tiny_patch16_224")
    teacher = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    teacher |= {"head.mlp.0.weight": torch.rand(2, 192), "head.last_layer.weight_g": torch.rand(2, 1)}
    student = {f"module.{name}": -value for name, value in teacher.items()}
    torch.save({"student": student, "teacher": teacher, "args": argparse.Namespace()}, tmp_path / "dino.pth")
    with pytest.raises(ValueError, match="no transformer of DINO has width 192"):
        convert(tmp_path / "dino.pth", tmp_path / "ours.ckpt")
    report = convert(tmp_path / "dino.pth", tmp_path / "ours.ckpt", architecture="timm:vit_tiny_patch16_224")
    assert report.family == "dino"
    assert report.file.beside == ("student", "args")
    assert set(report.converted.unused) == {"head.mlp.0.weight", "head.last_layer.weight_g"}
    own = module_from_checkpoint(tmp_path / "ours.ckpt").encoder.network.state_dict()
    assert all(torch.equal(own[name], value) for name, value in network.state_dict().items())
