"""Transformers as maps: DINO's positions, networks of one size."""

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from tests.helpers.refusal import refused
from tests.helpers.regenerated import regenerated
from vidcorr.backbones import build_network, extractor_of
from vidcorr.backbones.vit import dino_positions

pytestmark = pytest.mark.usefixtures("no_gradients")

TINY = "timm:vit_tiny_patch16_224"


@pytest.mark.slow
def test_dinos_positions_equal_those_of_its_code(golden):
    content = golden("protocols/e2e_dino")
    network = regenerated(build_network(TINY), int(content["weight_seed"]))
    found = dino_positions(network.pos_embed, (14, 14), (30, 52))
    rows = found[0, 1:] if len(content["pos_interp_s"]) == -(-30 * 52 // 40) else found[0]
    np.testing.assert_allclose(rows[::40].detach().numpy().reshape(-1), content["pos_interp_s"].reshape(-1), atol=1e-6)
    extractor, images = extractor_of(network), torch.rand(1, 3, 64, 96)
    antialiased = extractor(images)
    extractor.positions = "dino"
    assert not torch.allclose(extractor(images), antialiased, atol=1e-3)


@pytest.mark.slow
def test_blocks_are_concatenated():
    network, images = build_network(TINY), torch.rand(1, 3, 64, 96)
    protocol = PropagationProtocol.named("dino").with_changes(feature_stride=16)
    views = [extractor_under(extractor_of(network, stage), protocol) for stage in ("block9+block12", "block9", "block12")]
    both, ninth, twelfth = (view(images) for view in views)
    assert (views[0].stage, views[0].stride) == ("block9+block12", 16)
    assert torch.equal(both, torch.cat([ninth, twelfth], dim=1))
    refused(ValueError, "block13", extractor_of, network, "block9+block13")


def test_a_transformer_of_one_size_is_refused_with_the_remedy():
    network = VisionTransformer(64, 8, num_classes=0, embed_dim=48, depth=1, num_heads=3)
    refused(ValueError, r"dynamic_img_size=True, or name it timm:", extractor_of, network)
