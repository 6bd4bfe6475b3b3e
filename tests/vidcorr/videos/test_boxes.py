"""Conventions of boxes, and crops equal to the golden ones."""

import numpy as np
import pytest

from vidcorr.videos.boxes import centred, context_side, square_crop


def test_crops_are_the_golden_ones(golden):
    expected = golden("siamfc_tracking")
    for number, (y, x, side, size) in enumerate(expected["crop_cases"]):
        crop = square_crop(expected["frames"][0], (y, x), side, int(size))
        assert np.abs(crop.astype(int) - expected[f"crop{number}_vfs"]).max() <= 1
    y, x, height, width = centred(expected["init_box"])
    side = context_side(height, width)
    assert side == pytest.approx(expected["state"][0, 4], abs=1e-4)
    assert np.array_equal(square_crop(expected["frames"][0], (y, x), side, 120), expected["exemplar_crop"])
    for number, factor in enumerate(expected["scale_factors"]):
        crop = square_crop(expected["frames"][1], (y, x), side * 255 / 120 * factor, 255)
        assert np.abs(crop[::4, ::4].astype(int) - expected["search_crops_f1_sampled"][number]).max() <= 1
