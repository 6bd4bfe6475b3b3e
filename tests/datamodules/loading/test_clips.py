"""Clips of files whose headers claim frames that do not exist; what is told of replaced and redrawn videos."""

from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from datamodules.loading import clips
from datamodules.loading.clips import SkippedVideos, draw_frames
from datamodules.loading.sampling import continuous_indices, seeded_generator
from tests.helpers.numbered_videos import read_number, write_video
from vidcorr.videos.decoding import VideoFile
from vidcorr.videos.source import list_videos


class Claiming:
    """A video that claims more frames than it has, until its end has been read."""

    path = "claims.avi"

    def __init__(self, claimed: int, actual: int) -> None:
        self.num_frames, self.actual = claimed, actual

    def read(self, indices: list[int]) -> list[np.ndarray]:
        if max(indices) >= self.actual:
            self.num_frames = self.actual
        return [np.full((1, 1, 3), min(i, self.actual - 1), np.uint8) for i in indices]


def last_frames(count: int, generator: torch.Generator) -> torch.Tensor:
    return continuous_indices(count, 4, 2, generator)


def draw(claimed: int, actual: int, seed: int) -> tuple[list[int], list[int], str | None]:
    video: Any = Claiming(claimed, actual)
    indices, frames, note = draw_frames(video, last_frames, seeded_generator(seed))
    return indices.tolist(), [int(frame[0, 0, 0]) for frame in frames], note


def test_missing_frames_are_drawn_again_and_told() -> None:
    notes = 0
    for seed in range(50):
        indices, frames, note = draw(40, 20, seed)
        assert indices == frames
        assert max(indices) < 20
        if note:
            notes += 1
            assert (indices, frames, None) == draw(20, 20, seed)
    assert 10 < notes < 50
    assert draw(40, 20, 1)[2] in (None, "claims.avi: 40 frames expected, 20 can be decoded")


@pytest.mark.parametrize(("suffix", "codec"), [(".h264", "libx264"), (".y4m", "wrapped_avframe")])
def test_raw_streams_are_read(tmp_path: Path, suffix: str, codec: str) -> None:
    write_video(tmp_path / f"raw{suffix}", 7, codec=codec)
    [entry] = list_videos(tmp_path)
    with VideoFile(entry.path) as video:
        assert [read_number(frame) for frame in video.frames()] == list(range(7))
    with VideoFile(entry.path) as video:
        assert abs(video.num_frames - 7) <= 1
        assert read_number(video.read([4])[0]) == 4


def enter(books: SkippedVideos, **batch: Any) -> None:
    books.on_train_batch_start(Mock(), Mock(), batch, 0)


@pytest.mark.filterwarnings("ignore:replaced by another video")
def test_redrawn_clips_are_told_and_each_event_counted() -> None:
    counts: Counter[str] = Counter()
    books = SkippedVideos(counts)
    enter(books, failures=3 * ["a.mp4: broken"], video_index=torch.zeros(3))
    with pytest.warns(UserWarning, match="resampled from the existing frames: b.avi: 9 frames expected") as told:
        enter(books, failures=[], redrawn=["b.avi: 9 frames expected, 7 can be decoded"], video_index=torch.zeros(2))
    assert told[0].filename == clips.__file__  # no file of Lightning
    module = Mock(device="cpu")
    books.on_train_epoch_end(Mock(), module)
    assert counts == {"a.mp4": 3}
    logged = {call.args[0]: float(call.args[1]) for call in module.log.mock_calls}
    assert logged == {"data/skipped_videos": 3.0, "data/redrawn_clips": 1.0}


@pytest.mark.filterwarnings("ignore:replaced by another video")
def test_too_many_are_warned_of_once_and_not_before_five() -> None:
    books = SkippedVideos(Counter(), max_unusable=0.5, source="videos")
    for _ in range(4):
        enter(books, failures=["a.mp4: broken"], video_index=torch.zeros(0))
    with pytest.warns(UserWarning, match="TOO MANY UNUSABLE VIDEOS: 5 of 5 clips so far .* check-data videos"):
        enter(books, failures=["a.mp4: broken"], video_index=torch.zeros(0))
