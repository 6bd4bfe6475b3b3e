"""Clips of unlabelled videos for training: any folder or list of video files or of folders of frames."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from .datasets.youtube_vos import held_out_among
from .loading.clips import ClipDataset, Sampling, Transform, too_many
from .loading.loader import SampledDataModule
from .loading.sampling import (
    ColourAugmentation,
    centre_crop,
    continuous_indices,
    distant_indices,
    random_resized_crop,
    seeded_generator,
    whole_frame,
)
from .reading.guards import DataError, raise_limit, require_at_least, require_one_of
from .reading.source import VideoEntry, hashed_rank, list_videos, open_video

Batch = dict[str, Any]


class VideoDataModule(SampledDataModule):
    """Clips of T frames from videos.

    A batch is a dictionary:

    - `clip`: (B, T, 3, size, size) uint8 as the loader gives it; float RGB in [0, 1] on the device;
    - `video_index`: (B,) long, number of the video in the source;
    - `frame_index`: (B, T) long, zero-based;
    - `label`: (B,) long, where a list file gives labels;
    - `failures`: one line for each video that could not be decoded while this batch was made and had to be replaced;
    - `redrawn`: one line for each clip that was resampled, as its video is shorter than its
      header claims.

    Without validation videos the validation loader gives one empty dictionary, so that validation hooks run. What a
    worker draws is a function of (seed, epoch, sample), what the device draws of (seed, epoch, batch, rank).

    Args:
        source: folder, searched through for video files and folders of frames, or a .txt or .csv list of them with
            optional labels, as `datamodules.reading.source.list_videos` reads it.
        frames: T, frames in a clip.
        sampling: "distant", one frame from each of T equal segments, or "continuous", every `interval` frames
            (VFS, Table 1).
        interval: frames from one to the next in continuous sampling; of several, one is drawn per clip. 0 repeats one
            frame.
        interval_weights: probabilities of several intervals; equal where not given.
        size: side of the frames, pixels.
        spatial: True for a random resized crop and flip of each frame, False for a centre crop, "whole" for the
            complete frame squeezed into the square (Liir).
        area: smallest and largest fraction of the frame's area that a random crop takes.
        flip: probability of a horizontal flip.
        colour: jitter, grey and blur each frame (training only, on the device).
        blur_sigma: smallest and largest standard deviation of that blur, in pixels. The default is VFS's released
            value, which is hardly a blur; its paper cites MoCo v2, which has (0.1, 2.0).
        batch_size: clips per rank.
        num_workers: processes that decode, per rank; by default the usable cores, at most 8.
        validation_fraction: fraction of the videos that is kept for validation, at least one video unless 0.
        include_holdout: also train on the videos of YouTube-VOS that `YoutubeVos(split="holdout")` scores. By default a
            folder of YouTube-VOS is read without them, and a list that names one is refused.
        samples_per_epoch: clips in an epoch, drawn with replacement from all frames of all videos; without it an
            epoch takes one clip from each video.
        repeat: number of times that an epoch goes through the videos.
        seed: seed of every draw.
        timeout: seconds after which the decoding of a video is given up.
        max_megapixels: largest frame that is decoded (89 by default); a video with larger ones is unusable.
        max_unusable: fraction of the clips that may have to be replaced by those of other videos before a warning says
            how to find the bad ones.

    Raises:
        DataError: from `setup`, if the source is not as described.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        frames: int = 8,
        sampling: Literal["distant", "continuous"] = "distant",
        interval: int | list[int] = 8,
        interval_weights: list[float] | None = None,
        size: int = 224,
        spatial: bool | Literal["whole"] = True,
        area: tuple[float, float] = (0.2, 1.0),
        flip: float = 0.5,
        colour: bool = False,
        blur_sigma: tuple[float, float] = (0.1, 0.2),
        batch_size: int = 32,
        num_workers: int | None = None,
        validation_fraction: float = 0.02,
        include_holdout: bool = False,
        samples_per_epoch: int | None = None,
        repeat: int = 1,
        seed: int = 0,
        timeout: float = 60.0,
        max_unusable: float = 0.05,
        max_megapixels: float | None = None,
    ) -> None:
        super().__init__(Path(source).expanduser(), batch_size, num_workers, seed)
        intervals = [interval] if isinstance(interval, int) else list(interval)
        weights = interval_weights or [1.0] * len(intervals)
        require_at_least(1, frames=frames, size=size, repeat=repeat)
        if samples_per_epoch is not None:
            require_at_least(1, samples_per_epoch=samples_per_epoch)
        require_one_of(("distant", "continuous"), sampling=sampling)
        require_one_of((True, False, "whole"), spatial=spatial)
        for fits, expected in (
            (bool(intervals) and min(intervals) >= 0, f"interval must be 0 or more frames, got {intervals}"),
            (
                len(weights) == len(intervals) and min(weights) >= 0 and sum(weights) > 0,
                f"interval_weights {weights} do not fit the intervals {intervals}",
            ),
            (0 < area[0] <= area[1] <= 1, f"area must be two ascending fractions in (0, 1], got {area}"),
            (0 <= flip <= 1, f"flip must be a probability in [0, 1], got {flip}"),
            (timeout > 0, f"timeout must be above 0 seconds, got {timeout}"),
            (0 <= validation_fraction < 1, f"validation_fraction must be in [0, 1), got {validation_fraction}"),
            (0 <= max_unusable <= 1, f"max_unusable must be a fraction in [0, 1], got {max_unusable}"),
            (0 < blur_sigma[0] <= blur_sigma[1], f"blur_sigma must be two ascending numbers above 0, got {blur_sigma}"),
        ):
            if not fits:
                raise ValueError(expected)
        raise_limit(max_megapixels)
        self.timeout = timeout
        self.validation_fraction, self.include_holdout = validation_fraction, include_holdout
        self.samples_per_epoch, self.repeat, self.max_unusable = samples_per_epoch, repeat, max_unusable
        self.sampling: Sampling = (
            partial(_distant, frames) if sampling == "distant" else partial(_continuous, frames, intervals, weights)
        )
        self.evaluation_transform: Transform = partial(whole_frame if spatial == "whole" else centre_crop, size=size)
        random_crop = partial(random_resized_crop, size=size, area=area, flip=flip)
        self.transform = random_crop if spatial is True else self.evaluation_transform
        self.colour = ColourAugmentation(sigma=(blur_sigma[0], blur_sigma[1])) if colour else None
        self.videos: tuple[VideoEntry, ...] = ()

    def setup(self, stage: str) -> None:
        """List the source and keep videos for validation."""
        if self.videos:
            return
        self.videos = self._without_holdout(list_videos(self.source))
        training, validation = self._split()
        weights = self._count_frames(training) if self.samples_per_epoch else None
        length = self.samples_per_epoch or len(training) * self.repeat
        clips = partial(ClipDataset, self.videos, sampling=self.sampling, timeout=self.timeout)
        self.training = clips(training, transform=self.transform, length=length, weights=weights, seed=self.seed)
        if validation:
            transform = self.evaluation_transform
            self.held_out = clips(validation, transform=transform, length=len(validation), seed=~self.seed)

    def _without_holdout(self, videos: tuple[VideoEntry, ...]) -> tuple[VideoEntry, ...]:
        """Leave out what YouTube-VOS's hold-out split scores, or refuse a list that names it."""
        held_out = frozenset() if self.include_holdout else held_out_among(entry.path for entry in videos)
        if held_out and self.source.is_file():
            raise DataError(
                f"{self.source}: {len(held_out)} of {len(videos)} videos belong to YouTube-VOS's hold-out split, such "
                f"as {min(held_out)}; take them out of the list, or train on them with --data.include_holdout true"
            )
        if held_out:
            rank_zero_info(f"{self.source}: {len(held_out)} videos of YouTube-VOS's hold-out split are left out")
        kept = tuple(entry for entry in videos if entry.path not in held_out)
        if not kept:
            raise DataError(f"{self.source}: all videos belong to the hold-out split; see --data.include_holdout")
        return kept

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Convert clips to float in [0, 1] on the device, and augment their colours in training."""
        batch = super().on_after_batch_transfer(batch, dataloader_idx)
        if self.colour is not None and self.trainer is not None and self.trainer.training:
            clip: Tensor = batch["clip"]
            step = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
            generator = seeded_generator(self.seed, self.trainer.current_epoch, step, self.trainer.global_rank)
            batch["clip"] = self.colour(clip.flatten(0, 1), generator).view_as(clip)
        return batch

    def _split(self) -> tuple[list[int], list[int]]:
        """Return the numbers of the videos to train on, and of those for validation, whose hashed names come first."""
        if not self.validation_fraction:
            return list(range(len(self.videos))), []
        count = max(1, round(self.validation_fraction * len(self.videos)))
        if count >= len(self.videos):
            raise DataError(
                f"{self.source}: {len(self.videos)} video(s) leave none to train on; set data.validation_fraction to 0"
            )
        root = self.source if self.source.is_dir() else self.source.parent
        names = [os.path.relpath(entry.path, root) for entry in self.videos]
        ranked = sorted(range(len(names)), key=lambda number: hashed_rank(self.seed, names[number]))
        return sorted(ranked[count:]), sorted(ranked[:count])

    def _count_frames(self, videos: Sequence[int]) -> list[int]:
        """Count the frames of videos; 0 where one cannot be opened."""

        def count(number: int) -> int:
            try:
                with open_video(self.videos[number].path, self.timeout) as video:
                    return video.num_frames
            except DataError as error:
                self.skipped[self.videos[number].path.as_posix()] += 1
                warnings.warn(f"left out: {error}", stacklevel=2)
                return 0

        with ThreadPoolExecutor(max(self.num_workers, 1)) as pool:
            counts = list(pool.map(count, videos))
        if not sum(counts):
            raise DataError(f"{self.source}: none of {len(counts)} videos can be opened")
        if counts.count(0) > self.max_unusable * len(counts):
            rank_zero_warn(too_many(f"{counts.count(0)} of {len(counts)} videos", str(self.source)))
        return counts


def _distant(frames: int, num_frames: int, generator: torch.Generator) -> Tensor:
    return distant_indices(num_frames, frames, generator)


def _continuous(
    frames: int, intervals: list[int], weights: list[float], num_frames: int, generator: torch.Generator
) -> Tensor:
    interval = intervals[int(torch.multinomial(torch.tensor(weights), 1, generator=generator))]
    return continuous_indices(num_frames, frames, interval, generator)
