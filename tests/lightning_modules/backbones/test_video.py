"""Encoders of video against the public notebook's numbers: windows, padding, up-sampling in time, states."""

import numpy as np
import pytest
import torch
from torch.nn.functional import conv3d

from lightning_modules import FrozenEncoder
from lightning_modules.backbones import CLIP_FAMILIES, Clips, Recurrent, build_feature_extractor
from tests.helpers.rvm import rvm_step


@pytest.fixture(scope="module")
def frames(golden):
    return torch.from_numpy(golden("video_encoders/frames")["video"][:, :, :40]).float() / 255


@pytest.fixture(scope="module")
def clips(golden):
    return {name: torch.from_numpy(value) for name, value in golden("video_encoders/clip").items()}


def toy(numbers, mixed):
    """The clip networks of the golden file's README, section 4."""

    def net(clip):
        z = conv3d(clip, numbers["weight"], numbers["bias"], stride=(2, 8, 8))
        if not mixed:
            return z
        z = torch.tanh(z)
        return z + torch.einsum("dc,nchw->ndhw", numbers["mix"], z.mean(2)).unsqueeze(2)

    return net


@pytest.mark.parametrize("encoder", ["conv", "mix"])
@pytest.mark.parametrize("rule", ["trilinear", "cubic"])
def test_clips_equal_the_notebook(encoder, rule, frames, clips):
    made = Clips(toy(clips, encoder == "mix"), **CLIP_FAMILIES["4ds" if rule == "cubic" else "videomae"])
    for length in clips["lengths"].tolist():
        expected = clips[f"{encoder}_{rule}_T{length}"]
        found = torch.stack(list(made.encode(iter(frames[:length])))).permute(0, 2, 3, 1)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (made.stage, made.stride) == ("features", 8)


def test_frames_may_come_before_channels(frames, clips):
    net = toy(clips, True)
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

    maps = Clips(toy(clips, False)).encode(counted())
    seen = [taken for _ in maps]
    assert seen == [16] * 16 + [32] * 16 + [40] * 8


def toy_step(numbers):
    """The recurrent network of the golden file's README, section 5."""
    w = {name: torch.from_numpy(value) for name, value in numbers.items()}

    def step(frame, state):
        e = torch.nn.functional.conv2d(frame[None], w["embed_weight"], w["embed_bias"], stride=8)[0]
        size, e = e.shape[1:], e.flatten(1).T
        tokens = torch.cat([(w["cls"].view(1, -1) + e.mean(0, keepdim=True)), e])
        s = torch.zeros_like(tokens) if state is None else state
        u = torch.sigmoid(tokens @ w["input_update"] + s @ w["state_update"])
        r = torch.sigmoid(tokens @ w["input_reset"] + s @ w["state_reset"])
        n = torch.tanh(tokens @ w["input_new"] + (r * s + (r * s).mean(0)) @ w["state_new"])
        s = (1 - u) * s + u * n
        return s[1:].T.unflatten(1, size), s

    return step


def test_a_state_is_carried_and_begins_anew(golden):
    numbers, videos = golden("video_encoders/recurrent"), golden("video_encoders/frames")
    made = Recurrent(toy_step(numbers))
    for name in ("video", "video_b"):
        given = torch.from_numpy(videos[name][:, :, :40]).float() / 255
        found = torch.stack(list(made.encode(iter(given)))).permute(0, 2, 3, 1)
        torch.testing.assert_close(found, torch.from_numpy(numbers[name]), rtol=0, atol=1e-5)
    assert made.stride == 8


def test_rvms_own_network_equals_the_notebook(frames, golden):
    numbers = golden("video_encoders/rvm_tiny")
    made = Recurrent(rvm_step({name: array for name, array in numbers.items() if name != "features"}, grid=4))
    found = torch.stack(list(made.encode(iter(frames[:6])))).permute(0, 2, 3, 1)
    torch.testing.assert_close(found, torch.from_numpy(numbers["features"]), rtol=0, atol=1e-5)


def recurrent():
    """A callable that a command line names."""
    return Recurrent(lambda frame, state: (np.zeros((2, 4, 4), np.float32), None))


def test_a_callable_may_give_an_encoder_of_video():
    made = build_feature_extractor("tests.lightning_modules.backbones.test_video:recurrent")
    assert isinstance(made, Recurrent)
    assert build_feature_extractor(made) is made
    assert [one.shape for one in made.encode(iter(torch.zeros(2, 3, 32, 32)))] == [(2, 4, 4)] * 2
    with pytest.raises(ValueError, match="an encoder of video has its own stage and stride; leave them out"):
        build_feature_extractor(made, "res4")
    frozen = FrozenEncoder("tests.lightning_modules.backbones.test_video:recurrent")
    assert isinstance(frozen.feature_extractor(), Recurrent)
