"""Networks of torchvision that end in a classifier give their last map, and train; others are refused by name."""

import pytest
import torch
from torchvision.models import get_model_builder, list_models

from lightning_modules import VFSSimSiam
from tests.helpers.refusal import refused
from vidcorr.backbones import build_feature_extractor, build_network, pooled_width

WITH_MAPS = {
    "alexnet": (256, 32),
    "convnext_tiny": (768, 32),
    "densenet121": (1024, 32),
    "efficientnet_b0": (1280, 32),
    "mnasnet0_5": (1280, 32),
    "mobilenet_v2": (1280, 32),
    "mobilenet_v3_small": (576, 32),
    "regnet_y_400mf": (440, 32),
    "shufflenet_v2_x0_5": (1024, 32),
    "squeezenet1_1": (512, 16),
    "swin_t": (768, 32),
    "vgg11": (512, 32),
}
"""Name → channels and stride of the last map, as the papers state them."""
UNPADDED = ("alexnet", "squeezenet1_1")  # their maps lack cells at the border


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_MAPS)
def test_they_give_their_last_map(name):
    spec = f"torchvision:{name}"
    channels, stride = WITH_MAPS[name]
    if name in UNPADDED:
        assert refused(ValueError, "its convolutions lack padding", build_feature_extractor, spec)
        return
    extractor = build_feature_extractor(spec)
    assert extractor.stride == stride
    with torch.no_grad():
        assert extractor(torch.rand(1, 3, 256, 192)).shape == (1, channels, 256 // stride, 192 // stride)


def test_a_map_is_that_of_the_library():
    network = build_network("torchvision:mobilenet_v3_small").eval()
    extractor = build_feature_extractor("torchvision:mobilenet_v3_small")
    extractor.network.network.load_state_dict(network.state_dict())
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(extractor(images), network.features(extractor.normalise(images)))
    assert pooled_width(network) == 576


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit_b_16", "fcn_resnet50", "fasterrcnn_resnet50_fpn", "raft_small", "r3d_18"])
def test_others_are_refused_in_a_line(name):
    assert refused(ValueError, f"torchvision:{name}: gives no map", build_network, f"torchvision:{name}")


def test_every_family_of_the_library_is_known():
    """A family is a file of torchvision; a new one must be added to a list of this test."""
    files = {get_model_builder(name).__module__.removeprefix("torchvision.models.") for name in list_models()}
    images = {file for file in files if "." not in file}
    tried = {get_model_builder(name).__module__.removeprefix("torchvision.models.") for name in WITH_MAPS}
    assert images - tried == {"resnet", "vision_transformer", "maxvit", "googlenet", "inception"}


def test_a_network_that_ends_with_a_classifier_does_not_train():
    message = r"ends with the linear layer fc, as a classifier does: .* network\.fc = torch\.nn\.Identity\(\)"
    assert refused(ValueError, message, VFSSimSiam, "torchvision.models:resnet18")
