"""Sheets of clips and histograms of the gaps between their frames."""

import numpy as np
import pytest
import torch

from callbacks.pictures import (
    clip_sheet,
    gap_histogram,
    rasterise,
)
from callbacks.pictures.sheets import HALVES, NEUTRAL


def has(picture: np.ndarray, colour: tuple[int, int, int], tolerance: int = 12) -> np.ndarray:
    return (np.abs(picture.astype(int) - colour) <= tolerance).all(-1)


def test_each_row_is_a_clip_whose_halves_are_marked() -> None:
    clip = torch.linspace(0, 1, 12).view(3, 4, 1, 1, 1).expand(-1, -1, 3, 8, 8)
    sheet = clip_sheet(clip, rows=2, width=20)
    assert sheet.shape == (22 + 2 * (18 + 20) + 4, 4 * 24 - 4, 3)
    for place in range(4):
        assert has(sheet, HALVES[place // 2])[22 + 17, place * 24 + 18]
        assert has(sheet, (round(255 * (4 + place) / 11),) * 3, 1)[22 + 42 + 18 + 5, place * 24 + 5]
    assert has(clip_sheet(clip[:, :3], width=20), NEUTRAL)[22 + 17, 18]
    with pytest.raises(ValueError, match=r"clips \(B, T, 3, H, W\)"):
        clip_sheet(clip[0])


def test_the_histogram_counts_every_gap_once() -> None:
    (axes,) = gap_histogram(torch.tensor([[0, 3, 6, 10], [5, 8, 100, 101]])).axes
    heights = [bar.get_height() for bar in axes.patches]
    assert len(heights) <= 40
    assert (sum(heights), heights[0], heights[-1]) == (6, 4, 1)  # gaps 3 3 4 | 3 92 1, three frames to a bar
    assert "frames" in axes.get_xlabel()
    (axes,) = gap_histogram(torch.tensor([[0, 2, 4], [7, 9, 12]])).axes
    assert [bar.get_height() for bar in axes.patches] == [3, 1]
    assert "median gap 2" in axes.get_title()
    assert rasterise(gap_histogram(torch.zeros(2, 2, dtype=torch.long))).shape == (420, 720, 3)
    with pytest.raises(ValueError, match="two frames or more"):
        gap_histogram(torch.zeros(3, 1, dtype=torch.long))
