"""Encoders: their descriptions, digests of their weights, defaults of a frozen one."""

import hashlib

import pytest
import torch

from lightning_modules import FrozenEncoder, Liir, LinearProbe, VFSSimSiam
from tests.helpers.fake_device import fake_gpu, moved
from vidcorr.backbones import Network, build_feature_extractor, load, module_from_checkpoint, weights_digest
from vidcorr.backbones.checkpoints import write_checkpoint

pytestmark = pytest.mark.usefixtures("no_gradients")


def test_frozen_encoder_gives_its_defaults_and_what_is_asked_for():
    module = FrozenEncoder("torchvision:resnet18", stage="res3", stride=8)
    images = torch.rand(1, 3, 64, 64)
    assert module.feature_extractor()(images).shape == (1, 128, 8, 8)
    assert module.feature_extractor("res5", 32)(images).shape == (1, 512, 2, 2)


@pytest.mark.slow
def test_random_weights_are_named_with_their_seed():
    torch.manual_seed(7)
    for module, expected in [
        (LinearProbe("torchvision:resnet18", 2), ("ResNet-18", "random weights", 7, False)),
        (load("timm:vit_tiny_patch16_224", seed=None), ("vit_tiny_patch16_224", "random weights", 7, False)),
        (load("raw_colour"), ("raw colour", "", None, True)),
        (Liir(position_size=8, bank={"frames": 0}), ("LiirEncoder", "", None, True)),
    ]:
        found = Network.of(module)
        assert (found.name, found.weights, found.seed, found.loaded) == expected


def test_weights_of_a_users_callable_are_never_called_random():
    """They may be trained ones that it loads."""
    spec = "tests.helpers.encoders:TinyResNet"
    assert Network.of(load(spec)) == Network(name="TinyResNet", weights=f"weights of {spec}", spec=spec)


def test_nothing_is_written_onto_foreign_modules():
    import timm

    own = timm.create_model("resnet10t", num_classes=0)
    network = load("timm:resnet10t").network
    view = build_feature_extractor("timm:resnet10t")
    assert vars(network).keys() == vars(own).keys()
    assert Network.of(view).spec == "timm:resnet10t"
    assert Network.of(network) == Network(name="ResNet")  # it may have been trained since


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


@pytest.mark.slow
def test_a_compiled_network_is_known_by_the_network_inside():
    encoder = load("tests.helpers.encoders:TinyResNet")
    network = encoder.network
    compiled = torch.compile(encoder)
    assert Network.of(compiled).spec == "tests.helpers.encoders:TinyResNet"
    images = torch.rand(1, 3, 64, 64)
    views = [build_feature_extractor(each, "res4") for each in (network, torch.compile(network))]
    assert torch.equal(*(view(images) for view in views))
