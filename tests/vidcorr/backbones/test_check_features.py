"""Extractors and networks that no benchmark can use are refused at once, each with its remedy."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from tests.helpers.encoders import clips, recurrent
from tests.helpers.refusal import refused
from vidcorr.backbones import build_encoder, build_feature_extractor, check_features, extractor_of, weights_digest

TINY = "tests.helpers.encoders:TinyResNet"
LOGITS = r"expected .* got \(1, 10\): leave its pooling and its classifier out, or .*"
REMEDY = r"feature_extractor\(self, stage=None, stride=None\) that returns .*extractor_of\(self\.trunk, stage, stride\)"


def trunk(stride: object = 8, outputs: int = 4) -> nn.Module:
    network = nn.Sequential(nn.Conv2d(3, outputs, 8, 8), nn.BatchNorm2d(outputs), nn.ReLU())
    network.stride = stride
    return network


class Classifier(nn.Module):
    """A user's module with a network of the name of our method."""

    stride = 8

    def __init__(self) -> None:
        super().__init__()
        self.feature_extractor = trunk()
        self.head = nn.Linear(4, 10)

    def forward(self, images):
        return self.head(self.feature_extractor(images).mean((2, 3)))


class Dictionary(Classifier):
    """It returns its map under a name."""

    def forward(self, images):
        return {"map": self.feature_extractor(images)}


class WithoutForward(Classifier):
    """A module that only trains, as many LightningModules are."""

    forward = nn.Module.forward


class Failing(Classifier):
    """It takes frames of 224 px only."""

    def forward(self, images):
        return self.feature_extractor(images).reshape(1, 4, 28, 28)


class Maps(Classifier):
    """Two maps."""

    def forward(self, images):
        return [self.feature_extractor(images)] * 2


class OwnMethod(Classifier):
    """The remedy: a method of our name, over the trunk."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = self._modules.pop("feature_extractor")

    def feature_extractor(self, stage=None, stride=None):
        return extractor_of(self.trunk, stage, stride)


class OtherMethod(OwnMethod):
    """A method of our name with another meaning."""

    def feature_extractor(self, images):
        return self.trunk(images)


USABLE = {
    "stated stride": trunk,
    "view": lambda: extractor_of(trunk(None)),
    "resnet": lambda: build_feature_extractor(TINY, ["res3", "res4"]),
    "dilated": lambda: build_encoder(TINY).feature_extractor("res5", dilated=True),
    "patches of 14 px": lambda: build_feature_extractor("timm:vit_small_patch14_dinov2", "block1"),
    "colour": lambda: build_feature_extractor("raw_colour"),
    "clips": clips,
    "recurrent": recurrent,
    "remedy": lambda: OwnMethod().feature_extractor(),
}


@pytest.mark.parametrize("name", USABLE)
def test_a_usable_extractor_passes_and_stays_as_it_was(name):
    extractor = USABLE[name]()
    training = getattr(extractor, "training", None)
    before = weights_digest(extractor), torch.get_rng_state()
    check_features(extractor)
    assert weights_digest(extractor) == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert getattr(extractor, "training", None) == training


@pytest.mark.parametrize(
    ("extractor", "message"),
    [
        (trunk(None), rf"gives 1 map\(s\), but its attribute stride is None: .*{REMEDY}"),
        (trunk((8, 8)), r"its attribute stride is \(8, 8\)"),
        (trunk([8, 8]), r"gives 1 map\(s\), but its attribute stride is \[8, 8\]"),
        (trunk(4), "32 x 40 cells for a 256 x 320 image are not those of stride 4"),
        (nn.Sequential(trunk(), nn.AvgPool2d(16)), r"its attribute stride is None"),
        (
            Classifier(),
            f"Classifier: {LOGITS}{REMEDY}",
        ),
        (Dictionary(), rf"Dictionary: expected a map \(N, C, h, w\), got dict: return the map itself, or .*{REMEDY}"),
        (Maps(), r"gives 2 map\(s\), but its attribute stride is 8"),
        (Failing(), "fails on a blank frame of 256 x 320: RuntimeError: shape"),
    ],
)
def test_an_unusable_extractor_is_refused(extractor, message):
    assert refused(ValueError, message, check_features, extractor)


def test_crops_need_no_stride():
    check_features(trunk(None), on_grid=False)
    assert refused(ValueError, r"got \(1, 10\)", check_features, Classifier(), on_grid=False)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            Classifier(),
            f"Classifier: {LOGITS}{REMEDY}",
        ),
        (Dictionary(), rf"Dictionary: .*got dict: return the map itself, or .*{REMEDY}"),
        (
            WithoutForward(),
            rf"WithoutForward: fails on a blank .*: NotImplementedError: .*{REMEDY}",
        ),
        (Failing(), rf"Failing: fails on a blank image .* RuntimeError: shape .*{REMEDY}"),
        (
            OtherMethod(),
            r"OtherMethod\.feature_extractor: .*; benchmarks call it as .*\(stage, stride\)",
        ),
    ],
)
def test_a_users_module_is_refused_with_the_remedy(module, message):
    """An attribute `feature_extractor` that is a network is not taken for our method."""
    assert refused(ValueError, message, build_feature_extractor, module)


def test_the_remedy_works():
    extractor = build_feature_extractor(OwnMethod())
    assert extractor(torch.zeros(1, 3, 32, 48)).shape == (1, 4, 4, 6)
    assert extractor.stride == 8
    whole = nn.Sequential(resnet18())
    assert refused(
        ValueError, r"got \(1, 1000\): leave its pooling and its classifier out", build_feature_extractor, whole
    )
