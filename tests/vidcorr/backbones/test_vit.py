"""Transformers as maps: DINO's positions, overlapping patches, several blocks."""

import pytest
import torch
from timm.layers import PatchEmbed
from torch import nn

from tests.helpers.encoders import tiny_vit
from tests.helpers.refusal import refused
from vidcorr.backbones import build_feature_extractor
from vidcorr.backbones.vit import dino_positions, positions_set
from vidcorr.protocols import PointProtocol, PropagationProtocol
from vidcorr.tracking.frame_encoder import adapted

pytestmark = pytest.mark.usefixtures("no_gradients")


def test_blocks_are_concatenated_from_one_pass_and_the_final_norm_may_be_left_out(monkeypatch):
    network, images = tiny_vit(), torch.rand(1, 3, 48, 64)
    nn.init.normal_(network.norm.weight)
    embed, passes = PatchEmbed.forward, []
    monkeypatch.setattr(PatchEmbed, "forward", lambda *given: passes.append(1) or embed(*given))
    views = [build_feature_extractor(network, stage) for stage in ("block2+block1", "block1", "block2")]
    passes.clear()
    both, first, second = (view(images) for view in views)
    assert (views[0].stage, views[0].stride, len(passes)) == ("block2+block1", 8, 3)
    assert torch.equal(both, torch.cat([second, first], dim=1))
    assert torch.equal(build_feature_extractor(network)(images), second)
    for rules in (PropagationProtocol.named("vidcorr"), PointProtocol.named("fomo")):
        bare = adapted(views[2], rules.with_changes(final_norm=False))(images)
        torch.testing.assert_close(network.norm(bare.flatten(2).mT).mT.unflatten(2, (6, 8)), second)
        assert torch.equal(adapted(views[2], rules)(images), second)
    refused(ValueError, "VisionTransformer has block1, block2; null", build_feature_extractor, network, "block1+block3")


def test_dinos_positions_are_of_the_padded_image_and_the_network_keeps_its_own():
    network, images = tiny_vit((32, 48)), torch.rand(1, 3, 41, 61)
    nn.init.normal_(network.pos_embed)
    own, grid = network.pos_embed, network.patch_embed.grid_size
    extractor = build_feature_extractor(network, "block1")
    antialiased = extractor(images)
    extractor.positions = "dino"
    found = extractor(images)
    assert not torch.allclose(found, antialiased, atol=1e-3)
    with positions_set(network, dino_positions(own, grid, (6, 8)), (6, 8)):
        expected = build_feature_extractor(network, "block1")(images)
    torch.testing.assert_close(found, expected)
    assert network.pos_embed is own
    assert network.patch_embed.grid_size == grid
    extractor.positions = "network"
    assert torch.equal(extractor(images), antialiased)
    trained = torch.rand(1, 3, 32, 48)  # of the trained grid: nothing is interpolated
    plain = extractor(trained)
    extractor.positions = "dino"
    assert torch.equal(extractor(trained), plain)


def test_overlapping_patches_are_those_of_a_shifted_image():
    network, images = tiny_vit(), torch.rand(1, 3, 40, 48)
    network.blocks[0] = nn.Identity()  # a cell sees its patch alone
    network.pos_embed.zero_()
    overlapping, apart = build_feature_extractor(network, "block1", 4), build_feature_extractor(network, "block1")
    found, shifted = overlapping(images), apart(torch.roll(images, (2, 2), dims=(2, 3)))
    assert (overlapping.stride, overlapping.multiple, apart.stride) == (4, 4, 8)
    assert found.shape[2:] == overlapping(images[..., :-3, :-2]).shape[2:] == (10, 12)
    torch.testing.assert_close(found[..., 2::2, 2::2], shifted[..., 1:, 1:], rtol=1e-4, atol=1e-4)
