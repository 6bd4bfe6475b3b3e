"""Patches and their crops: the original code's, and the boxes of known draws."""

import torch

from vidcorr.functional.patches import crop_and_resize, grid_patches


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
