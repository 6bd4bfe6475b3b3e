"""Encoders by name: stages, maps, refusals, descriptions; a frozen one's defaults; a user's own head."""

import hashlib
from types import SimpleNamespace

import pytest
import timm
import torch

from lightning_modules import FrozenEncoder, Liir, LinearProbe, VFSSimSiam
from tests.helpers.fake_device import fake_gpu, moved
from tests.helpers.refusal import refused
from vidcorr.backbones import (
    Network,
    build_encoder,
    build_feature_extractor,
    module_from_checkpoint,
    weights_digest,
)
from vidcorr.backbones.checkpoints import write_checkpoint

pytestmark = pytest.mark.usefixtures("no_gradients")

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
    maps = extractor(torch.rand(2, 3, 70, 102))
    assert maps.shape == (2, channels, -(-70 // stride), -(-102 // stride))


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("spec", "stage", "stride", "message"),
    [
        ("resnet18", None, None, "write timm:NAME, torchvision:NAME or"),
        ("timm:resnet_18", None, None, "timm has no such model; did you mean .*resnet"),
        ("torchvision:resnet_18", None, None, "Unknown model resnet_18"),
        ("nowhere:encoder", None, None, "cannot import"),
        ("torchvision:resnet18", "res4", 5, "strides can be"),
        ("timm:vit_tiny_patch16_224", None, 12, "patches of 16 px allow 1, 2, 4, 8, 16"),
        (
            "torchvision:vit_b_16",
            None,
            None,
            "gives no map of an image; convnext, .* do, and transformers of timm:NAME",
        ),
        ("timm:convit_tiny", None, None, "ConVit: takes images of 224 x 224 px only; take a transformer"),
        ("timm:convnext_atto", "stage5", None, r"stage 'stage5': ConvNeXt has features, stage1, .*, stage4; null"),
        ("timm:convnext_atto", "stage1+stage2", None, r"its parts have strides \[4, 8\]"),
        ("tests.helpers.encoders:Padded", None, None, "34 x 42 cells .* not those of stride 8: cut its padding"),
        ("tests.helpers.encoders:Unpadded", None, None, "cells for a 256 x 320 image are not those of stride"),
        ("timm:coat_tiny", None, None, "CoaT: .*; videos need a network for images of any size"),
        ("raw_color", None, None, r"backbone 'raw_color': write timm:NAME, .*; did you mean raw_colour\?"),
    ],
)
def test_mistakes_are_named(spec, stage, stride, message):
    assert refused(ValueError, message, build_feature_extractor, spec, stage, stride)


def test_a_device_without_memory_is_not_told_as_a_network_of_one_size(monkeypatch):
    def run_out(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(timm.models.ConvNeXt, "forward_features", run_out)
    with pytest.raises(torch.OutOfMemoryError):
        build_feature_extractor("timm:convnext_atto")


def test_a_stated_stride_is_taken():
    assert build_feature_extractor("tests.helpers.encoders:Patches").stride == 24


def test_frozen_encoder_gives_its_defaults_and_what_is_asked_for():
    module = FrozenEncoder("torchvision:resnet18", stage="res3", stride=8)
    images = torch.rand(1, 3, 64, 64)
    assert module.feature_extractor()(images).shape == (1, 128, 8, 8)
    assert module.feature_extractor("res5", 32)(images).shape == (1, 512, 2, 2)


@pytest.mark.parametrize(
    ("spec", "widths", "strides"),
    [
        ("timm:convnext_atto", [40, 80, 160, 320], [4, 8, 16, 32]),
        ("timm:efficientnet_b0", [16, 24, 40, 112, 320], [2, 4, 8, 16, 32]),
    ],
)
def test_staged_networks_offer_their_stages_and_the_map_before_their_pooling(spec, widths, strides):
    encoder, names = build_encoder(spec), [f"stage{number}" for number in range(1, len(widths) + 1)]
    encoder.mean = (0.1, 0.2, 0.3)
    extractor, images = encoder.feature_extractor(names), torch.rand(1, 3, 160, 192)
    maps = extractor(images)
    alone = encoder.feature_extractor(names[1])(images)
    last = encoder.feature_extractor()(images)
    assert (extractor.stride, extractor.multiple) == (strides, max(strides))
    expected = [(1, width, 160 // stride, 192 // stride) for width, stride in zip(widths, strides, strict=True)]
    assert [tuple(one.shape) for one in maps] == expected
    torch.testing.assert_close(alone, maps[1])
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (encoder.mean, encoder.std))
    torch.testing.assert_close(last, encoder.network.eval().forward_features((images - mean) / std))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "channels"),
    [("naflexvit_base_patch16_radio_v3", 768), ("vit_base_patch16_radio_v3", 768), ("samvit_base_patch16", 256)],
)
def test_transformers_of_other_forms_give_a_map(name, channels):
    extractor = build_encoder(f"timm:{name}").feature_extractor()
    assert extractor(torch.rand(1, 3, 96, 128)).shape == (1, channels, 6, 8)


@pytest.mark.slow
def test_random_weights_are_named_with_their_seed():
    torch.manual_seed(7)
    for module, expected in [
        (FrozenEncoder("torchvision:resnet34"), ("ResNet-34", "random weights", 7, False)),
        (LinearProbe("torchvision:resnet18", 2), ("ResNet-18", "random weights", 7, False)),
        (build_encoder("timm:vit_tiny_patch16_224"), ("vit_tiny_patch16_224", "random weights", 7, False)),
        (build_encoder("raw_colour"), ("raw colour", "", None, True)),
        (Liir(position_size=8, bank={"frames": 0}), ("LiirEncoder", "", None, True)),
        (torch.nn.Identity(), ("Identity", "", None, True)),
    ]:
        found = Network.of(module)
        assert (found.name, found.weights, found.seed, found.loaded) == expected


def test_weights_of_a_users_callable_are_never_called_random():
    """They may be trained ones that it loads; the seed is named where it has drawn random numbers."""
    torch.manual_seed(7)
    for name, seed in (("TinyResNet", 7), ("Blocky", None)):
        spec = f"tests.helpers.encoders:{name}"
        found = Network.of(build_encoder(spec))
        assert found == Network(name=name, weights=f"weights of {spec}", spec=spec, seed=seed)


def test_nothing_is_written_onto_foreign_modules():
    import timm

    own = timm.create_model("resnet18", num_classes=0)
    network = build_encoder("timm:resnet18").network
    view = build_feature_extractor("timm:resnet18")
    assert vars(network).keys() == vars(own).keys()
    assert Network.of(view).spec == "timm:resnet18"
    assert Network.of(network) == Network(name="ResNet")  # it may have been trained since


@pytest.mark.slow
def test_the_digest_of_weights_follows_the_weights():
    digests = set()
    for seed in (0, 1, 1):
        torch.manual_seed(seed)
        network = build_encoder("torchvision:resnet18")
        digests.add(weights_digest(network.feature_extractor("res4", 8)))
        assert weights_digest(network.feature_extractor("res4", 16)) in digests
    assert len(digests) == 2


def test_the_digest_of_weights_on_several_devices():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    with fake_gpu() as gpu:
        mixed = torch.nn.Sequential(network[0], moved(network[1], gpu.device))
        assert len(weights_digest(mixed)) == 12


def test_the_digest_is_that_of_the_bytes_in_order():
    network = torch.nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)
    text = "torch.float32 (3, 2, 3, 3); torch.float32 (3,)"
    contents = network.weight.detach().contiguous().numpy().tobytes() + network.bias.detach().numpy().tobytes()
    assert weights_digest(network) == hashlib.blake2b(text.encode() + contents).hexdigest()[:12]


@pytest.mark.slow
def test_weights_of_a_file_are_named(tmp_path):
    write_checkpoint(VFSSimSiam(projector_dim=8, predictor_dim=4), tmp_path / "vfs_r18.ckpt")
    expected = Network(name="ResNet-18", weights="weights of vfs_r18.ckpt", spec="torchvision:resnet18")
    assert Network.of(module_from_checkpoint(tmp_path / "vfs_r18.ckpt")) == expected
    assert Network.of(FrozenEncoder(str(tmp_path / "vfs_r18.ckpt"))) == expected
    assert Network.of(build_feature_extractor(tmp_path / "vfs_r18.ckpt")) == expected
    started = VFSSimSiam(str(tmp_path / "vfs_r18.ckpt"), projector_dim=8, predictor_dim=4)
    assert Network.of(started) == expected
    started._trainer = SimpleNamespace(global_step=3)
    assert Network.of(started).weights == "3 steps of training"  # no longer those of the file


@pytest.mark.slow
def test_a_compiled_network_is_known_by_the_network_inside():
    encoder = build_encoder("tests.helpers.encoders:TinyResNet")
    network = encoder.network
    compiled = torch.compile(encoder)
    assert Network.of(compiled).spec == "tests.helpers.encoders:TinyResNet"
    images = torch.rand(1, 3, 64, 64)
    views = [build_feature_extractor(each, "res4") for each in (network, torch.compile(network))]
    assert torch.equal(*(view(images) for view in views))
