"""Position maps: sines by hand, shifting against roll, shuffling keeps what is there."""

import math

import pytest
import torch

from tests.helpers.refusal import refused
from vidcorr.functional.position import displaced_position, drawn_orders, sinusoidal_position


def test_sines_by_hand():
    found = sinusoidal_position(8, 3, 5)
    assert found.shape == (8, 3, 5)
    y, x = 2, 4
    angles = [x, x / 100, y, y / 100]
    expected = [wave(angle) for angle in angles for wave in (math.sin, math.cos)]
    assert found[:, y, x].tolist() == pytest.approx(expected, abs=1e-6)
    refused(ValueError, "divisible by 4, got 6", sinusoidal_position, 6, 2, 2)


def test_frames_are_rolled_or_shuffled_each_in_its_own_way():
    position, size = torch.randn(3, 4, 5), (4, 5)
    shifted, shuffled = (
        displaced_position(position, drawn_orders(kind, 20, size, torch.Generator().manual_seed(0)))
        for kind in ("shift", "shuffle")
    )
    known = {"shift": [[1, 2, 0, 4, 5, 3], [3, 4, 5, 0, 1, 2]], "shuffle": [[2, 3, 4, 0, 5, 1], [4, 5, 2, 0, 3, 1]]}
    for kind, orders in known.items():  # trainings drew by these
        assert drawn_orders(kind, 2, (2, 3), torch.Generator().manual_seed(0)).tolist() == orders
    rolls = [position.roll((dy, dx), (1, 2)) for dy in range(4) for dx in range(5)]
    found = {next(n for n, roll in enumerate(rolls) if torch.equal(frame, roll)) for frame in shifted}
    assert len(found) > 5
    for frame in shuffled:
        assert torch.equal(frame.flatten().sort().values, position.flatten().sort().values)
    assert not any(torch.equal(frame, roll) for frame in shuffled for roll in rolls)
    assert drawn_orders("none", 2, size, torch.Generator()) is None
