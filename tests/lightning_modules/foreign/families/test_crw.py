"""CRW's released file: padding by reflection."""

import argparse

import pytest
import torch

from lightning_modules.backbones import build_feature_extractor, build_network, extractor_of
from lightning_modules.foreign.conversion import convert
from tests.helpers.foreign import (
    enliven,
    features,
    reflecting_resnet18,
    write,
)


def test_crw_pads_by_reflection(tmp_path):
    network, images = reflecting_resnet18(), torch.rand(1, 3, 48, 64)
    state = {f"encoder.model.{name}": value for name, value in network.state_dict().items()}
    state["selfsim_fc.0.weight"] = torch.rand(128, 256)
    assert "encoder.model.layer1.0.conv1.1.weight" in state  # as the released file has it
    write(tmp_path / "crw.pth", state, "model", args=argparse.Namespace(lr=1e-4), epoch=3)
    report = convert(tmp_path / "crw.pth", tmp_path / "ours.ckpt")
    assert report.family == "crw"
    extractor = build_feature_extractor(tmp_path / "ours.ckpt").double()
    with torch.inference_mode():
        expected = features(network.double(), images.double(), 3)
        torch.testing.assert_close(extractor(images.double()), expected, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(extractor.folded()(images.double()), expected, rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match=r"this ResNet has res2\.b1"):
        build_feature_extractor(tmp_path / "ours.ckpt", "res5")


def test_dilation_widens_the_padding_by_reflection():
    network = build_network("lightning_modules.backbones:crw_resnet18")
    enliven(network)
    images = torch.rand(1, 3, 64, 64)
    view = extractor_of(network, "res4", dilated=True)
    convolution, x = view.blocks["res4_b2"].conv1, torch.rand(1, 256, 8, 8)
    with torch.inference_mode():
        padded = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="reflect")
        expected = torch.nn.functional.conv2d(padded, convolution.weight, dilation=2)
        torch.testing.assert_close(convolution(x), expected, rtol=1e-5, atol=1e-5)
        assert view(images).shape == (1, 256, 8, 8)
