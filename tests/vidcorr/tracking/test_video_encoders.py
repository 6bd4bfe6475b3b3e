"""Encoders of video under label propagation: windows and states inside, one map a frame outside."""

import numpy as np
import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d

from tests.helpers.encoders import clip_network, recurrent, recurrent_step
from tests.helpers.refusal import refused
from vidcorr.backbones import Clips, Recurrent
from vidcorr.protocols import PropagationProtocol
from vidcorr.tracking.frame_encoder import FrameEncoder
from vidcorr.tracking.labels import MaskCoding, follow_labels

CHANGES = {"feature_stride": 8, "input_size": None}


@pytest.fixture(params=["clip_trilinear", "clip_cubic", "recurrent"])
def case(request, golden):
    kind = "recurrent" if request.param == "recurrent" else "clip"
    numbers = {name: torch.from_numpy(value) for name, value in golden(f"video_encoders/{kind}").items()}
    if kind == "recurrent":
        return request.param, Recurrent(recurrent_step(numbers))
    cubic = {"upsampling": "cubic", "mean": None} if "cubic" in request.param else {}
    return request.param, Clips(clip_network(numbers), **cubic)


@pytest.mark.slow
def test_labels_and_masks_equal_the_notebooks(case, golden):
    """Cell 23 as a whole; a few cells are decided by rounding, see the golden file's README, section 7."""
    name, encoder = case
    numbers = golden("video_encoders/end_to_end")
    frames, truth = torch.from_numpy(numbers["frames"]), numbers["truth"]
    rules = PropagationProtocol.named("rvm", "davis").with_changes(**CHANGES)
    coding = MaskCoding(FrameEncoder(encoder, rules), (96, 160), (96, 160), {1: 0, 2: 0})
    given = [(frame, torch.from_numpy(truth[0]) if t == 0 else None) for t, frame in enumerate(frames)]
    tracked = list(follow_labels(given, coding))
    labels = torch.stack([frame.labels for frame in tracked]).numpy()
    off = np.abs(labels - numbers[f"{name}_soft"]).max(axis=1)
    assert (off < 2e-5).mean() > 0.98
    assert off.max() < 0.1
    masks = np.stack([frame.decoded.numpy() for frame in tracked])
    assert (masks[1:] != numbers[f"{name}_masks"][1:]).mean() < 1e-4


@pytest.mark.parametrize("make", [recurrent, lambda: Clips(torch.nn.Conv3d(3, 4, (2, 8, 8), (2, 8, 8)))])
def test_the_stride_is_measured_as_that_of_a_network_of_images(make):
    protocol = FrameEncoder(make(), PropagationProtocol.named("vidcorr", "davis")).protocol  # its cells have 4 px
    assert (protocol.feature_stride, protocol.name) == (8, "vidcorr+feature_stride=8")
    other = PropagationProtocol.named("vidcorr+feature_stride=16", "davis")
    refused(ValueError, "the features have feature_stride 8", FrameEncoder, make(), other)


@pytest.mark.parametrize("cells", [8, 14])
def test_a_stride_that_no_blank_frame_shows_is_that_of_the_video(cells):
    """A network takes frames of 64 px alone, or makes 14 × 14 cells of any: a wrong stride is not believed."""

    def step(frame, state):
        small = frame.view(3, 64, 64)[:, ::8, ::8] if cells == 8 else adaptive_avg_pool2d(frame, cells)
        return small, state

    encoder = FrameEncoder(Recurrent(step), PropagationProtocol.named("rvm+input_size=none", "davis"))
    mask = torch.zeros(64, 64, dtype=torch.uint8)
    mask[20:40, 20:40] = 1
    frames = [(torch.zeros(3, 64, 64, dtype=torch.uint8), mask if t == 0 else None) for t in range(3)]
    found = round(64 / cells)
    with pytest.raises(ValueError, match=rf"{found} px per cell.*feature_stride: {found}"):
        list(follow_labels(frames, MaskCoding(encoder, (64, 64), (64, 64), {1: 0})))


def test_a_list_of_maps_is_refused():
    class Several(torch.nn.Module):
        stride = 8

        def encode(self, frames):
            yield from ([frame[:, ::8, ::8]] * 2 for frame in frames)

    encoder = FrameEncoder(Several(), PropagationProtocol.named("vfs", "davis"))
    assert encoder.extractor.stride == 8  # as stated: no frame is encoded to measure it
    refused(ValueError, r"Several: expected a map .* got list", next, encoder.maps(torch.zeros(1, 3, 64, 64).byte()))
