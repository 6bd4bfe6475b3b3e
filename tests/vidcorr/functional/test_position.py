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
    expected = [wave(angle) for angle in [x, x / 100, y, y / 100] for wave in (math.sin, math.cos)]
    assert found[:, y, x].tolist() == pytest.approx(expected, abs=1e-6)
    refused(ValueError, "divisible by 4, got 6", sinusoidal_position, 6, 2, 2)


def test_frames_are_rolled_or_shuffled_as_trainings_drew_them():
    position = torch.randn(3, 3, 3)
    known = {"shift": [[4, 5, 3, 7, 8, 6, 1, 2, 0], [0, 1, 2, 3, 4, 5, 6, 7, 8]]}
    known["shuffle"] = [[2, 3, 4, 8, 6, 0, 5, 1, 7], [3, 4, 5, 1, 2, 6, 0, 7, 8]]
    for kind, orders in known.items():
        drawn = drawn_orders(kind, 2, (3, 3), torch.Generator().manual_seed(0))
        assert drawn.tolist() == orders
        for frame, order in zip(displaced_position(position, drawn), orders, strict=True):
            assert torch.equal(frame.flatten(1), position.flatten(1)[:, order])
    assert drawn_orders("none", 2, (3, 3), torch.Generator()) is None
