"""Prompts of several frames: each starts its objects anew, and what does not fit is refused."""

import numpy as np
import pytest
import torch

from tests.helpers.refusal import refused
from tests.helpers.sprite import FRAMES, bounds, tensors
from vidcorr import BoxPrompt, MaskPrompt, PointPrompt, follow
from vidcorr.videos.files import DataError

K = 6
"""Frame of a later prompt."""


def two(mask):
    """Return a mask of two objects, the left half and the right half of one."""
    columns = np.flatnonzero(mask.any(0))
    halves = mask.copy()
    halves[:, columns[len(columns) // 2] :] *= 2
    return halves


def centre_of(mask):
    rows, columns = np.nonzero(mask)
    return (float(columns.mean().round()), float(rows.mean().round()))


def prompt_of(kind, mask, names=("left", "right")):
    """Return the prompt of both halves, or of one."""
    halves = {"left": two(mask) == 1, "right": two(mask) == 2}
    if kind == "mask":
        return MaskPrompt.of(sum(halves[name] * np.uint8(1 + (name == "right")) for name in names))
    if kind == "boxes":
        return BoxPrompt.of({name: bounds(halves[name]).tolist() for name in names})
    return PointPrompt.of({name: centre_of(halves[name]) for name in names})


def results(*asked):
    return [torch.as_tensor(found) for _, found in follow(*asked)]


RULES = [("mask", "vidcorr"), ("mask", "crw"), ("points", "vidcorr"), ("points", "gmrw-chained"), ("boxes", "vfs")]


@pytest.mark.parametrize(("kind", "protocol"), RULES)
@pytest.mark.sampled(2)
def test_a_later_prompt_starts_its_objects_anew_and_leaves_the_others(kind, protocol, scene, colour):
    video, masks = tensors(scene[0]), scene[1]
    first, both, right = (prompt_of(kind, masks[t], names) for t, names in
                          ((0, ("left", "right")), (K, ("left", "right")), (K, ("right",))))  # fmt: skip
    alone, later = results(colour, video, first, protocol), results(colour, video[K:], both, protocol)
    found = results(colour, video, {K: both, 0: first}, protocol)
    assert len(found) == FRAMES
    for one, other in zip(found, [*alone[:K], *later], strict=True):
        assert torch.equal(one.nan_to_num(-1), other.nan_to_num(-1))
    mixed = results(colour, video, {0: first, K: right}, protocol)
    of_right = results(colour, video[K:], right, protocol)
    for one, old, new in zip(mixed[K:], alone[K:], of_right, strict=True):
        if kind == "mask":
            assert torch.equal(one, torch.where(new == 2, new, torch.where(old == 1, old, 0)))
        else:
            assert torch.equal(one.nan_to_num(-1), torch.stack([old[0], new[0]]).nan_to_num(-1))
    begun = results(colour, video, {K: both}, protocol)  # nothing is followed before it
    assert all(torch.equal(*(each.nan_to_num(-1) for each in pair)) for pair in zip(begun, later, strict=True))


def test_prompts_that_do_not_fit_the_video_are_refused(scene, colour):
    video, mask = tensors(scene[0]), MaskPrompt.of(scene[1][0])
    point = PointPrompt.of([(4, 4)])
    lines = {
        "of one kind, got mask and points": {0: mask, 2: point},
        "of one kind, got none": {},
        "frame 0 has two prompts": [mask, mask],
        f"has no frame {FRAMES}": {FRAMES: mask},
        "is of frame -1": {-1: mask},
        "the frame 130": MaskPrompt.of(np.ones((4, 4), int)),
    }
    for line, prompts in lines.items():
        refused(DataError, line, follow, colour, video, prompts)
    refused(ValueError, "an iterator is read once", follow, colour, iter(video), {2: mask})
