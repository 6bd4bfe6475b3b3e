"""Upsamplers of features: by interpolation, and a user's own; the stride, the trust and the protocol say the truth."""

import pytest
import torch
from torch import nn

from lightning_modules import FrozenEncoder
from tests.helpers.encoders import guided
from tests.helpers.refusal import refused
from vidcorr import DavisBenchmark
from vidcorr.backbones import (
    Network,
    UpsampledExtractor,
    build_encoder,
    build_feature_extractor,
    build_upsampler,
    module_from_checkpoint,
)
from vidcorr.backbones.checkpoints import write_checkpoint
from vidcorr.functional import PropagationProtocol
from vidcorr.tracking.frame_encoder import frame_features


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_interpolation_refines_every_stage_of_one_pass(mode):
    images = torch.rand(2, 3, 64, 96)
    plain = build_feature_extractor("timm:convnext_atto", ["stage2", "stage3"])
    fine = build_encoder("timm:convnext_atto", upsample=f"{mode}:2")
    fine.encoder.network.load_state_dict(plain.network.state_dict())
    extractor = fine.feature_extractor(["stage2", "stage3"])
    assert (extractor.stride, extractor.multiple) == ([4, 8], plain.multiple)
    for coarse, found in zip(plain(images), extractor(images), strict=True):
        torch.testing.assert_close(found, nn.functional.interpolate(coarse, scale_factor=2, mode=mode))
    assert Network.of(fine).name == f"convnext_atto upsampled by {mode}:2"


def test_a_users_function_sees_the_frame_as_the_network_did():
    """A guided upsampler, four times; the protocol's normalisation reaches the frame that guides it."""
    extractor = build_feature_extractor("raw_colour", stride=16, upsample="tests.helpers.encoders:guided")
    assert extractor.stride == 4
    images = torch.rand(2, 3, 64, 96)
    coarse, frame = extractor.inner(images), extractor.inner.normalise(images)
    expected = torch.cat([guided(frame[i : i + 1], coarse[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(extractor(images), expected)
    assert expected.shape == (2, 3, 16, 24)
    protocol = PropagationProtocol.named("vfs").with_changes(rgb_mean=(0.0, 0.0, 0.0), rgb_std=(1.0, 1.0, 1.0))
    found, _ = frame_features(extractor, images, protocol)
    plain = nn.functional.avg_pool2d(images, 16)
    torch.testing.assert_close(found, torch.cat([guided(images[i : i + 1], plain[i : i + 1]) for i in range(2)]))


@pytest.mark.slow
def test_a_users_module_is_kept_in_checkpoints(tmp_path):
    module = FrozenEncoder("timm:vit_tiny_patch16_224", upsample="tests.helpers.encoders:Doubling")
    images = torch.rand(1, 3, 96, 128)
    extractor = module.feature_extractor("block3")
    assert (extractor.stride, extractor.stage) == (8, "block3")
    plain, found = module.encoder.feature_extractor("block3")(images), extractor(images)
    assert found.shape == (1, 195, 12, 16)
    assert torch.equal(found[:, :192, ::2, ::2], plain)
    module.upsampler.scale.data.fill_(2.0)
    write_checkpoint(module, tmp_path / "a.ckpt")
    assert module_from_checkpoint(tmp_path / "a.ckpt").upsampler.scale == 2
    assert torch.equal(module.feature_extractor("block3")(images)[:, :192, ::2, ::2], 2 * plain)
    extractor.positions = "dino"
    assert not torch.equal(extractor(images)[:, :192], 2 * found[:, :192])


def test_a_checkpoint_names_an_upsampler_of_ours_but_no_code(tmp_path):
    module = FrozenEncoder("raw_colour", upsample="bilinear:2")
    write_checkpoint(module, tmp_path / "ours.ckpt")
    assert module_from_checkpoint(tmp_path / "ours.ckpt").feature_extractor().stride == 4
    module.hparams["upsample"] = "antigravity_of_nobody:fly"
    write_checkpoint(module, tmp_path / "code.ckpt")
    refused(ValueError, "antigravity_of_nobody:fly", module_from_checkpoint, tmp_path / "code.ckpt")
    module.hparams.update(spec="bilinear:2", upsample=None)  # a file may not have a module `bilinear` imported either
    write_checkpoint(module, tmp_path / "name.ckpt")
    refused(ValueError, "bilinear:2", module_from_checkpoint, tmp_path / "name.ckpt")


@pytest.mark.parametrize(
    "spec", ["Doubling", "bilinear", "bilinear:0", "bilinear:2.5", "timm:list_models", "nowhere:fly", "math:pi"]
)
def test_anything_but_an_upsampler_is_refused(spec):
    assert refused(ValueError, "upsample", build_upsampler, spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tests.helpers.encoders:not_a_multiple", r"a multiple of 32 x 40 cells, got \(1, 3, 19, 23\)"),
        ("bilinear:3", "upsampling 3 times: 3 does not divide cells of 8 px"),
    ],
)
def test_a_grid_that_does_not_fit_is_refused(spec, message):
    assert refused(ValueError, message, build_feature_extractor, "raw_colour", upsample=spec)


def test_maps_of_an_encoder_of_video_are_not_upsampled():
    assert refused(ValueError, "cannot be upsampled", UpsampledExtractor, nn.Identity(), build_upsampler("bilinear:2"))


def test_an_upsampler_of_one_size_is_refused_at_the_first_frame_of_another_size():
    extractor = build_feature_extractor("raw_colour", upsample="tests.helpers.encoders:of_fixed_size")
    assert extractor.stride == 4
    assert refused(
        ValueError, r"expected 2 times 12 x 16 cells, got \(1, 3, 64, 80\)", extractor, torch.rand(1, 3, 96, 128)
    )


@pytest.mark.slow
def test_a_benchmark_shows_the_stride_and_a_finer_grid_follows_objects_better(davis_root, tmp_path):
    protocol = PropagationProtocol.named("vfs").with_changes(context=2, radius=6, input_size=96)
    scores = {}
    for upsample in (None, "tests.helpers.encoders:guided"):
        extractor = build_feature_extractor("raw_colour", stride=16, upsample=upsample)
        benchmark = DavisBenchmark(davis_root, protocol=protocol, limit_sequences=1)
        scores[upsample] = benchmark.evaluate(extractor, tmp_path / str(bool(upsample))).scores["J&F-Mean"]
    text = (tmp_path / "True" / "results.json").read_text()
    assert "feature_stride=4" in text
    assert scores["tests.helpers.encoders:guided"] > scores[None]
