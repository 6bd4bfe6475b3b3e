"""The finds of all passes are put together frame by frame; test_predict.py stops and resumes them."""

import numpy as np
import pytest
import torch

from callbacks.prediction.passes import KeptMasks, KeptNumbers, frames_of, merged
from callbacks.prediction.plan import Leg
from datamodules import FrameStream
from datamodules.reading.mask_files import davis_palette
from tests.helpers.sprite import FRAMES


@pytest.mark.parametrize("seed", range(5))
def test_the_nearer_prompt_has_a_pixel_that_two_claim(seed):
    draw = np.random.default_rng(seed)
    below, found = draw.choice([0, 3, 9], (2, 6, 7)).astype(np.uint8)
    found[found == 3] = 5
    distance = {3: (4, 10), 5: (4, 2), 9: (1, 0)}
    expected = below.copy()
    for place in np.ndindex(below.shape):
        a, b = int(below[place]), int(found[place])
        if b and (not a or distance[b] <= distance[a]):
            expected[place] = b
    assert np.array_equal(merged(below, found, distance), expected)
    assert np.array_equal(merged(merged(below, found, distance), found, distance), expected)  # a pass that is repeated


@pytest.mark.parametrize("leg", [Leg(0, 1, None), Leg(4, 1, 7), Leg(6, -1, 0), Leg(9, -1, 5), Leg(3, 1, 3)])
@pytest.mark.parametrize("skipped", [0, 2])
def test_a_pass_sees_its_frames_in_its_direction(leg, skipped, folder):
    stream = FrameStream(folder / "clip.mp4")
    every = list(stream)
    last = FRAMES - 1 if leg.last is None else leg.last
    expected = list(range(leg.start, last + leg.step, leg.step))[skipped:]
    found = list(frames_of(stream, leg, skipped))
    assert len(found) == len(expected)
    assert all(torch.equal(frame, every[t]) for frame, t in zip(found, expected, strict=True))


def test_numbers_are_kept_of_the_nearest_prompt_only():
    found: dict[int, torch.Tensor] = {}
    kept = KeptNumbers(found, {0: ["a", "b"], 6: ["b"]})
    kept.add(2, 0, np.array([[1.0, 2], [3, 4]]))
    kept.add(5, 6, np.array([[9.0, 9]]))
    kept.add(5, 0, np.array([[5.0, 6], [7, 8]]))
    assert kept.at(2).tolist() == [[1, 2], [3, 4]]
    assert kept.at(5).tolist() == [[5, 6], [9, 9]]


def test_masks_are_kept_of_the_nearest_prompt_only(folder, tmp_path):
    kept = KeptMasks(tmp_path / "masks", FrameStream(folder / "clip.mp4"), davis_palette(), {0: [1, 2], 6: [2]})
    both = torch.tensor([[1, 2, 0], [2, 2, 1]], dtype=torch.uint8)
    kept.add(5, 0, both)
    assert kept.at(5).tolist() == [[1, 0, 0], [0, 0, 1]]
    kept.add(5, 6, torch.full((2, 3), 2, dtype=torch.uint8))
    assert kept.at(5).tolist() == [[2, 2, 2], [2, 2, 2]]  # its prompt is nearer
    kept.add(3, 6, torch.full((2, 3), 2, dtype=torch.uint8))
    assert not kept.at(3).any()  # of two equally near the earlier
