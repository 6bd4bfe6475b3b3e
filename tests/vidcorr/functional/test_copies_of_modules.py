"""Copies of extractors and encoders on another device, which share with the original only what is there already."""

import pytest
import torch
from torch import nn

from tests.helpers.refusal import refused
from vidcorr.backbones import Clips, Recurrent, build_encoder, build_feature_extractor
from vidcorr.backbones.build import weights_digest
from vidcorr.functional.device import device_of, on_device

IMAGES = torch.rand(1, 3, 64, 64)
META = torch.device("meta")


class Steps(nn.Module):
    """A recurrent network whose bound method is the step."""

    def __init__(self):
        super().__init__()
        self.cells, self.norm = nn.Conv2d(3, 4, 4, 4), nn.BatchNorm2d(4)

    def step(self, frame, state):
        return self.norm(self.cells(frame[None]))[0], state


def devices(module):
    return {tensor.device.type for tensor in (*module.parameters(), *module.buffers())}


@pytest.mark.parametrize("spec", ["torchvision:resnet18", "timm:vit_tiny_patch16_224", "raw_colour"])
def test_an_extractor_is_copied_and_the_original_stays(spec):
    encoder = build_encoder(spec)
    view = encoder.feature_extractor()
    before = view(IMAGES)
    copied = on_device(view, META)
    assert not devices(copied) - {"meta"}
    assert not devices(encoder) - {"cpu"}
    assert not devices(view) - {"cpu"}
    assert torch.equal(view(IMAGES), before)
    assert torch.equal(encoder.feature_extractor()(IMAGES), before)


def test_what_is_on_the_device_is_shared():
    view = build_feature_extractor("torchvision:resnet18")
    assert on_device(view, "cpu") is view
    training = build_encoder("torchvision:resnet18").train()
    copied = on_device(training, "cpu")
    assert training.network.bn1.training
    assert not copied.network.bn1.training
    assert copied.network.bn1.running_mean is training.network.bn1.running_mean


@pytest.mark.parametrize("bound", [False, True])
def test_networks_of_video_encoders_are_copied_and_in_eval_mode(bound):
    network = Steps()
    encoder = Recurrent(network.step) if bound else Clips(network, window=2, tubelet=1)
    found = build_feature_extractor(encoder)
    assert type(found) is type(encoder)
    assert network.training
    held = found.step.__self__ if bound else found.net
    assert not held.norm.training
    assert held.cells.weight is network.cells.weight
    moved = on_device(encoder, META)
    assert device_of(moved) == META
    assert weights_digest(encoder) == weights_digest(network)
    assert devices(network) == {"cpu"}
    assert build_encoder(encoder).network is network  # not a copy, so that a Trainer moves it


def test_a_recurrent_network_gives_the_same_maps_in_any_company():
    """BatchNorm in train mode would normalise by the frame, and change its averages."""
    network = Steps()
    network.norm.running_mean.fill_(0.5)
    encoder = build_feature_extractor(Recurrent(network.step))
    (features,) = encoder.encode(iter(IMAGES))
    torch.testing.assert_close(features, network.eval().step(IMAGES[0], None)[0])
    assert (network.norm.running_mean == 0.5).all()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error: launch")])
def test_an_error_of_the_device_is_not_told_as_one_of_the_size(error, monkeypatch):
    encoder = build_encoder("timm:convnext_atto")

    def fail(*images):
        raise error

    monkeypatch.setattr(encoder.network, "forward_features", fail)
    assert refused(type(error), str(error), encoder.feature_extractor)
