"""Networks of torchvision and timm by their own names."""

from pathlib import Path

import pytest
import torch

from lightning_modules.backbones import build_network, module_from_checkpoint
from lightning_modules.foreign import ForeignFile, family_of
from lightning_modules.foreign.conversion import convert


def test_a_bare_transformer_needs_its_name(tmp_path):
    network = build_network("timm:vit_tiny_patch16_224")
    torch.save(network.state_dict() | {"head.weight": torch.rand(10, 192)}, tmp_path / "vit.pth")
    with pytest.raises(ValueError, match=r"--kind dino, or --kind timm --architecture"):
        convert(tmp_path / "vit.pth", tmp_path / "ours.ckpt")
    with pytest.raises(ValueError, match="--architecture"):
        convert(tmp_path / "vit.pth", tmp_path / "ours.ckpt", "timm")
    report = convert(tmp_path / "vit.pth", tmp_path / "ours.ckpt", "timm", "timm:vit_tiny_patch16_224")
    assert report.converted.unused == {"head.weight": "classifier"}
    encoder = module_from_checkpoint(tmp_path / "ours.ckpt").encoder
    assert tuple(encoder.mean) == (0.5, 0.5, 0.5)  # these weights of timm's, not ImageNet's custom


def test_the_architecture_tells_the_family_where_the_keys_do_not():
    file = ForeignFile(Path("x.pth"), {"stem.weight": torch.zeros(1)})
    assert family_of(file, architecture="timm:convnext_atto").name == "timm"
    assert family_of(file, architecture="torchvision:vgg11").name == "torchvision"
    with pytest.raises(ValueError, match="of no known family"):
        family_of(file)
