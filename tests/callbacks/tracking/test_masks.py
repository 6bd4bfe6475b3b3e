"""Masks around the engine: the protocol's rules for the first frame and for objects that enter."""

import numpy as np
import pytest
import torch

from callbacks.tracking.label_tracker import LabelTracker
from callbacks.tracking.masks import track_masks
from lightning_modules.backbones import build_feature_extractor
from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.propagation.label_coding import decode_masks_by, encode_masks_by

SIZE = (48, 64)


def video() -> tuple[torch.Tensor, torch.Tensor]:
    """Three frames of noise, and ids with edges that no cell of 8 px holds."""
    frames = torch.randint(0, 256, (3, 3, *SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ids = torch.zeros(SIZE, dtype=torch.uint8)
    ids[5:29, 11:43] = 1
    return frames, ids


@pytest.mark.parametrize("first_frame", ["given", "decoded"])
def test_the_first_mask_is_given_or_decoded(first_frame: str) -> None:
    frames, ids = video()
    protocol = PropagationProtocol("x", 2, 5, 0.1, 3, first_frame=first_frame, decoding_size="input")
    tracker = LabelTracker(build_feature_extractor("raw_colour"), protocol)
    view = tracker.view(SIZE)
    first, *_ = track_masks(tracker, zip(frames, [ids, None, None], strict=True), {1: 0}, view)
    decoded = decode_masks_by(encode_masks_by(ids, [1], (6, 8), protocol), [1], protocol, SIZE, SIZE)
    assert not torch.equal(decoded, ids)
    assert torch.equal(first.masks[0], ids if first_frame == "given" else decoded)


def test_masks_are_coded_at_the_size_the_protocol_names() -> None:
    frames, ids = video()
    found = {}
    for size in ("annotation", "input"):
        protocol = PropagationProtocol(
            "x", 2, 5, 0.1, 3, label_size=size, label_encoding="bilinear", input_size=(40, 80), first_frame="decoded"
        )  # fmt: skip
        tracker = LabelTracker(build_feature_extractor("raw_colour"), protocol)
        tracked = list(track_masks(tracker, zip(frames, [ids, None, None], strict=True), {1: 0}, tracker.view(SIZE)))
        found[size] = tracked[0].labels[0]
        expected = encode_masks_by(ids, [1], (5, 10), protocol)
        torch.testing.assert_close(found[size], expected)
        assert tracked[0].masks[0].shape == SIZE
    assert not torch.equal(found["annotation"], found["input"])
    assert np.isfinite(found["input"].numpy()).all()


@pytest.mark.parametrize("at_once", [2, 3, 5])
def test_masks_are_the_same_however_many_frames_travel_together(at_once: int) -> None:
    """An object enters with frame 2, in the middle of a chunk."""
    frames = torch.randint(0, 256, (5, 3, *SIZE), dtype=torch.uint8)
    first, second = (torch.zeros(SIZE, dtype=torch.uint8) for _ in range(2))
    first[5:29, 11:43], second[30:45, 20:40] = 1, 2
    given = [first, None, second, None, None]
    runs = []
    for number in (1, at_once):
        tracker = LabelTracker(build_feature_extractor("raw_colour"), PropagationProtocol("x", 2, 5, 0.1, 3))
        view = tracker.view(SIZE)
        runs.append(list(track_masks(tracker, zip(frames, given, strict=True), {1: 0, 2: 2}, view, number)))
    assert torch.equal(runs[0][0].masks[0], first)
    assert torch.equal(runs[0][2].masks[0] == 2, second == 2)
    for one, other in zip(*runs, strict=True):
        assert torch.equal(one.frame, other.frame)
        assert torch.equal(one.masks[0], other.masks[0])
        assert torch.equal(one.labels[0], other.labels[0])
