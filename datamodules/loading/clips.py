"""Clips of a list of videos as a map-style data set from (epoch, index) to tensors."""

import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from ..reading.decoding import VideoFile
from ..reading.errors import DataError
from ..reading.source import FrameFolder, VideoEntry, open_video
from .loader import Key, epoch_and_index
from .sampling import seeded_generator

Sample = dict[str, Any]
Sampling = Callable[[int, torch.Generator], Tensor]
Transform = Callable[[Sequence[np.ndarray], torch.Generator], Tensor]
OpenedVideo = VideoFile | FrameFolder
ATTEMPTS = 10


class ReplacingDataset(Dataset[Sample]):
    """Data set that replaces an unusable item by another one.

    The replacement, and every draw, is a function of (seed, epoch, index, attempt). A sample's `failures` has one
    line for each item that was replaced.

    Attributes:
        seed: seed of all draws; data sets whose draws should differ need different seeds.

    Raises:
        DataError: from an item, if ten in a row could not be used.
    """

    seed: int

    @abstractmethod
    def choose(self, index: int, attempt: int, generator: torch.Generator) -> int:
        """Return the item's index for a sample; `attempt` counts from 0."""

    @abstractmethod
    def read(self, item: int, generator: torch.Generator) -> Sample:
        """Make a sample of an item.

        Raises:
            DataError: if the item cannot be used.
        """

    def draws(self, key: Key, attempt: int) -> torch.Generator:
        """Return the generator of all draws of an attempt at a sample."""
        return seeded_generator(self.seed, *key, attempt)

    def __getitem__(self, key: Key | int) -> Sample:
        key = epoch_and_index(key)
        failures: list[str] = []
        for attempt in range(ATTEMPTS):
            generator = self.draws(key, attempt)
            item = self.choose(key[1], attempt, generator)
            try:
                return self.read(item, generator) | {"failures": failures}
            except DataError as error:
                failures.append(str(error))
        raise DataError(f"{ATTEMPTS} videos in a row could not be used: {'; '.join(failures)}")


class ClipDataset(ReplacingDataset):
    """Decode, sample and crop one clip.

    Where a drawn frame does not exist, since the video is shorter than its header claims,
    the clip is resampled from the frames that are there; the sample's `redrawn` names it.

    Args:
        entries: the videos.
        numbers: the number of each video in the source, given out as `video_index`.
        sampling: from (number of frames, generator) to the frame numbers of a clip.
        transform: from (frames, generator) to a (T, 3, H, W) uint8 tensor.
        length: samples in an epoch; sample i is of video i modulo their number.
        weights: where given, the video of each sample is drawn with these weights instead.
        seed: seed of all draws.
        timeout: seconds for the decoding of one clip.
        opened_by: opens the video of a number, given a timeout, where it is not a separate file.
    """

    def __init__(
        self,
        entries: Sequence[VideoEntry],
        numbers: Sequence[int],
        sampling: Sampling,
        transform: Transform,
        length: int,
        weights: Sequence[int] | None = None,
        seed: int = 0,
        timeout: float = 60.0,
        opened_by: Callable[[int, float], OpenedVideo] | None = None,
    ) -> None:
        # arrays, not lists of objects: workers are forks, and counting references would copy the pages of a long list
        self._paths = np.array([os.fsencode(entry.path) for entry in entries])
        self._numbers = np.array(numbers, dtype=np.int64)
        labels = [entry.label for entry in entries]
        self._labels = None if None in labels else np.array(labels, dtype=np.int64)
        self._bounds = None if weights is None else np.cumsum(weights)
        self._sampling, self._transform = sampling, transform
        self._length, self.seed, self._timeout = length, seed, timeout
        self._opened_by = opened_by

    def __len__(self) -> int:
        return self._length

    def choose(self, index: int, attempt: int, generator: torch.Generator) -> int:
        """Return the number of the video for a sample."""
        if self._bounds is not None:
            frame = int(torch.randint(int(self._bounds[-1]), (), generator=generator))
            return int(np.searchsorted(self._bounds, frame, side="right"))
        if attempt:
            return int(torch.randint(len(self._paths), (), generator=generator))
        return index % len(self._paths)

    def read(self, video: int, generator: torch.Generator) -> Sample:
        """Decode and crop a clip of a video."""
        with self._open(video) as opened:
            indices, frames, missing = draw_frames(opened, self._sampling, generator)
        sample = {
            "clip": self._transform(frames, generator),
            "video_index": int(self._numbers[video]),
            "frame_index": indices,
            "redrawn": [missing] if missing else [],
        }
        if self._labels is not None:
            sample["label"] = int(self._labels[video])
        return sample

    def _open(self, video: int) -> OpenedVideo:
        if self._opened_by is not None:
            return self._opened_by(int(self._numbers[video]), self._timeout)
        return open_video(os.fsdecode(self._paths[video]), self._timeout)


def draw_frames(
    video: OpenedVideo, sampling: Sampling, generator: torch.Generator
) -> tuple[Tensor, list[np.ndarray], str | None]:
    """Draw and decode frames of a video; where one of them does not exist, draw again from those that do.

    The second draw starts from the generator's state before the first one, so that the outcome is a function of that
    state and of the file, whatever was read before.

    Args:
        video: open.
        sampling: from (number of frames, generator) to frame numbers.
        generator: source of the draws.

    Returns:
        Frame numbers (n,) long; the frames, each (H, W, 3) uint8; a line for the record if it was resampled.

    Raises:
        DecodingError: if a frame cannot be decoded.
    """
    state, claimed = generator.get_state(), video.num_frames
    indices = sampling(claimed, generator)
    frames = video.read(indices.tolist())
    if int(indices.max()) < video.num_frames:
        return indices, frames, None
    generator.set_state(state)
    indices = sampling(video.num_frames, generator)
    frames = video.read(indices.tolist())
    return indices, frames, f"{video.path}: {claimed} frames expected, {video.num_frames} can be decoded"


def collate_with_failures(samples: Sequence[Sample]) -> dict[str, Any]:
    """Stack samples of a `ReplacingDataset` by torch's own rules; `failures` are the lines of all of them."""
    batch: dict[str, Any] = default_collate([{k: v for k, v in s.items() if k != "failures"} for s in samples])
    return batch | {"failures": [line for sample in samples for line in sample.get("failures", ())]}


def collate_clips(samples: Sequence[Sample]) -> dict[str, Any]:
    """Stack samples into the batch that `VideoDataModule` describes."""
    batch: dict[str, Any] = {
        name: torch.stack([sample[name] for sample in samples]) for name in ("clip", "frame_index")
    }
    for name in ("video_index", "label"):
        if name in samples[0]:
            batch[name] = torch.tensor([sample[name] for sample in samples])
    batch["failures"] = [line for sample in samples for line in sample["failures"]]
    if redrawn := [line for sample in samples for line in sample["redrawn"]]:
        batch["redrawn"] = redrawn
    return batch
