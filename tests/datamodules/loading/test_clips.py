"""Clips of files whose headers claim frames that do not exist."""

from typing import Any

import numpy as np
import torch

from datamodules.loading.clips import draw_frames
from datamodules.loading.sampling import continuous_indices, seeded_generator


class Claiming:
    """A video that claims more frames than it has, until its end has been read."""

    def __init__(self, claimed: int, actual: int) -> None:
        self.num_frames, self.actual = claimed, actual

    def read(self, indices: list[int]) -> list[np.ndarray]:
        if max(indices) >= self.actual:
            self.num_frames = self.actual
        return [np.full((1, 1, 3), min(i, self.actual - 1), np.uint8) for i in indices]


def last_frames(count: int, generator: torch.Generator) -> torch.Tensor:
    return continuous_indices(count, 4, 2, generator)


def draw(claimed: int, actual: int, seed: int) -> tuple[list[int], list[int]]:
    video: Any = Claiming(claimed, actual)
    indices, frames = draw_frames(video, last_frames, seeded_generator(seed))
    return indices.tolist(), [int(frame[0, 0, 0]) for frame in frames]


def test_missing_frames_are_drawn_again() -> None:
    redrawn = 0
    for seed in range(50):
        indices, frames = draw(40, 20, seed)
        assert indices == frames
        assert max(indices) < 20
        redrawn += (indices, frames) == draw(20, 20, seed)
    assert 10 < redrawn < 50
