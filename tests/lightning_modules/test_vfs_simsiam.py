"""The module around the loss: two views, stopped gradient, training in half precision."""

import pytest
import torch

from tests.helpers.refusal import refused
from tests.helpers.training import TINY, loader, quiet_trainer
from vidcorr.functional.losses import simsiam_loss
from vidcorr.lightning_modules import VFSMoCo, VFSSimSiam


def test_step_pulls_the_first_half_of_the_frames_towards_the_last():
    module = VFSSimSiam(**TINY).eval()
    clip = torch.rand(3, 4, 3, 32, 32)
    (p1, z1), (p2, z2) = module(clip[:, :2]), module(clip[:, 2:])
    assert p1.shape == z1.shape == (3, 2, 16)
    published = module.step({"clip": clip})
    assert torch.allclose(published["loss"], simsiam_loss(p1, z1, p2, z2))
    assert published["embeddings"].shape == (6, 16)
    assert not published["embeddings"].requires_grad
    refused(ValueError, "3 frames has no two halves", module.step, {"clip": clip[:, :3]})


@pytest.mark.parametrize("method", [VFSSimSiam, VFSMoCo])
def test_sgd_has_the_weight_decay_and_the_momentum_of_the_method(method):
    module = method(TINY["backbone"], weight_decay=0.25, momentum=0.5, base_lr=8.0)
    module.total_steps = lambda: 4
    module.global_batch = lambda: 64
    (group,) = module.configure_optimizers()["optimizer"].param_groups
    assert (group["weight_decay"], group["momentum"], group["lr"]) == (0.25, 0.5, 2.0)


def test_an_encoder_that_gives_maps_is_trained_on_their_mean():
    """It takes RGB in [0, 1] in training as in benchmarks."""
    module = VFSSimSiam(**TINY | {"backbone": "tests.helpers.encoders:Wrapped"}).eval()
    clip = torch.rand(2, 2, 3, 32, 32)
    maps = module.feature_extractor()(clip.flatten(0, 1))
    assert maps.shape == (4, 4, 8, 8)
    torch.testing.assert_close(module(clip)[1].flatten(0, 1), module.projector(maps.mean((2, 3))))


def test_it_trains_and_gives_features_in_bfloat16():
    module = VFSSimSiam(**TINY)
    quiet_trainer(max_epochs=1, precision="bf16-true").fit(module, loader(8, 4, size=32))
    assert {p.dtype for p in module.parameters()} == {torch.bfloat16}
    assert module.feature_extractor("res4")(torch.rand(1, 3, 32, 32)).dtype == torch.bfloat16
