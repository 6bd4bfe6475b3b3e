"""Tensors of floats that public functions take, computed in float32 or finer within autocast too."""

import pytest
import torch

import vidcorr.functional
from tests.vidcorr.functional.test_compile import CASES

OTHERS = ("keypoints", "masks", "track_points", "propagate_labels")
DIFFERENTIABLE = [name for name in CASES if not any(word in name for word in OTHERS)]
"""Functions of tensors alone."""


def outputs(name, arguments):
    found = getattr(vidcorr.functional, name)(*arguments)
    return [each for each in (found if isinstance(found, tuple) else (found,)) if each is not None]


def changed(name, change):
    return [change(each) if isinstance(each, torch.Tensor) else each for each in CASES[name]]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_autocast_changes_nothing(name):
    expected = outputs(name, CASES[name])
    with torch.autocast("cpu", torch.bfloat16):
        found = outputs(name, CASES[name])
    for mine, other in zip(found, expected, strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if name != "compact_affinity"])
def test_half_precision_is_computed_in_float32(name):
    halves = changed(name, lambda tensor: tensor.bfloat16())
    widened = [each.float() if isinstance(each, torch.Tensor) else each for each in halves]
    for mine, other in zip(outputs(name, halves), outputs(name, widened), strict=True):
        if name != "compactness_loss":
            assert mine.dtype == torch.float32
        torch.testing.assert_close(mine.float(), other, atol=2e-2, rtol=2e-2)
