"""Encoders of video against the public notebook's numbers: windows, padding, up-sampling in time, states."""

import json
import shutil
from unittest.mock import patch

import numpy as np
import pytest
import torch

from tests.helpers.encoders import Smoothed, clip_network, recurrent_step
from tests.helpers.references import GOLDEN
from tests.helpers.refusal import refused
from vidcorr.backbones import Clips, Input, Recurrent, VideoEncoder, build_feature_extractor, load, weights_digest
from vidcorr.protocols import PropagationProtocol
from vidcorr.tracking.frame_encoder import FrameEncoder


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


@pytest.mark.parametrize("bound", [False, True])
def test_networks_of_video_encoders_are_their_modules(bound):
    network = Smoothed()
    encoder = Recurrent(network.step) if bound else Clips(network, window=2, tubelet=1)
    assert weights_digest(encoder) == weights_digest(network)
    assert network in load(encoder).modules()  # not a copy, so that a Trainer moves it


def test_a_window_is_held_and_no_more(clips):
    taken = []
    frames = (taken.append(number) or torch.zeros(3, 16, 16) for number in range(40))
    seen = [len(taken) for _ in Clips(clip_network(clips, mixed=False)).encode(frames)]
    assert seen == [16] * 16 + [32] * 16 + [40] * 8


def test_recurrent_networks_equal_the_notebook_and_begin_anew_with_each_video(golden):
    toy = golden("video_encoders/recurrent")
    encoder = Recurrent(recurrent_step({name: torch.from_numpy(value) for name, value in toy.items()}))
    for name, video in golden("video_encoders/frames").items():
        frames = torch.from_numpy(video[:, :, :40]).float() / 255
        found = torch.stack(list(encoder.encode(iter(frames)))).permute(0, 2, 3, 1)
        torch.testing.assert_close(found, torch.from_numpy(toy[name]), rtol=0, atol=1e-5)
        assert encoder.stride == 8


HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def of_means(**own):
    return Clips(torch.nn.AvgPool3d((2, 8, 8)), window=2, **own)


@pytest.mark.parametrize("encoder", [of_means(), of_means(mean=None)])
def test_a_stated_input_replaces_that_of_clips(encoder):
    before = load(encoder).input
    found = load(encoder, **HALF).view()
    for features in found.encode(iter(torch.full((2, 3, 16, 16), 0.75))):
        torch.testing.assert_close(features, torch.full_like(features, 0.5))
    assert found.input == Input(**HALF, source="stated by the caller")
    assert load(encoder).input == before


def test_frames_of_other_video_encoders_are_padded_to_their_patches_and_their_input_is_their_own():
    class Frames(VideoEncoder):
        stride, multiple = 16, 16

        def encode(self, frames):
            return (torch.nn.functional.avg_pool2d(frame, 16) for frame in frames)

    frame = torch.full((3, 50, 70), 191, dtype=torch.uint8)
    (features,) = FrameEncoder(Frames(), PropagationProtocol.named("vidcorr")).maps([frame], may_be_constant=True)
    assert features.shape == (3, 4, 5)
    assert abs(features[0, 0, 0] - 191 / 255) < 1e-5
    refused(ValueError, "Frames: makes its input by code of its own", load(Frames(), **HALF).view)


def test_v_jepa_2_by_name_equals_the_notebook_at_any_size_and_no_code_of_the_hub_runs(golden):
    """A tiny model with random weights."""
    transformers = pytest.importorskip("transformers", reason="the extra transformers is not installed")
    frames = torch.from_numpy(golden("video_encoders/frames")["video"]).float() / 255
    numbers = golden("video_encoders/vjepa2")
    name = f"{GOLDEN}/video_encoders/vjepa2_tiny"
    read = transformers.AutoModel.from_pretrained
    with patch.object(transformers.AutoModel, "from_pretrained", wraps=read) as asked:
        encoder = build_feature_extractor(f"transformers:{name}")
    assert asked.call_args.kwargs.items() >= {"trust_remote_code": False, "use_safetensors": True}.items()
    wide = {f"wide_T{length}": frames[:length, :, :40] for length in (5, 16, 17, 31)}
    for name, video in (wide | {"square_T17": frames[:17, :, :, :48]}).items():
        found = torch.stack(list(encoder.encode(iter(video)))).permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(found, numbers[name], rtol=0, atol=2e-5)
    assert abs(numbers["wide_T5"] - numbers["wide_plain_library_T5"]).max() > 1  # the library's own positions
    assert (encoder.window, encoder.tubelet, encoder.layout, encoder.stride) == (16, 2, "TCHW", 8)
    assert not encoder.net.model.training


def test_other_models_by_name_and_other_clips_are_one_line(tmp_path):
    message = "Recurrent: has stage features, not res4"
    refused(ValueError, message, build_feature_extractor, "tests.helpers.encoders:recurrent", "res4")
    view = build_feature_extractor("tests.helpers.encoders:recurrent")
    refused(ValueError, "Recurrent: has dilated False, not True", view.feature_extractor, dilated=True)
    refused(ValueError, "layout must be", Clips, clip_network, layout="THWC")
    refused(ValueError, "upsampling must be", Clips, clip_network, upsampling="linear")
    refused(ValueError, "window must be a multiple of tubelet", Clips, clip_network, window=15)
    pytest.importorskip("transformers", reason="the extra transformers is not installed")
    refused(ValueError, "cannot be loaded", build_feature_extractor, f"transformers:{tmp_path / 'nowhere'}")
    tiny = GOLDEN / "video_encoders/vjepa2_tiny"
    config = json.loads((tiny / "config.json").read_text())
    shutil.copy(tiny / "model.safetensors", tmp_path)
    for message, fields in {"cannot be": {"model_type": "dinov2"}, "V-JEPA 2.1": {"interpolate_rope": True}}.items():
        (tmp_path / "config.json").write_text(json.dumps(config | fields))
        refused(ValueError, message, build_feature_extractor, f"transformers:{tmp_path}")
