"""Liir's encoder: shapes, strides, position maps, and the view of it that benchmarks see.

Also tests `functional/position.py`.
"""

import pytest
import torch
from torch import nn

from tests.helpers.foreign import enliven
from vidcorr.backbones import LiirEncoder, build_feature_extractor
from vidcorr.functional.colour import normalised_lab
from vidcorr.lightning_modules import Liir

pytestmark = pytest.mark.usefixtures("no_gradients")


def randomised(position="1dape") -> LiirEncoder:
    """An encoder whose zeros, running statistics included, are numbers."""
    encoder = LiirEncoder(position, position_size=8)
    enliven(encoder)
    for parameter in encoder.position.parameters():
        nn.init.normal_(parameter)
    return encoder.eval()


def test_view_of_a_module_shares_weights_and_sees_all_of_lab():
    module = Liir(position_size=8, bank={"frames": 0})
    view = build_feature_extractor(module)
    images = torch.rand(1, 3, 32, 32)
    module.eval()
    module.backbone.affinity.weight.mul_(2)
    torch.testing.assert_close(view(images), module.backbone(normalised_lab(images)))
    assert (view.stage, view.stride, view.multiple) == ("affinity", 4, 4)
    expected = view(images)
    assert torch.equal(build_feature_extractor(module.train())(images), expected)
    assert module.backbone.training


def test_residual_blocks_start_at_zero():
    encoder, seen = LiirEncoder(position_size=8), []
    assert encoder.conv1.weight.std().item() == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.05)  # by the fan out
    assert encoder.affinity.weight.abs().max() <= (256 * 9) ** -0.5  # as torch starts it
    encoder.conv1.register_forward_pre_hook(lambda module, inputs: seen.extend(inputs))
    encoder.stem(torch.rand(1, 3, 16, 16))
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in (*seen, encoder.conv1.weight))
    for layer in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4):
        assert all(block.bn2.weight.eq(0).all() for block in layer)


@pytest.mark.parametrize("kind", ["1dape", "2dape", "2dspe", "none"])
@torch.enable_grad()
def test_a_map_moves_features_and_learns(kind):
    encoder = randomised(kind)
    lab = torch.zeros(1, 3, 16, 16)
    learned = list(encoder.position.parameters())
    bare = encoder.bn1(encoder.conv1(lab)).relu()
    position = encoder.position(bare.shape[2:])
    assert (position is None) == (kind == "none")
    assert torch.equal(encoder.stem(lab), bare if position is None else bare + position)
    encoder(lab).square().sum().backward()
    assert all(parameter.grad.ne(0).any() for parameter in learned)
