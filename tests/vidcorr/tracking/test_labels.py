"""The engine of label propagation: the view of the extractor, padding that is cut, encoders of video."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.helpers.encoders import clip_network, recurrent_step
from tests.helpers.refusal import refused
from vidcorr.backbones import Clips, Recurrent, build_feature_extractor
from vidcorr.functional import decode_masks, encode_masks
from vidcorr.protocols import PropagationProtocol
from vidcorr.tracking.frame_encoder import FrameEncoder
from vidcorr.tracking.labels import MaskCoding, first_only, follow_labels


@pytest.mark.parametrize(("at_once", "size"), [(2, (45, 61)), (10, (48, 64))])
def test_frames_in_chunks_give_the_same_labels_and_masks(at_once, size, monkeypatch):
    """Padding and resizing included; an object enters with frame 2, in the middle of a chunk."""
    extractor = build_feature_extractor("tests.helpers.encoders:TinyResNet", "res4", 8)
    protocol = PropagationProtocol.named("vfs").with_changes(context=2, input_size=48, input_padding=16)
    frames = torch.randint(256, (7, 3, *size), dtype=torch.uint8)
    first, second = torch.zeros(2, *size, dtype=torch.uint8)
    first[20:], second[30:45, 20:40] = 1, 2
    given = [first, None, second, None, None, None, None]
    runs = []
    for number in (1, at_once):
        monkeypatch.setattr(FrameEncoder, "frames_at_once", {size: number}.__getitem__)
        coding = MaskCoding(FrameEncoder(extractor, protocol), size, size, {1: 0, 2: 2})
        runs.append(list(follow_labels(zip(frames, given, strict=True), coding)))
    assert torch.equal(runs[0][0].decoded, first)
    assert torch.equal(runs[0][2].decoded == 2, second == 2)
    for one, other in zip(*runs, strict=True):
        assert torch.equal(one.frame, other.frame)
        for kind in ("labels", "decoded"):
            torch.testing.assert_close(getattr(one, kind), getattr(other, kind), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("first_frame", "label_size"), [("given", "input"), ("decoded", "annotation")])
def test_the_protocol_says_how_masks_are_coded(first_frame, label_size):
    """The first mask is given or decoded, labels are made at the size it names, and what was padded is cut again."""
    frame, ids = torch.randint(256, (3, 45, 61), dtype=torch.uint8), torch.zeros(45, 61, dtype=torch.uint8)
    ids[5:45, 11:61] = 1
    sizes = {"label_size": label_size, "label_encoding": "bilinear", "input_size": (40, 72), "decoding_size": "input"}
    changes = {"first_frame": first_frame, "input_padding": 16, "radius": 3} | sizes
    protocol = PropagationProtocol.named("vfs", changes=changes)
    encoder = FrameEncoder(build_feature_extractor("raw_colour"), protocol)
    (first,) = follow_labels([(frame, ids)], MaskCoding(encoder, (45, 61), (45, 61), {1: 0}))
    labels = encode_masks(F.pad(ids, (0, 7, 0, 9)), [1], (6, 10), protocol)  # input 40 x 72 of 48 x 80
    torch.testing.assert_close(first.labels, labels)
    decoded = decode_masks(labels, [1], protocol, (54, 68), (45, 61))
    assert not torch.equal(decoded, ids)
    assert torch.equal(first.decoded, ids if first_frame == "given" else decoded)


ENCODERS = {
    "clip_trilinear": lambda numbers: Clips(clip_network(numbers)),
    "clip_cubic": lambda numbers: Clips(clip_network(numbers), upsampling="cubic", mean=None),
    "recurrent": lambda numbers: Recurrent(recurrent_step(numbers)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODERS)
def test_labels_and_masks_equal_the_notebooks(name, golden):
    """Cell 23 as a whole; a few cells are decided by rounding, see the golden file's README, section 7."""
    weights = golden(f"video_encoders/{name.partition('_')[0]}")
    encoder = ENCODERS[name]({key: torch.from_numpy(value) for key, value in weights.items()})
    numbers = golden("video_encoders/end_to_end")
    rules = PropagationProtocol.named("rvm", "davis").with_changes(feature_stride=8, input_size=None)
    coding = MaskCoding(FrameEncoder(encoder, rules), (96, 160), (96, 160), {1: 0, 2: 0})
    first = torch.from_numpy(numbers["truth"][0])
    tracked = list(follow_labels(first_only(torch.from_numpy(numbers["frames"]), first), coding))
    labels = torch.stack([frame.labels for frame in tracked]).numpy()
    off = np.abs(labels - numbers[f"{name}_soft"]).max(axis=1)
    assert (off < 2e-5).mean() > 0.98
    assert off.max() < 0.1
    masks = np.stack([frame.decoded.numpy() for frame in tracked])
    assert (masks[1:] != numbers[f"{name}_masks"][1:]).mean() < 1e-4


STRIDES = [(lambda frame: frame.view(3, 64, 64)[:, ::8, ::8], 8), (nn.AdaptiveAvgPool2d(14), 5)]


@pytest.mark.parametrize(("cells", "stride"), STRIDES)
def test_a_stride_that_no_blank_frame_shows_is_that_of_the_video(cells, stride):
    """A network takes frames of 64 px alone, or makes 14 × 14 cells of any: a wrong stride is not believed."""
    rules = PropagationProtocol.named("rvm+input_size=none", "davis")
    encoder = FrameEncoder(Recurrent(lambda frame, state: (cells(frame), state)), rules)
    message = f"{stride} px per cell.*feature_stride: {stride}"
    refused(ValueError, message, next, encoder.maps(torch.zeros(1, 3, 64, 64).byte()))
