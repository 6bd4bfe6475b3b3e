"""Lab against OpenCV's (golden), known colours, and the dropped channel."""

import numpy as np
import torch

from vidcorr.functional import rgb_to_lab
from vidcorr.functional.colour import drop_channel, normalised_lab


def test_lab_is_that_of_liir_and_mast(golden):
    case = golden("liir_mast")
    rgb = torch.from_numpy(case["lab_rgb"]).permute(2, 0, 1).float() / 255
    found = normalised_lab(rgb).numpy()
    np.testing.assert_allclose(found, case["lab_norm"], atol=5e-3)
    assert np.abs(found - case["lab_norm"]).mean() < 1.5e-3


def test_known_colours_have_their_lab_values():
    """Red, green, blue and white, a grey just above the straight part of sRGB, dark colours; black has a gradient."""
    rgb = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0.042, 0.042, 0.042], [0.09, 0.1, 0.11], [0.02, 0.05, 0.9]]
    expected = [
        [53.24059, 80.09417, 67.20154],
        [87.73510, -86.18126, 83.17748],
        [32.29567, 79.18700, -107.86175],
        [100, 0, 0],
        [2.93951, 0, 0],
        [8.84451, -0.50055, -2.19363],
        [29.40510, 70.90910, -98.24858],
    ]
    found = rgb_to_lab(torch.tensor(rgb, dtype=torch.float64)[:, :, None, None])
    np.testing.assert_allclose(found[..., 0, 0], expected, rtol=0, atol=1e-5)
    black = torch.zeros(3, 1, 1, requires_grad=True)
    rgb_to_lab(black).sum().backward()
    assert black.grad.isfinite().all()


def test_a_channel_is_dropped_as_by_liir(golden):
    case = golden("liir_mast")
    for channel in (1, 2):
        found = drop_channel(torch.from_numpy(case["drop_in"]), channel)
        np.testing.assert_array_equal(found, case[f"drop_out_ch{channel}"])
