"""A network in train mode is followed as in eval mode, and keeps its modes, weights and statistics."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.encoders import Smoothed
from tests.helpers.foreign import enliven
from vidcorr import BoxPrompt, MaskPrompt, PointPrompt, follow
from vidcorr.backbones import Clips, Recurrent, build_feature_extractor, extractor_of, weights_digest
from vidcorr.backbones.eval_mode import eval_mode, networks_of

PROMPTS = {
    "mask": MaskPrompt.of(np.pad(np.ones((16, 16), np.uint8), 24)),
    "box": BoxPrompt.of("20,20,24,24"),
    "points": PointPrompt.of(np.array([[32.0, 30.0], [10.0, 12.0]])),
}


class Trunk(nn.Sequential):
    """A user's extractor: a map of stride 8, with statistics of batches and Dropout."""

    stride = 8

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 8, 8, 8), nn.BatchNorm2d(8), nn.Dropout(0.5))


class Holder:
    """A user's video encoder over another one."""

    def __init__(self, inner: Clips) -> None:
        self.inner, self.stride = inner, 8

    def encode(self, frames):
        yield from self.inner.encode(frames)


def lively(network: nn.Module) -> nn.Module:
    enliven(network)
    return network


def clip_network() -> nn.Module:
    return lively(nn.Sequential(nn.Conv3d(3, 8, (2, 8, 8), (2, 8, 8)), nn.BatchNorm3d(8)))


def in_a_closure() -> Recurrent:
    network = lively(Smoothed())
    return Recurrent(lambda frame, state: network.step(frame, state))


NETWORKS = {
    "extractor": lambda: lively(Trunk()),
    "view": lambda: extractor_of(lively(Trunk())),
    "resnet": lambda: lively(build_feature_extractor("torchvision:resnet18", "res2")),
    "vit": lambda: build_feature_extractor("timm:vit_tiny_patch16_224", "block1"),
    "clips": lambda: Clips(clip_network(), window=4),
    "bound method": lambda: Recurrent(lively(Smoothed()).step),
    "partial": lambda: Recurrent(functools.partial(Smoothed.step, lively(Smoothed()))),
    "closure": in_a_closure,
    "attribute of an attribute": lambda: Holder(Clips(clip_network(), window=4)),
}
CASES = [*((name, "mask") for name in NETWORKS), ("extractor", "points"), ("extractor", "box"), ("resnet", "box")]


def state(encoder):
    modes = [part.training for network in networks_of(encoder) for part in network.modules()]
    return [weights_digest(network) for network in networks_of(encoder)], modes


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_train_mode_changes_nothing_in_results_nor_in_the_network(name, kind):
    video = torch.randint(0, 256, (5, 3, 64, 64), dtype=torch.uint8)
    torch.manual_seed(1)
    encoder = NETWORKS[name]()
    for network in networks_of(encoder):
        network.eval()
    expected = [np.asarray(found) for _, found in follow(encoder, video, PROMPTS[kind])]
    for network in networks_of(encoder):
        network.train()
        next(network.children()).eval()  # a mode of its own
    before = state(encoder)
    assert all(any(part.training for part in network.modules()) for network in networks_of(encoder))
    results = follow(encoder, video, PROMPTS[kind])
    for (_, found), wanted in zip(results, expected, strict=True):
        assert state(encoder) == before  # between two frames too
        np.testing.assert_array_equal(np.asarray(found), wanted)
    assert state(encoder) == before


def test_modes_come_back_after_an_error():
    network = Trunk()
    network[2].eval()
    with pytest.raises(RuntimeError), eval_mode(network):
        network(torch.zeros(1))
    assert [part.training for part in network.modules()] == [True, True, True, False]


def test_a_train_method_of_the_users_is_called_both_ways():
    class Averaged(nn.Linear):
        """A layer that swaps weights for evaluation, as averaged weights are."""

        def __init__(self) -> None:
            super().__init__(2, 2)
            self.other = nn.Parameter(torch.zeros(2, 2))

        def train(self, mode=True):
            if mode != self.training:
                self.weight, self.other = self.other, self.weight
            return super().train(mode)

    layer = Averaged()
    own = layer.weight.clone()
    with eval_mode(nn.Sequential(layer)):
        assert layer.weight.abs().sum() == 0
    assert torch.equal(layer.weight, own)
