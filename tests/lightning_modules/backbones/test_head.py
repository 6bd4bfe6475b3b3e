"""A user's own head over features."""

import pytest
import torch

from lightning_modules import FrozenEncoder
from lightning_modules.backbones import build_head, module_from_checkpoint
from lightning_modules.checkpoints import write_checkpoint
from tests.helpers.refusal import refused

DOUBLING = "tests.helpers.encoders:Doubling"


def test_a_users_upsampler_works_over_any_encoder(tmp_path):
    module, images = FrozenEncoder("timm:vit_tiny_patch16_224", head=DOUBLING), torch.rand(1, 3, 96, 128)
    extractor = module.feature_extractor("block3")
    assert (extractor.stride, extractor.stage) == (8, "block3")
    with torch.inference_mode():
        plain, found = module.encoder.feature_extractor("block3")(images), extractor(images)
    assert found.shape == (1, 195, 12, 16)
    assert torch.equal(found[:, :192, ::2, ::2], plain)
    with torch.no_grad():
        module.head.scale.fill_(2.0)
    write_checkpoint(module, tmp_path / "a.ckpt")
    assert module_from_checkpoint(tmp_path / "a.ckpt").head.scale == 2
    with torch.inference_mode():
        assert torch.equal(module.feature_extractor("block3")(images)[:, :192, ::2, ::2], 2 * plain)


@pytest.mark.parametrize("spec", ["Doubling", "nowhere:head", "os:getcwd"])
def test_anything_but_a_head_is_refused(spec):
    refused(ValueError, r"head|cannot import it|expected a torch\.nn\.Module", build_head, spec)
