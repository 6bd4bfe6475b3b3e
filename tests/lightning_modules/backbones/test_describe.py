"""One description of a network: which, and where its weights are from."""

from types import SimpleNamespace

import pytest
import torch

from lightning_modules import FrozenEncoder, Liir, LinearProbe, VFSSimSiam
from lightning_modules.backbones import build_encoder, build_network, describe_network, module_from_checkpoint
from lightning_modules.checkpoints import write_checkpoint


def test_random_weights_are_named_with_their_seed():
    torch.manual_seed(7)
    assert describe_network(FrozenEncoder("torchvision:resnet50")) == "ResNet-50, random weights, seed 7"
    assert describe_network(LinearProbe("torchvision:resnet18", 2)) == "ResNet-18, random weights, seed 7"
    assert (
        describe_network(build_encoder("timm:vit_tiny_patch16_224")) == "vit_tiny_patch16_224, random weights, seed 7"
    )
    assert describe_network(build_encoder("raw_colour")) == "raw colour"
    assert describe_network(Liir(position_size=8, bank_frames=0)).startswith("LiirEncoder")
    assert describe_network(build_network("tests.helpers.encoders:Blocky")) == "Blocky, random weights, seed 7"
    assert describe_network(torch.nn.Identity()) == "Identity"


@pytest.mark.slow
def test_weights_of_a_file_are_named(tmp_path):
    write_checkpoint(VFSSimSiam(projector_dim=8, predictor_dim=4), tmp_path / "vfs_r18.ckpt")
    expected = "ResNet-18, weights of vfs_r18.ckpt"
    assert describe_network(module_from_checkpoint(tmp_path / "vfs_r18.ckpt")) == expected
    assert describe_network(FrozenEncoder(str(tmp_path / "vfs_r18.ckpt"))) == expected
    started = VFSSimSiam(str(tmp_path / "vfs_r18.ckpt"), projector_dim=8, predictor_dim=4)
    assert describe_network(started) == expected
    started._trainer = SimpleNamespace(global_step=3)
    assert describe_network(started) == "ResNet-18, 3 steps of training"  # no longer those of the file
