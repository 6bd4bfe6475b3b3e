"""Lab against OpenCV's (golden), known colours, and the dropped channel."""

import numpy as np
import torch

from vidcorr.functional import rgb_to_lab
from vidcorr.functional.colour import drop_channel, normalised_lab


def test_golden(golden):
    case = golden("liir_mast")
    rgb = torch.from_numpy(case["lab_rgb"]).permute(2, 0, 1).float() / 255
    found = normalised_lab(rgb).numpy()
    np.testing.assert_allclose(found, case["lab_norm"], atol=5e-3)
    assert np.abs(found - case["lab_norm"]).mean() < 1.5e-3


def test_golden_dropout(golden):
    case = golden("liir_mast")
    for channel in (1, 2):
        found = drop_channel(torch.from_numpy(case["drop_in"]), channel)
        np.testing.assert_array_equal(found, case[f"drop_out_ch{channel}"])


def test_any_leading_axes_and_gradient_at_black():
    rgb = torch.rand(2, 4, 3, 5, 6)
    torch.testing.assert_close(rgb_to_lab(rgb)[1, 2], rgb_to_lab(rgb[1, 2]), atol=1e-4, rtol=0)
    black = torch.zeros(3, 1, 1, requires_grad=True)
    rgb_to_lab(black).sum().backward()
    assert black.grad.isfinite().all()
