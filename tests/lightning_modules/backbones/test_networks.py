"""Networks by name, copies over the same tensors, and their width."""

import pytest
import torch

from lightning_modules.backbones import build_feature_extractor, build_network, extractor_of
from tests.helpers.refusal import refused


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


@pytest.mark.parametrize(
    ("name", "meant"), [("raw_color", "raw_colour"), ("dino-b88", "timm:vit_base_patch8_224.dino")]
)
def test_a_name_near_a_known_one_is_suggested(name, meant):
    refused(ValueError, rf"backbone '{name}': did you mean {meant}\? write timm:NAME", build_feature_extractor, name)
