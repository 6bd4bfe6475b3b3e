"""Extractors of any network: a user's own is neither copied nor changed; an output without cells is refused.

Also tests `backbones/outputs.py`.
"""

import functools
import threading
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from timm.layers import ConvNormAct
from timm.utils import ModelEma, ModelEmaV2, ModelEmaV3
from torch import nn
from torch.distributed import destroy_process_group, init_process_group
from torch.nn.utils import parametrizations
from torch.optim.swa_utils import AveragedModel
from torchvision.models.feature_extraction import create_feature_extractor

from tests.helpers.encoders import Smoothed, TinyResNet, clips
from tests.helpers.foreign import enliven
from tests.helpers.refusal import refused
from vidcorr import MaskPrompt, follow
from vidcorr.backbones import Recurrent, build_feature_extractor, weights_digest

IMAGES = torch.rand(1, 3, 256, 320)
PROMPT = MaskPrompt.of(np.pad(np.ones((16, 16), np.uint8), 24))


class Trunk(nn.Sequential):
    """A user's extractor: a map of stride 8, with statistics of batches and Dropout."""

    stride = 8

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 8, 8, 8), nn.BatchNorm2d(8), nn.Dropout(0.5))


class Classifier(nn.Module):
    """A user's module with a network of the name of our method; `change` acts on its map."""

    def __init__(self, change=lambda features: features.mean((2, 3))) -> None:
        super().__init__()
        self.feature_extractor = Trunk()
        self.change = change

    def forward(self, images):
        return self.change(self.feature_extractor(images))


def own_method():
    """The remedy: a method of our name, over the trunk."""
    module = nn.Module()
    module.trunk = Trunk()
    module.feature_extractor = functools.partial(build_feature_extractor, module.trunk)
    return module


class Exotic(nn.Module):
    """Gives the output of a layer, which a lambda keeps; holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Trunk()
        self.lock = threading.Lock()
        self.net[1].register_forward_hook(lambda module, inputs, output: setattr(self, "kept", output))

    def forward(self, images):
        self.net(images)
        return self.kept


NETWORKS = {
    "exotic": Exotic,
    "average of weights": lambda: AveragedModel(Trunk()),
    "parametrised": lambda: nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 8, 8, 8)), nn.BatchNorm2d(8)),
    "traced by fx": lambda: torch.fx.symbolic_trace(Trunk()),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_view_of_a_network_in_training_computes_as_the_network_in_eval_mode(name):
    network = NETWORKS[name]()
    enliven(network)
    network.train()(torch.rand(2, 3, 64, 64)).sum().backward()
    before = weights_digest(network)
    view = build_feature_extractor(network)
    found = view(IMAGES)
    assert not view.training
    assert all(part.training for part in network.modules())
    assert weights_digest(network) == before
    torch.testing.assert_close(found, network.eval()(IMAGES))


def in_a_closure():
    network = Smoothed()
    return Recurrent(lambda frame, state: network.step(frame, state))


def state(encoder):
    return weights_digest(encoder), [part.training for part in encoder.modules()]


@pytest.mark.parametrize("make", [Trunk, clips, in_a_closure])
def test_train_mode_changes_nothing_in_results_nor_in_the_network(make):
    video, encoder = torch.randint(0, 256, (5, 3, 64, 64), dtype=torch.uint8), make()
    enliven(encoder)
    encoder.eval()
    expected = [found for _, found in follow(encoder, video, PROMPT)]
    encoder.train()
    next(encoder.children()).eval()  # a mode of its own
    before = state(encoder)
    assert any(before[1])
    for (_, found), wanted in zip(follow(encoder, video, PROMPT), expected, strict=True):
        assert state(encoder) == before  # between two frames too
        assert torch.equal(found, wanted)
    assert state(encoder) == before


MAP = r"expected a map \(N, C, h, w\), got \(1, 8\) of .*: name a part .*leave pooling .*"
REMEDY = r"feature_extractor\(stage, stride\) that returns .*build_feature_extractor\(self\.trunk, stage, stride\)"


WITHOUT_A_MAP = [
    (lambda features: features.mean((2, 3)), f"Classifier: {MAP}{REMEDY}.*A network of tokens"),
    (lambda features: features[..., :2, :2], "2 x 2 cells, too few to distinguish positions"),
    (lambda features: features[..., :4, :40], r"\(1, 8, 4, 40\) .* has not the cells of stride 64"),
    (lambda features: features.movedim(1, 3), r"\(1, 32, 40, 8\) .*permute.* channels last"),
]


@pytest.mark.parametrize(("change", "message"), WITHOUT_A_MAP)
def test_a_users_module_without_a_map_is_refused(change, message):
    """An attribute `feature_extractor` that is a network is not taken for our method."""
    assert refused(ValueError, message, build_feature_extractor, Classifier(change))


class TwoMaps(nn.Module):
    """Gives its two maps in a container."""

    def __init__(self, container) -> None:
        super().__init__()
        self.trunk, self.head, self.container = Trunk(), nn.Conv2d(8, 4, 1), container

    def forward(self, images):
        trunk = self.trunk(images)
        return self.container(trunk, self.head(trunk))


@torch.no_grad()
def test_one_map_in_a_container_is_the_map_and_of_several_the_stage_chooses():
    single = TwoMaps(lambda trunk, head: {"map": head, "pooled": trunk.mean((2, 3))}).eval()
    torch.testing.assert_close(build_feature_extractor(single)(IMAGES), single(IMAGES)["map"])
    for container, names in ((lambda *maps: dict(zip("ab", maps, strict=True)), "ab"), (lambda *maps: maps, "01")):
        several = TwoMaps(container).eval()
        message = rf"choose one as stage: {names[0]} \(1, 8, 32, 40\), {names[1]} \(1, 4, 32, 40\)"
        refused(ValueError, message, build_feature_extractor, several)
        trunk = several.trunk(IMAGES)
        view = build_feature_extractor(several, f"{names[1]}+{names[0]}")
        torch.testing.assert_close(view(IMAGES), torch.cat([several.head(trunk), trunk], dim=1))
        assert view.stride == 8
        refused(ValueError, f"stage 'c': TwoMaps has {names[0]}, {names[1]}", build_feature_extractor, several, "c")


@torch.no_grad()
def test_extractors_of_torchvision_have_their_own_stages():
    """Those of timm are in test_kinds.py."""
    network, images = TinyResNet().eval(), IMAGES
    extractor = create_feature_extractor(network, {"layer1": "fine", "layer4": "coarse"})
    refused(ValueError, "choose one as stage: fine ", build_feature_extractor, extractor)
    for name, found in extractor(images).items():
        torch.testing.assert_close(build_feature_extractor(extractor, name)(images), found)
    last = create_feature_extractor(network, ["layer3"])
    torch.testing.assert_close(build_feature_extractor(last)(images), last(images)["layer3"])
    refused(
        ValueError,
        "layer3 of TinyResNet has stride 16, not 8: leave stride out",
        build_feature_extractor,
        last,
        "layer3",
        8,
    )


WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel, ModelEma, ModelEmaV2, ModelEmaV3)


def test_a_wrapper_is_known_by_the_network_inside(tmp_path):
    wrappers = [*WRAPPERS, lambda network: SimpleNamespace(_orig_mod=network)]  # as torch.compile, slow to import
    init_process_group("gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)  # one of them asks
    try:
        for wrapper, make in product(wrappers, (Trunk, own_method, TinyResNet)):
            network = make()
            view, expected = build_feature_extractor(wrapper(network)), build_feature_extractor(network)
            assert (type(view), view.stride) == (type(expected), 8)
            assert torch.equal(view(IMAGES), expected(IMAGES))
    finally:
        destroy_process_group()


def test_a_stated_stride_and_a_multiple_are_taken():
    assert build_feature_extractor("tests.helpers.encoders:Patches").stride == 24
    network = Classifier(functools.partial(nn.functional.interpolate, scale_factor=2.0))
    network.multiple = 8
    doubled = build_feature_extractor(network)
    assert (doubled.stride, doubled.multiple) == (4, 8)
    for network, stride in ((nn.Identity(), 1), (ConvNormAct(3, 4, stride=2), 2), (nn.PixelUnshuffle(64), 64)):
        assert build_feature_extractor(network).stride == stride  # the coarsest has 4 × 5 cells
