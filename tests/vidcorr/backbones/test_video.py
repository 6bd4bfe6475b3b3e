"""Encoders of video against the public notebook's numbers: windows, padding, up-sampling in time, states."""

import json

import numpy as np
import pytest
import torch

from lightning_modules import FrozenEncoder
from tests.helpers.encoders import clip_network, recurrent_step
from tests.helpers.references import GOLDEN
from tests.helpers.refusal import refused
from vidcorr.backbones import Clips, Recurrent, build_feature_extractor


@pytest.fixture(scope="module")
def frames(golden):
    return torch.from_numpy(golden("video_encoders/frames")["video"][:, :, :40]).float() / 255


@pytest.fixture(scope="module")
def clips(golden):
    return {name: torch.from_numpy(value) for name, value in golden("video_encoders/clip").items()}


@pytest.mark.parametrize("encoder", ["conv", "mix"])
@pytest.mark.parametrize("rule", ["trilinear", "cubic"])
def test_clips_equal_the_notebook(encoder, rule, frames, clips):
    options = {"upsampling": "cubic", "mean": None} if rule == "cubic" else {}
    made = Clips(clip_network(clips, encoder == "mix"), **options)
    for length in clips["lengths"].tolist():
        expected = clips[f"{encoder}_{rule}_T{length}"]
        found = torch.stack(list(made.encode(iter(frames[:length])))).permute(0, 2, 3, 1)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (made.stage, made.stride) == ("features", 8)


def test_frames_may_come_before_channels(frames, clips):
    net = clip_network(clips)
    plain, other = Clips(net), Clips(lambda clip: net(clip.transpose(1, 2)).numpy(), layout="TCHW")
    for one, two in zip(plain.encode(iter(frames[:17])), other.encode(iter(frames[:17])), strict=True):
        assert torch.equal(one, two)


def test_a_window_is_held_and_no_more(clips):
    taken = 0

    def counted():
        nonlocal taken
        for _ in range(40):
            taken += 1
            yield torch.zeros(3, 16, 16)

    maps = Clips(clip_network(clips, mixed=False)).encode(counted())
    seen = [taken for _ in maps]
    assert seen == [16] * 16 + [32] * 16 + [40] * 8


def test_a_recurrent_network_equals_the_notebook_and_begins_anew_with_each_video(golden):
    numbers = {name: torch.from_numpy(value) for name, value in golden("video_encoders/recurrent").items()}
    made = Recurrent(recurrent_step(numbers))
    for name, video in golden("video_encoders/frames").items():
        frames = torch.from_numpy(video[:, :, :40]).float() / 255
        found = torch.stack(list(made.encode(iter(frames)))).permute(0, 2, 3, 1)
        torch.testing.assert_close(found, numbers[name], rtol=0, atol=1e-5)
    assert made.stride == 8


def test_a_callable_may_give_an_encoder_of_video():
    made = build_feature_extractor("tests.helpers.encoders:recurrent")
    assert isinstance(made, Recurrent)
    assert build_feature_extractor(made) is made
    assert [one.shape for one in made.encode(iter(torch.zeros(2, 3, 32, 32)))] == [(8, 4, 4)] * 2
    message = "a video encoder has one stage and stride; leave both arguments out"
    refused(ValueError, message, build_feature_extractor, made, "res4")
    frozen = FrozenEncoder("tests.helpers.encoders:recurrent")
    assert isinstance(frozen.feature_extractor(), Recurrent)


@pytest.mark.slow
def test_v_jepa_2_by_name_at_other_sizes_than_the_trained_one_equals_the_notebook(golden):
    """A tiny model with random weights."""
    pytest.importorskip("transformers", reason="the extra transformers is not installed")
    frames = torch.from_numpy(golden("video_encoders/frames")["video"]).float() / 255
    numbers = golden("video_encoders/vjepa2")
    encoder = build_feature_extractor(f"transformers:{GOLDEN}/video_encoders/vjepa2_tiny")
    wide = {f"wide_T{length}": frames[:length, :, :40] for length in (5, 16, 17, 31)}
    for name, video in (wide | {"square_T17": frames[:17, :, :, :48]}).items():
        found = torch.stack(list(encoder.encode(iter(video)))).permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(found, numbers[name], rtol=0, atol=2e-5)
    assert abs(numbers["wide_T5"] - numbers["wide_plain_library_T5"]).max() > 1  # the library's own positions
    assert encoder.stride == 8


def test_other_models_by_name_and_other_clips_are_one_line(tmp_path):
    refused(ValueError, "layout must be", Clips, clip_network, layout="THWC")
    refused(ValueError, "window must be a multiple of tubelet", Clips, clip_network, window=15)
    pytest.importorskip("transformers", reason="the extra transformers is not installed")
    refused(ValueError, "cannot be loaded", build_feature_extractor, f"transformers:{tmp_path / 'nowhere'}")
    config = json.loads((GOLDEN / "video_encoders/vjepa2_tiny/config.json").read_text())
    others = {
        "a dinov2; only vjepa2 is read by name": config | {"model_type": "dinov2"},
        "fields that are not known here: interpolate_rope, use_rope_interleave": config
        | {"interpolate_rope": True, "use_rope_interleave": True},  # V-JEPA 2.1
    }
    for message, fields in others.items():
        (tmp_path / "config.json").write_text(json.dumps(fields))
        refused(ValueError, message, build_feature_extractor, f"transformers:{tmp_path}")
