"""Results of passes are put together frame by frame; test_predict.py compares whole predictions."""

import numpy as np
import pytest
import torch

from callbacks.prediction.passes import frames_of, merged
from callbacks.prediction.plan import Leg
from datamodules import FrameStream
from tests.helpers.sprite import FRAMES


def test_the_nearer_prompt_has_a_pixel_that_two_claim():
    draw = np.random.default_rng(0)
    below, found = draw.choice([0, 3, 9], (2, 16, 17)).astype(np.uint8)
    found[found == 3] = 5
    distance = {3: (4, 10), 5: (4, 2), 9: (1, 0)}
    expected = below.copy()
    for place in np.ndindex(below.shape):
        a, b = int(below[place]), int(found[place])
        if b and (not a or distance[b] <= distance[a]):
            expected[place] = b
    assert np.array_equal(merged(below, found, distance), expected)


@pytest.mark.parametrize("leg", [Leg(0, 1, None), Leg(4, 1, 7), Leg(6, -1, 0), Leg(9, -1, 5), Leg(3, 1, 3)])
def test_a_pass_sees_its_frames_in_its_direction(leg, folder):
    every = list(FrameStream(folder / "clip.mp4"))
    last = FRAMES - 1 if leg.last is None else leg.last
    expected = every[leg.start : last + 1] if leg.step > 0 else every[last : leg.start + 1][::-1]
    found = list(frames_of(FrameStream(folder / "clip.mp4"), leg))
    assert all(torch.equal(frame, other) for frame, other in zip(found, expected, strict=True))
