"""Transformers as maps: DINO's positions, overlapping patches, several blocks."""

import numpy as np
import pytest
import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer

from tests.helpers.refusal import refused
from tests.helpers.regenerated import regenerated
from vidcorr.backbones import build_network, extractor_of
from vidcorr.backbones.vit import dino_positions
from vidcorr.protocols import PropagationProtocol
from vidcorr.tracking.frame_encoder import extractor_under

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
def test_blocks_are_concatenated_from_one_pass(monkeypatch):
    network, images = build_network(TINY), torch.rand(1, 3, 64, 96)
    embed, passes = PatchEmbed.forward, []
    monkeypatch.setattr(PatchEmbed, "forward", lambda *given: passes.append(1) or embed(*given))
    protocol = PropagationProtocol.named("dino").with_changes(feature_stride=16)
    views = [extractor_of(network, stage) for stage in ("block12+block9", "block9", "block12")]
    both, ninth, twelfth = (extractor_under(view, protocol)(images) for view in views)
    assert (views[0].stage, views[0].stride, len(passes)) == ("block12+block9", 16, 3)
    assert torch.equal(both, torch.cat([twelfth, ninth], dim=1))
    refused(ValueError, "block13", extractor_of, network, "block9+block13")


def patches(extractor, images):
    """Return the map of the network's first convolution, and the extractor's own map."""
    found = []
    extractor.network.patch_embed.proj.register_forward_hook(lambda module, inputs, output: found.append(output))
    features = extractor(images)
    return found[0], features


@pytest.mark.slow
def test_overlapping_patches_are_those_of_a_shifted_image():
    network = build_network("timm:vit_small_patch14_reg4_dinov2")
    patch = network.patch_embed.proj.kernel_size[0]
    step = patch // 2
    extractor = extractor_of(network, "block1", step)
    assert (extractor.stride, extractor.multiple) == (step, step)
    assert network.patch_embed.proj.stride == (patch, patch)
    images, left = torch.rand(1, 3, 5 * patch, 6 * patch), (patch - step) // 2
    overlapping, features = patches(extractor, images)
    assert features.shape[2:] == overlapping.shape[2:] == (10, 12)
    apart, _ = patches(extractor_of(network, "block1"), torch.roll(images, (left, left), dims=(2, 3)))
    torch.testing.assert_close(overlapping[..., 2::2, 2::2], apart[..., 1:, 1:], rtol=1e-4, atol=1e-4)
    assert extractor(images[..., :-3, :-5]).shape[2:] == (10, 12)


def test_a_transformer_of_one_size_is_refused_with_the_remedy():
    network = VisionTransformer(64, 8, num_classes=0, embed_dim=48, depth=1, num_heads=3)
    refused(ValueError, r"dynamic_img_size=True, or name it timm:", extractor_of, network)
