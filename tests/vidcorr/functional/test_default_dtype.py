"""No result depends on torch's default type, which `precision: bf16-true` and user code may set to bfloat16."""

import pytest
import torch

import vidcorr.functional
from tests.helpers.propagation import protocol
from tests.vidcorr.functional import test_compile
from vidcorr.functional import propagate_labels, track_points
from vidcorr.functional.patches import crop_and_resize, random_patch_boxes
from vidcorr.functional.position import sinusoidal_position
from vidcorr.functional.siamese import response_labels
from vidcorr.protocols import PointProtocol, PropagationProtocol

FRAMES = test_compile.FRAMES
LABELS = torch.rand(2, 5, 6)
LIIR = PropagationProtocol.named("liir").with_changes(radius=3, mixture_width="moments")


def points(name):
    rules = PointProtocol.named(name).with_changes(occlusion="similarity+cycle", scored_size=48)
    return vars(track_points(FRAMES.__getitem__, len(FRAMES), torch.tensor([[1.0, 9.5, 3.0]]).double(), rules))


def crops():
    boxes = random_patch_boxes(len(FRAMES), 5, (0.7, 0.9), torch.Generator().manual_seed(0))
    return crop_and_resize(FRAMES[:, :3, :, :5], boxes)


OTHERS = {
    "ties": lambda: list(propagate_labels(FRAMES, LABELS, protocol(topk_ties="kept", neighbourhood="square"))),
    "hard": lambda: list(propagate_labels(FRAMES, LABELS, protocol(label_feedback="hard", feature_stride=4))),
    "liir": lambda: list(propagate_labels(FRAMES, LABELS, LIIR)),
    "chained": lambda: points("gmrw-chained"),
    "carried": lambda: points("fgvc"),
    "position": lambda: sinusoidal_position(16, 33, 40),
    "labels": lambda: response_labels((18, 18), 2),
    "crops": crops,
}
"""What the public functions' cases leave out."""


def result(name):
    if name in OTHERS:
        return OTHERS[name]()
    found = getattr(vidcorr.functional, name)(*test_compile.CASES[name])
    return {"propagate_labels": list, "track_points": vars}.get(name, lambda same: same)(found)


@pytest.mark.parametrize("name", [*test_compile.CASES, *OTHERS])  # masks and joints: vidcorr/benchmarks/test_base.py
def test_a_default_type_of_bfloat16_changes_nothing(name):
    expected = result(name)
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = result(name)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(found, expected, atol=0, rtol=0, equal_nan=True)
