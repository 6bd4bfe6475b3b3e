"""Lab against OpenCV's (golden), and the dropped channel."""

import numpy as np
import torch

from vidcorr.functional.colour import drop_channel, normalised_lab


def test_lab_is_that_of_liir_and_mast(golden):
    case = golden("liir_mast")
    rgb = torch.from_numpy(case["lab_rgb"]).permute(2, 0, 1).float() / 255
    found = normalised_lab(rgb).numpy()
    np.testing.assert_allclose(found, case["lab_norm"], atol=5e-3)
    assert np.abs(found - case["lab_norm"]).mean() < 1.5e-3


def test_a_channel_is_dropped_as_by_liir(golden):
    case = golden("liir_mast")
    for channel in (1, 2):
        found = drop_channel(torch.from_numpy(case["drop_in"]), channel)
        np.testing.assert_array_equal(found, case[f"drop_out_ch{channel}"])
