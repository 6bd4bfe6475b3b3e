"""Outlines of objects: the disk, and J and F against their definition over the entire picture."""

import math

import numpy as np
import pytest
import torch

from callbacks.metrics import boundary_accuracy, mask_outlines, region_similarity
from tests.helpers.masks import random_masks
from tests.helpers.plain_masks import plain_boundary, plain_boundary_score, plain_region


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bound", [0.008, 0.1, 1, 5])
def test_equal_to_the_definition_over_the_whole_picture(seed: int, bound: float) -> None:
    prediction, target = random_masks(seed), random_masks(seed + 100).roll(seed, 0)
    radius = math.ceil(bound * math.hypot(37, 52)) if bound < 1 else int(bound)
    region, boundary = region_similarity(prediction, target), boundary_accuracy(prediction, target, bound)
    for t, (p, q) in enumerate(zip(prediction.numpy(), target.numpy(), strict=True)):
        assert region[t].item() == plain_region(p, q)
        assert boundary[t].item() == plain_boundary_score(p, q, radius)


@pytest.mark.parametrize("radius", [1, 2, 3, 8, 13, 20])
def test_the_disk_is_the_set_of_pixels_within_the_radius(radius: int) -> None:
    mask = torch.zeros(1, 60, 60, dtype=torch.bool)
    mask[0, 29:31, 29:31] = True
    outline = mask_outlines(mask, radius)[0]
    edge = np.argwhere(plain_boundary(mask[0].numpy())) - (outline.top, outline.left) + radius
    y, x = np.indices(outline.near.shape)
    squared = np.min([(y - a) ** 2 + (x - b) ** 2 for a, b in edge], axis=0)
    np.testing.assert_array_equal(outline.near, squared <= radius**2)
