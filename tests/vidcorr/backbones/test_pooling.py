"""A method trains the mean of the map that benchmarks score, for each kind of network, with gradient."""

import pytest
import torch
from torch import nn

from tests.helpers import networks
from tests.helpers.encoders import TinyResNet
from tests.helpers.refusal import refused
from vidcorr.backbones import pooled, pooled_width
from vidcorr.lightning_modules import VFSMoCo, VFSSimSiam

KINDS = ["timm:vit_tiny_patch16_224", "timm:vit_tiny_patch16_dinov3_qkvb", "timm:deit_tiny_distilled_patch16_224"]
KINDS += [f"tests.helpers.networks:{name}" for name in ("plain", "Tokens", "OfHub", "Dino")]
"""Names of networks whose vector was another than the mean of their map, or which a method refused."""


@pytest.mark.parametrize("spec", KINDS)
@pytest.mark.parametrize("kind", [VFSSimSiam, VFSMoCo])
def test_the_vector_of_training_is_the_mean_of_the_scored_map(kind, spec):
    torch.manual_seed(0)
    method = kind(spec).eval()
    images = torch.rand(2, 3, 64, 64)
    vector = method.embed(images)
    expected = method.feature_extractor()(images).mean(dim=(2, 3))
    torch.testing.assert_close(vector, expected, atol=1e-5, rtol=1e-4)
    assert vector.shape[1] == pooled_width(method.backbone)
    method.train().step({"clip": torch.rand(4, 2, 3, 64, 64), "video_index": torch.arange(4)})["loss"].backward()
    learned = [name for name, weights in method.backbone.named_parameters() if weights.grad is not None]
    assert learned


def test_a_resnets_vector_is_its_own_pooled_feature_to_the_bit():
    network = TinyResNet().eval()
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(pooled(network, images), network(images))


def test_an_output_without_a_vector_or_a_map_is_refused():
    refused(ValueError, "Several: expected a map", pooled_width, networks.Several())
    classifier = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    refused(ValueError, "Sequential: ends with a classifier, 3: put torch.nn.Identity", pooled_width, classifier)
