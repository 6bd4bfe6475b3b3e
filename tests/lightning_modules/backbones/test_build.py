"""Every backbone answers the same contract, and looking into it leaves no trace."""

import pytest
import torch

from lightning_modules.backbones import build_encoder, build_feature_extractor
from tests.helpers.refusal import refused

SPECS = [
    ("torchvision:resnet18", 256, 8),
    ("timm:resnet26d", 1024, 8),  # average-pooled shortcuts
    ("timm:resnetblur18", 256, 8),  # strides in its blurred poolings
    ("timm:vit_tiny_patch16_224", 192, 16),
    ("raw_colour", 3, 8),
]


@pytest.mark.parametrize(("spec", "channels", "stride"), SPECS)
def test_contract(spec, channels, stride):
    extractor = build_feature_extractor(spec)
    assert extractor.stride == stride
    assert not extractor.training
    with torch.inference_mode():
        maps = extractor(torch.rand(2, 3, 70, 102))
    assert maps.shape == (2, channels, -(-70 // stride), -(-102 // stride))


def test_a_convolutional_network_of_timm_is_seen_before_its_pooling():
    encoder = build_encoder("timm:convnext_atto")
    encoder.mean = (0.1, 0.2, 0.3)
    extractor, images = encoder.feature_extractor(), torch.rand(2, 3, 96, 128)
    assert (extractor.stride, extractor.multiple, extractor.training) == (32, 32, False)
    assert next(extractor.network.parameters()) is next(encoder.network.parameters())
    normalised = (images - torch.tensor(encoder.mean).view(3, 1, 1)) / torch.tensor(encoder.std).view(3, 1, 1)
    with torch.inference_mode():
        found, expected = extractor(images), encoder.network.eval().forward_features(normalised)
    assert found.shape == (2, 320, 3, 4)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("spec", "stage", "stride", "message"),
    [
        ("resnet18", None, None, "write timm:NAME, torchvision:NAME or"),
        ("timm:resnet_18", None, None, "timm has no such model"),
        ("torchvision:regnet_y_400mf", None, None, "take timm's RegNets"),
        ("nowhere:encoder", None, None, "cannot import"),
        ("torchvision:resnet18", "res4", 5, "strides can be"),
        ("timm:vit_tiny_patch16_224", None, 12, "its stride can be 1, 2, 4, 8, 16"),
        ("torchvision:mobilenet_v3_small", None, None, r"got \(1, 576\) of a 256 x 320 image; take a network of timm"),
        ("timm:beit_base_patch16_224", None, None, "Beit: takes images of 224 x 224 px only; take a transformer"),
        ("nowhere.ckpt", None, None, "no such checkpoint"),
        ("timm:convnext_atto", "stage5", None, r"stage 'stage5': ConvNeXt has features, stage1, .*, stage4$"),
        ("timm:convnext_atto", "stage1+stage2", None, r"different strides, \[4, 8\]"),
        ("tests.helpers.encoders:Unpadded", None, None, "cells for a 256 x 320 image, two strides"),
        (None, None, None, "spec must be a module, a checkpoint's path or a name, got None"),
    ],
)
def test_mistakes_are_named(spec, stage, stride, message):
    refused(ValueError, message, build_feature_extractor, spec, stage, stride)
