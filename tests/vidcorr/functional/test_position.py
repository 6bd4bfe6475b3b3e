"""Position maps: sines by hand, shifting against roll, shuffling keeps what is there."""

import math

import pytest
import torch

from tests.helpers.refusal import refused
from vidcorr.functional.position import shifted_position, sinusoidal_position


def test_sines_by_hand():
    found = sinusoidal_position(8, 3, 5)
    assert found.shape == (8, 3, 5)
    y, x = 2, 4
    angles = [x, x / 100, y, y / 100]
    expected = [wave(angle) for angle in angles for wave in (math.sin, math.cos)]
    assert found[:, y, x].tolist() == pytest.approx(expected, abs=1e-6)
    refused(ValueError, "divisible by 4, got 6", sinusoidal_position, 6, 2, 2)


def test_shift_is_a_roll_of_each_frame():
    position = torch.randn(3, 4, 5)
    shifts = torch.tensor([[0, 0], [1, 3], [3, 4]])
    found = shifted_position(position, shifts)
    for frame, (dy, dx) in zip(found, shifts.tolist(), strict=True):
        assert torch.equal(frame, position.roll((dy, dx), (1, 2)))
