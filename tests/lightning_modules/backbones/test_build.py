"""Every backbone answers the same contract, and looking into it leaves no trace."""

import pytest
import torch
from torch import nn

from lightning_modules import FrozenEncoder
from lightning_modules.backbones import (
    build_encoder,
    build_feature_extractor,
    build_network,
    extractor_of,
    pooled_width,
    shared_copy,
)
from tests.helpers.encoders import Blocky

SPECS = [
    ("torchvision:resnet18", 256, 8),
    ("torchvision:resnet50", 1024, 8),
    ("timm:resnet18", 256, 8),
    ("timm:resnet26d", 1024, 8),  # average-pooled shortcuts
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


@pytest.mark.parametrize(("stage", "stride"), [("res2", 4), ("res3", 8), ("res4", 8), ("res5", 8), ("res4.b1", 8)])
def test_stride_8_keeps_every_stage_at_8_or_finer(stage, stride):
    extractor = build_feature_extractor("torchvision:resnet18", stage, 8)
    assert extractor.stride == stride
    assert extractor(torch.rand(1, 3, 64, 64)).shape[-1] == 64 // stride


def test_several_stages_come_from_one_pass_and_equal_each_alone():
    network, images = build_network("torchvision:resnet18"), torch.rand(1, 3, 64, 96)
    stages = ["res5", "res3", "res4.b1", "res4"]
    extractor = extractor_of(network, stages, 8)
    runs = []
    extractor.stem.register_forward_hook(lambda *_: runs.append(1))
    with torch.inference_mode():
        together = extractor(images)
        alone = [extractor_of(network, stage, 8)(images) for stage in stages]
    assert extractor.stride == [8, 8, 8, 8]
    assert len(runs) == 1
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))


def test_res4_without_its_stride_sees_the_pixels_of_the_strided_map():
    network = build_network("torchvision:resnet18").eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        dense, strided = (extractor_of(network, "res4.b1", stride)(images) for stride in (8, 16))
    # The first block's stride sits in its first convolution; its shortcut samples the same places.
    assert dense.shape[-1] == 2 * strided.shape[-1]
    shortcut = network.layer3[0].downsample
    with torch.inference_mode():
        before = extractor_of(network, "res3", 8)(images)
        sampled = shortcut(before)
        shortcut[0].stride = (1, 1)
        assert torch.allclose(shortcut(before)[..., ::2, ::2], sampled, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "dilated", "expected"),
    [
        ("torchvision:resnet18", True, [2, 2, 2, 2, 4, 4, 4, 4]),
        ("torchvision:resnet18", "released", [1, 1, 2, 1, 2, 1, 4, 1]),
        ("torchvision:resnet50", True, [2] * 6 + [4] * 3),
        ("timm:resnet50", "released", [1, 2, 2, 2, 2, 2, 2, 4, 4]),
    ],
)
def test_siamfcs_dilations_are_in_every_3x3(name, dilated, expected):
    extractor = extractor_of(build_network(name), "res5", dilated=dilated)
    found = {"res3": [], "res4": [], "res5": []}
    for key, block in extractor.blocks.items():
        kernels = [m for m in block.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
        assert all(m.dilation == m.padding and m.stride == (1, 1) for m in kernels if not key.startswith("res3"))
        found.setdefault(key[:4], []).extend(m.dilation[0] for m in kernels)
    assert found["res4"] + found["res5"] == expected
    assert set(found["res2"] + found["res3"]) == {1}
    assert extractor.dilated == dilated


def test_dilated_view_has_siamfcs_sizes():
    extractor = extractor_of(build_network("torchvision:resnet18"), "res5", dilated=True)
    assert extractor.stride == 8
    assert extractor(torch.rand(1, 3, 120, 120)).shape == (1, 512, 15, 15)
    assert extractor(torch.rand(1, 3, 255, 255)).shape == (1, 512, 32, 32)


def test_a_view_shares_the_tensors_and_changes_nothing():
    network = build_network("torchvision:resnet18").train()
    before = {name: (id(p), p.clone()) for name, p in network.state_dict(keep_vars=True).items()}
    extractor = extractor_of(network, "res4", 8)
    extractor(torch.rand(1, 3, 64, 64))
    assert network.training
    assert network.layer3[0].conv1.stride == (2, 2)
    after = network.state_dict(keep_vars=True)
    assert all(
        id(after[name]) == number and torch.equal(after[name], value) for name, (number, value) in before.items()
    )
    assert extractor.stem[0].weight is network.conv1.weight
    with torch.no_grad():
        network.conv1.weight.zero_()
    assert extractor.stem[0].weight.abs().sum() == 0


def test_share_keeps_hyperparameters_of_copies_apart():
    module = nn.Conv2d(3, 3, 3)
    copy = shared_copy(module)
    copy.stride = (2, 2)
    assert module.stride == (1, 1)
    assert copy.weight is module.weight


@pytest.mark.parametrize("spec", ["torchvision:resnet18", "timm:resnet26d", "torchvision:resnet50"])
def test_folding_changes_only_the_rounding(spec):
    network = build_network(spec)
    for module in network.modules():  # statistics that a fresh network does not have
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    extractor, images = extractor_of(network, "res4", 8), torch.rand(1, 3, 64, 64)
    folded = extractor.folded()
    with torch.inference_mode():
        expected, found = extractor(images), folded(images)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    left = sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert left == (1 if spec == "timm:resnet26d" else 0)  # the norm after a stem of several convolutions stays


def test_raw_colour_is_the_mean_of_each_cell():
    images = torch.rand(1, 3, 16, 20)
    extractor = build_feature_extractor("raw_colour", stride=8)
    cells = extractor(images)
    expected = extractor.normalise(images)[..., 8:16, 16:20].mean((-2, -1))
    assert cells.shape == (1, 3, 2, 3)
    assert torch.allclose(cells[..., 1, 2], expected, atol=1e-6)


def test_an_importable_callable_is_an_encoder():
    extractor = build_feature_extractor("tests.helpers.encoders:Blocky")
    assert extractor.stride == 4
    assert extractor(torch.rand(1, 3, 32, 32)).shape == (1, 3, 8, 8)


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "vit_tiny_r_s16_p8_224"])
def test_transformers_of_timm_take_any_size(name):
    extractor = build_feature_extractor(f"timm:{name}")
    stride = extractor.stride
    with torch.inference_mode():
        assert extractor(torch.rand(1, 3, 97, 131)).shape == (1, 192, -(-97 // stride), -(-131 // stride))


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


def test_pooled_width():
    assert pooled_width(build_network("torchvision:resnet18")) == 512
    assert pooled_width(build_network("timm:resnet26d")) == 2048
    with pytest.raises(ValueError, match="expected pooled features"):
        pooled_width(Blocky())


@pytest.mark.parametrize(
    ("spec", "stage", "stride", "message"),
    [
        ("resnet18", None, None, "torchvision:resnet18"),
        ("timm:resnet_18", None, None, "timm has no such model"),
        ("torchvision:resnet19", None, None, "torchvision has no such model"),
        ("nowhere:encoder", None, None, "cannot import"),
        ("torch.nn:Parameter", None, None, "expected a torch.nn.Module"),
        ("torchvision:resnet18", "layer3", None, "this ResNet has res2.b1"),
        ("torchvision:resnet18", "res4", 5, "strides can be"),
        ("timm:vit_tiny_patch16_224", "block13", None, "block1 … block12"),
        ("timm:vit_tiny_patch16_224", None, 12, "its stride can be 1, 2, 4, 8, 16"),
        ("torchvision:mobilenet_v3_small", None, None, r"got \(1, 576\) of a 256 x 320 image; take a network of timm"),
        ("timm:beit_base_patch16_224", None, None, "Beit: takes images of 224 x 224 px only; take a transformer"),
        ("timm:mixer_s32_224", None, None, "MlpMixer: takes images of one size only"),
        ("nowhere.ckpt", None, None, "no such checkpoint"),
    ],
)
def test_mistakes_are_named(spec, stage, stride, message):
    with pytest.raises(ValueError, match=message):
        build_feature_extractor(spec, stage, stride)


def test_images_must_be_float_rgb():
    with pytest.raises(ValueError, match="float RGB"):
        build_feature_extractor("raw_colour")(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_frozen_encoder_gives_its_defaults_and_what_is_asked_for():
    module = FrozenEncoder("torchvision:resnet18", stage="res3", stride=8)
    images = torch.rand(1, 3, 64, 64)
    assert module.feature_extractor()(images).shape == (1, 128, 8, 8)
    assert module.feature_extractor("res5", 32)(images).shape == (1, 512, 2, 2)
    assert len(list(module.val_dataloader())) == 1
