"""Boxes over frames, and the plots of one-pass evaluation."""

import numpy as np
import torch

from callbacks.pictures import overlay_boxes, plot_curves


def test_overlays_count_from_one_and_leave_the_frame() -> None:
    frame = torch.zeros(3, 20, 30, dtype=torch.uint8)
    picture = overlay_boxes(frame, np.array([9.0, 5, 6, 4]), np.array([-1e9, -1e9, 2e9, 2e9]))
    assert picture.shape == (20, 30, 3)
    assert picture[4, 8].tolist() == picture[7, 13].tolist() == [230, 40, 40]
    assert not frame.any()
    assert not overlay_boxes(frame, np.full(4, np.nan), np.full(4, np.nan)).any()


def test_plots_show_the_curve() -> None:
    high = plot_curves((torch.ones(21), torch.ones(51)), "a")
    low = plot_curves((torch.zeros(21), torch.zeros(51)), "a")
    assert set(high) == {"success", "precision"}
    assert all(not np.array_equal(high[name], low[name]) for name in high)
