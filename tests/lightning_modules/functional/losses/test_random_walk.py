"""The contrastive random walk: golden losses and gradients, a loop over all paths; its patches and their crops."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from lightning_modules.functional import contrastive_random_walk_loss
from lightning_modules.functional.losses import drop_edges
from lightning_modules.functional.patches import crop_and_resize, grid_patches, random_patch_boxes


@pytest.mark.parametrize("case", ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c1d"])
def test_golden(golden, case):
    numbers = golden("crw_loss")
    nodes = torch.from_numpy(numbers[f"{case}_q"]).requires_grad_()
    masks = None
    if f"{case}_drop12" in numbers:
        masks = torch.from_numpy(numbers[f"{case}_drop12"]), torch.from_numpy(numbers[f"{case}_drop21"])
    loss = contrastive_random_walk_loss(nodes, float(numbers[f"{case}_params"][0]), masks)
    (gradient,) = torch.autograd.grad(loss, nodes)
    if case == "c1d":  # the code's total is float32, its terms are not
        assert loss.item() == pytest.approx(numbers["c1d_xent"].mean(), abs=1e-10)
    np.testing.assert_allclose(loss.item(), numbers[f"{case}_loss"].item(), rtol=0, atol=1e-4 if case == "c4" else 1e-5)
    np.testing.assert_allclose(gradient, numbers[f"{case}_grad_q"], rtol=0, atol=1e-5)


def by_paths(nodes, temperature, out, back):
    """The loss by enumerating the paths of every walk of one sample `(C, T, N)`."""
    _, frames, count = nodes.shape

    def step(source, target, dropped):
        return (source.T @ target).masked_fill(dropped, -1e20).div(temperature).softmax(1)

    ahead = [step(nodes[:, t], nodes[:, t + 1], out[t]) for t in range(frames - 1)]
    home = [step(nodes[:, t + 1], nodes[:, t], back[t] | out[t].T) for t in range(frames - 1)]
    terms = []
    for length in range(2, frames):
        steps = [*ahead[:length], *reversed(home[:length])]
        total = 0.0
        for start in range(count):
            chance = 0.0
            for path in itertools.product(range(count), repeat=2 * length - 1):
                moves = zip(steps, itertools.pairwise((start, *path, start)), strict=True)
                chance += math.prod(float(step[move]) for step, move in moves)
            total -= math.log(chance + 1e-20) / count
        terms.append(total)
    return float(np.mean(terms))


def test_it_is_the_chance_of_all_paths_that_return():
    nodes = normalize(torch.randn(1, 4, 4, 3, dtype=torch.float64), dim=1)
    masks = torch.rand(2, 1, 3, 3, 3) < 0.2
    expected = by_paths(nodes[0], 0.3, masks[0, 0], masks[1, 0])
    assert contrastive_random_walk_loss(nodes, 0.3, (masks[0], masks[1])).item() == pytest.approx(expected, rel=1e-6)


def test_dropped_edges_are_drawn_one_by_one():
    nodes = torch.zeros(3, 2, 4, 20)
    generator = torch.Generator().manual_seed(0)
    out, back = drop_edges(nodes, 0.1, generator) or (None, None)
    assert out.shape == back.shape == (3, 3, 20, 20)
    for mask in (out, back):
        assert mask.float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert (out & back).float().mean() < 0.03
    assert drop_edges(nodes, 0.0, generator) is None


def test_bad_arguments():
    nodes = torch.zeros(1, 2, 3, 4)
    with pytest.raises(ValueError, match=r"expected float nodes \(B, C, T, N\) with T >= 2, got \(1, 2, 1, 4\)"):
        contrastive_random_walk_loss(nodes[:, :, :1])
    with pytest.raises(ValueError, match=r"two bool masks \(1, 2, 4, 4\)"):
        contrastive_random_walk_loss(nodes, 0.1, (torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)))


def as_images(pictures):
    return torch.from_numpy(pictures).movedim(-1, -3).float() / 255


def test_patches_and_crops_are_the_golden_ones(golden):
    numbers = golden("crw_loss")
    windows = grid_patches(as_images(numbers["p0_frame_crop"]), 16, 8)
    assert torch.equal(windows, as_images(numbers["p0_windows"]))
    found = crop_and_resize(windows.flatten(0, 1), torch.from_numpy(numbers["p0_jitter_box"]).flatten(0, 1).long())
    expected = as_images(numbers["p0_jittered"]).flatten(0, 1)
    assert (found - expected).abs().max() <= 1.01 / 255  # Pillow rounds after each axis


def test_the_released_grid(golden):
    places = torch.stack(torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij"))
    corners = grid_patches(places, 64, 32)[:, :, 0, 0]
    assert corners.tolist() == golden("crw_loss")["grid256_origin_yx"].tolist()


def test_boxes_have_the_area_and_aspect_that_were_asked_for():
    boxes = random_patch_boxes(4000, 64, (0.7, 0.9), torch.Generator().manual_seed(0)).double()
    top, left, height, width = boxes.T
    assert min(top.min(), left.min()) == 0
    assert max((top + height).max(), (left + width).max()) == 64
    area, aspect = height * width / 64**2, width / height
    assert 0.68 < area.min() < 0.71
    assert 0.89 < area.max() < 0.92
    assert abs(area.mean() - 0.79) < 0.02
    assert abs(aspect.log().mean()) < 0.01
    assert aspect.max() < 4 / 3 + 0.03
    assert len({tuple(box) for box in boxes.tolist()}) > 1000
    assert random_patch_boxes(3, 8, (4.0, 5.0), torch.Generator()).tolist() == [[0, 0, 8, 8]] * 3
