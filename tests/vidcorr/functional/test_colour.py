"""Lab against OpenCV's (golden), and the dropped channel."""

import numpy as np
import torch

from vidcorr.functional.colour import normalised_lab


def test_lab_is_that_of_liir_and_mast(golden):
    case = golden("liir_mast")
    rgb = torch.from_numpy(case["lab_rgb"]).permute(2, 0, 1).float() / 255
    found = normalised_lab(rgb).numpy()
    np.testing.assert_allclose(found, case["lab_norm"], atol=5e-3)
    assert np.abs(found - case["lab_norm"]).mean() < 1.5e-3
