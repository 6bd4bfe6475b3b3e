"""Clips of files whose headers claim frames that do not exist."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datamodules.loading.clips import draw_frames
from datamodules.loading.sampling import continuous_indices, seeded_generator
from tests.helpers.numbered_videos import read_number, write_video
from vidcorr.videos.decoding import VideoFile
from vidcorr.videos.source import list_videos


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


@pytest.mark.parametrize(("suffix", "codec"), [(".h264", "libx264"), (".y4m", "wrapped_avframe")])
def test_raw_streams_are_read(tmp_path: Path, suffix: str, codec: str) -> None:
    write_video(tmp_path / f"raw{suffix}", 7, codec=codec)
    [entry] = list_videos(tmp_path)
    with VideoFile(entry.path) as video:
        assert [read_number(frame) for frame in video.frames()] == list(range(7))
    with VideoFile(entry.path) as video:
        assert abs(video.num_frames - 7) <= 1
        assert read_number(video.read([4])[0]) == 4
