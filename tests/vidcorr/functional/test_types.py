"""Every public function: no result depends on torch's default type or on autocast; half precision is widened.

Results are computed on the device of the arguments.
"""

import inspect
import re
from functools import partial
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch.utils._pytree import tree_leaves, tree_map_only

import vidcorr.functional
from tests.helpers.fake_device import fake_gpu
from tests.helpers.propagation import protocol
from tests.helpers.refusal import refused
from vidcorr.functional import propagate_labels, track_points
from vidcorr.functional.compactness import CompactnessPrior
from vidcorr.functional.losses import draw_dropped_edges
from vidcorr.functional.patches import crop_and_resize, random_patch_boxes
from vidcorr.functional.position import drawn_orders, sinusoidal_position
from vidcorr.functional.propagation.resizing import nearest_index
from vidcorr.functional.siamese import response_labels
from vidcorr.protocols import JointProtocol, PointProtocol, PropagationProtocol
from vidcorr.protocols.label_protocols import Nearest

torch.manual_seed(0)


def test_arguments_out_of_range_are_refused():
    refused(ValueError, "channels divisible by 4, got 6", sinusoidal_position, 6, 3, 5)
    for wrong in ({"components": 0}, {"width": "wide"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            CompactnessPrior(**wrong)


MASKS = PropagationProtocol(name="own", context=2, topk=4, temperature=0.1, radius=2)
JOINTS = JointProtocol(name="own", context=2, topk=4, temperature=0.1, radius=2)
POINTS = PointProtocol.named("fomo").with_changes(scored_size=48)
QUERY, REFERENCES, VALUES = torch.randn(1, 3, 10, 11), torch.randn(1, 2, 3, 10, 11), torch.rand(1, 2, 2, 10, 11)
FRAMES, LABELS = torch.randn(4, 6, 5, 6), torch.rand(2, 5, 6)
VECTORS = torch.randn(4, 2, 2, 4)
HEATMAPS = torch.rand(2, 4, 5) / 2
HEATMAPS[0, 1, 2] = HEATMAPS[1, 2, 3] = 1.0  # a maximum at the border would be up-sampled to several equal pixels
CASES = {
    "rgb_to_lab": (torch.rand(2, 3, 5, 5),),
    "reconstruct_locally": (QUERY, REFERENCES, VALUES, 2, "exclude", CompactnessPrior()),
    "contrastive_random_walk_loss": (F.normalize(torch.randn(2, 4, 4, 5), dim=1),),
    "info_nce_loss": (VECTORS[0], VECTORS[1], torch.randn(9, 4)),
    "simsiam_loss": (*VECTORS,),
    "track_points": (FRAMES.__getitem__, 4, torch.tensor([[1.0, 9.5, 3.0]]), POINTS),
    "decode_keypoints": (HEATMAPS, (32, 40), JOINTS),
    "decode_masks": (torch.rand(3, 4, 5), [1, 2], MASKS, (32, 40)),
    "encode_keypoints": (torch.rand(2, 2) * 30, (32, 40), (4, 5), JOINTS),
    "encode_masks": (torch.randint(0, 3, (32, 40)), [1, 2], (4, 5), MASKS),
    "propagate_labels": (FRAMES, LABELS, MASKS),
    "siamese_correlation": (torch.randn(2, 3, 4, 4), torch.randn(2, 3, 8, 8)),
}
"""Public function → arguments."""
LIIR = PropagationProtocol.named("liir").with_changes(radius=3)


def points(name):
    rules = PointProtocol.named(name).with_changes(occlusion="similarity+cycle", scored_size=48)
    start = torch.tensor([[1.0, 9.5, 3.0]]).double()
    return vars(track_points(FRAMES.__getitem__, len(FRAMES), start, rules, (47.3, 48.6)))


def seeded():
    return torch.Generator().manual_seed(0)


def crops():
    boxes = random_patch_boxes(len(FRAMES), 5, (0.7, 0.9), seeded())
    return crop_and_resize(FRAMES[:, :3, :, :5], boxes)


OTHERS = {
    "ties": lambda: list(propagate_labels(FRAMES, LABELS, protocol(topk_ties="kept", neighbourhood="square"))),
    "hard": lambda: list(propagate_labels(FRAMES, LABELS, protocol(label_feedback="hard", feature_stride=4))),
    "liir": lambda: list(propagate_labels(FRAMES, LABELS, LIIR)),
    "chained": lambda: points("gmrw-chained"),
    "position": lambda: sinusoidal_position(16, 33, 40),
    "nearest": lambda: [nearest_index.__wrapped__(601, 257, rule) for rule in get_args(Nearest)],
    "orders": lambda: drawn_orders("shuffle", 2, (20, 30), seeded()),
    "edges": lambda: draw_dropped_edges(torch.zeros(1, 2, 3, 40), 0.4, seeded()),
    "labels": lambda: response_labels((18, 601), 298.5),
    "crops": crops,
    "whole": lambda: random_patch_boxes(2, 257, (1.0, 1.0), seeded()),
}
"""What the public functions' cases leave out."""
FUNCTIONS = [name for name in vidcorr.functional.__all__ if inspect.isfunction(getattr(vidcorr.functional, name))]
DIFFERENTIABLE = [name for name in FUNCTIONS if not re.search("keypoints|masks|track_points|propagate_labels", name)]
"""Functions of tensors alone."""


def test_every_public_function_has_a_case():
    assert set(CASES) == set(FUNCTIONS)


def result(name, arguments=None):
    if name in OTHERS:
        return OTHERS[name]()
    found = getattr(vidcorr.functional, name)(*(arguments or CASES[name]))
    return {"propagate_labels": list, "track_points": vars}.get(name, lambda same: same)(found)


@pytest.mark.parametrize("name", [*CASES, *OTHERS])  # masks and joints: vidcorr/benchmarks/test_base.py
def test_a_default_type_of_bfloat16_changes_nothing(name):
    expected = result(name)
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = result(name)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(found, expected, atol=0, rtol=0, equal_nan=True)


MADE = ("track_points", "decode_masks", "encode_masks", "encode_keypoints", "propagate_labels")
"""Functions that make tensors on a device; those of the steps are in tests/test_fake_device.py."""


@pytest.mark.parametrize("name", MADE)
def test_results_are_computed_on_the_device_of_the_arguments(name):
    """Fake tensors refuse operations between devices."""
    with fake_gpu() as gpu:
        on_device = partial(torch.Tensor.to, device=gpu.device, non_blocking=True)
        arguments = tree_map_only(torch.Tensor, on_device, CASES[name])
        if name == "track_points":
            arguments = (on_device(FRAMES).__getitem__, *CASES[name][1:])
        found = tree_leaves(result(name, arguments))
    assert {tensor.device.type for tensor in found} == {"cpu" if name == "track_points" else "cuda"}


@pytest.mark.parametrize("name", [*DIFFERENTIABLE, "propagate_labels"])
def test_autocast_changes_nothing(name):
    with torch.autocast("cpu", torch.bfloat16):
        found = result(name)
    torch.testing.assert_close(found, result(name), atol=0, rtol=0)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_half_precision_is_computed_in_float32(name):
    halves = [each.bfloat16() if isinstance(each, torch.Tensor) else each for each in CASES[name]]
    widened = [each.float() if isinstance(each, torch.Tensor) else each for each in halves]
    found = result(name, halves)
    for mine in found if isinstance(found, tuple) else (found,):
        assert mine.dtype == torch.float32
    torch.testing.assert_close(found, result(name, widened), atol=2e-2, rtol=2e-2, check_dtype=False)


FOMO, STRIDED = PointProtocol.named("fomo"), protocol(label_encoding="strided")
MISTAKES = {
    "rgb_to_lab: expected float RGB": (torch.zeros(3, 4, 4, dtype=torch.uint8),),
    r"reconstruct_locally: values must be .*got \(1, 1, 2, 10, 11\)": (QUERY, REFERENCES, VALUES[:, :1], 1),
    "info_nce_loss: expected predicted and target": (VECTORS[0][:, :1], VECTORS[1], torch.zeros(5, 4)),
    r"contrastive_random_walk_loss: nodes \(B, C, T, N\) with T >= 2, got \(1, 2, 1, 4\)": (torch.zeros(1, 2, 1, 4),),
    "simsiam_loss: .* equal shape": (*VECTORS[:3], VECTORS[3][:, :1]),
    "siamese_correlation: .*smaller than": (torch.ones(1, 3, 9, 5).requires_grad_(), torch.ones(1, 3, 8, 8)),
    "track_points: .*finite t, y, x": (FRAMES, 4, torch.full((1, 3), torch.nan), FOMO),
    "track_points: .*in frames 0 to 3": (FRAMES, 4, torch.tensor([[-1.0, 2, 2]]), FOMO),
    "encode_masks: different": (torch.zeros(10, 10).long(), [2, 2], (5, 5), STRIDED),
    "encode_masks: 5 x 5": (torch.zeros(10, 10).long(), [1], (7, 7), STRIDED),
    r"decode_masks: labels must be float \(2, h, w\)": (torch.rand(3, 4, 5), [1], MASKS, (32, 40)),
}
"""Function and message → arguments."""


@pytest.mark.parametrize("case", MISTAKES)
def test_arguments_that_would_give_a_wrong_number_are_refused(case):
    name, _, message = case.partition(": ")
    assert refused(ValueError, message, getattr(vidcorr.functional, name), *MISTAKES[case])
