"""Clips of unlabelled videos for training: any folder or list of video files or of folders of frames."""

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor
from torch.utils.data import DataLoader

from .datasets.youtube_vos import held_out_among
from .loading.clips import ClipDataset, Sampling, Transform, collate_clips
from .loading.colour_augmentation import ColourAugmentation
from .loading.loader import ResumableLoader
from .loading.module import SampledDataModule
from .loading.sampling import continuous_indices, distant_indices, seeded_generator
from .loading.skipped import SkippedVideos, too_many
from .loading.transforms import CentreCrop, RandomResizedCrop, WholeFrame
from .reading.errors import DataError, require_at_least, require_one_of
from .reading.guards import raise_limit
from .reading.shards import ShardedVideos, is_sharded, is_url
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
    - `redrawn`, only where there are any: one line for each clip that was resampled, as its video is shorter than its
      header claims.

    Without held-out videos the validation loader gives one empty dictionary, so that validation hooks run. What a
    worker draws is a function of (seed, epoch, sample), what the device draws of (seed, epoch, batch, rank).

    Args:
        source: folder, searched through for video files and folders of frames, or a .txt or .csv list of them with
            optional labels, as `datamodules.reading.source.list_videos` reads it; or the output of `vidcorr shard` on
            such a source, as a folder or a URL, which gives the same batches.
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
            value, which is hardly a blur; its paper follows MoCo v2, which has (0.1, 2.0).
        batch_size: clips per rank.
        num_workers: processes that decode, per rank; by default the usable cores, at most 8.
        holdout: fraction of the videos that is kept for validation, at least one video unless 0.
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

    collate = staticmethod(collate_clips)

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
        holdout: float = 0.02,
        include_holdout: bool = False,
        samples_per_epoch: int | None = None,
        repeat: int = 1,
        seed: int = 0,
        timeout: float = 60.0,
        max_unusable: float = 0.05,
        max_megapixels: float | None = None,
    ) -> None:
        super().__init__(batch_size, num_workers, seed)
        intervals = [interval] if isinstance(interval, int) else list(interval)
        require_at_least(1, frames=frames, size=size, repeat=repeat)
        if samples_per_epoch is not None:
            require_at_least(1, samples_per_epoch=samples_per_epoch)
        require_one_of(("distant", "continuous"), sampling=sampling)
        require_one_of((True, False, "whole"), spatial=spatial)
        _check_arguments(intervals, interval_weights, area, flip, holdout, timeout)
        self.source = str(source) if is_url(source) else Path(source).expanduser()
        self.timeout = timeout
        self.worker_timeout = 20 * timeout  # ends even what hangs inside a decoder
        self.holdout, self.samples_per_epoch, self.repeat = holdout, samples_per_epoch, repeat
        self.sampling: Sampling = (
            partial(_distant, frames)
            if sampling == "distant"
            else partial(_continuous, frames, intervals, interval_weights)
        )
        self.evaluation_transform: Transform = WholeFrame(size) if spatial == "whole" else CentreCrop(size)
        self.transform = RandomResizedCrop(size, area, flip=flip) if spatial is True else self.evaluation_transform
        if not 0 < blur_sigma[0] <= blur_sigma[1]:
            raise ValueError(f"blur_sigma must be two ascending numbers above 0, got {blur_sigma}")
        self.colour = ColourAugmentation(sigma=(blur_sigma[0], blur_sigma[1])) if colour else None
        raise_limit(max_megapixels)
        self.include_holdout = include_holdout
        self.videos: tuple[VideoEntry, ...] = ()
        self._shards: ShardedVideos | None = None
        if not 0 <= max_unusable <= 1:
            raise ValueError(f"max_unusable must be a fraction in [0, 1], got {max_unusable}")
        self.max_unusable = max_unusable
        self.skipped: Counter[str] = Counter()

    def setup(self, stage: str) -> None:
        """List the source and hold videos out."""
        if not self.videos:
            if is_sharded(self.source):
                self._shards = ShardedVideos(self.source)
            self.videos = self._shards.videos if self._shards else self._without_holdout(list_videos(self.source))
            self._training, self._held_out = self._split()
            self._weights = self._count_frames() if self.samples_per_epoch else None
        SkippedVideos(self.skipped, self.max_unusable, str(self.source)).join(self.trainer)

    def _without_holdout(self, videos: tuple[VideoEntry, ...]) -> tuple[VideoEntry, ...]:
        """Leave out what YouTube-VOS's hold-out split scores, or refuse a list that names it."""
        held_out = frozenset() if self.include_holdout else held_out_among(entry.path for entry in videos)
        if held_out and Path(self.source).is_file():
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

    def train_dataloader(self) -> ResumableLoader[Batch]:
        """Return a loader of clips in an order that is a function of (seed, epoch); its state is the position in it."""
        length = self.samples_per_epoch or len(self._training) * self.repeat
        dataset = self._dataset(self._training, self.transform, length, self._weights, self.seed)
        return self.training_loader(
            dataset, f"{self.source}: {length} clips an epoch", "lower batch_size or raise repeat"
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Return a loader of the held-out videos: fixed draws, no augmentation; one empty batch if none."""
        if not self._held_out:
            return self.fixed_loader(None)
        dataset = self._dataset(self._held_out, self.evaluation_transform, len(self._held_out), None, ~self.seed)
        return self.fixed_loader(dataset)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Convert clips to float in [0, 1] on the device, and augment their colours in training."""
        if "clip" not in batch:
            return batch
        clip: Tensor = batch["clip"].float().div_(255)
        if self.colour is not None and self.trainer is not None and self.trainer.training:
            step = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
            generator = seeded_generator(self.seed, self.trainer.current_epoch, step, self.trainer.global_rank)
            clip = self.colour(clip.flatten(0, 1), generator).view_as(clip)
        return batch | {"clip": clip}

    def _dataset(
        self, numbers: Sequence[int], transform: Transform, length: int, weights: Sequence[int] | None, seed: int
    ) -> ClipDataset:
        entries = [self.videos[number] for number in numbers]
        opened_by = self._shards.open if self._shards else None
        return ClipDataset(
            entries, numbers, self.sampling, transform, length, weights, seed, timeout=self.timeout, opened_by=opened_by
        )

    def _split(self) -> tuple[list[int], list[int]]:
        """Return the numbers of the videos to train on and of those held out, whose hashed names come first."""
        if not self.holdout:
            return list(range(len(self.videos))), []
        count = max(1, round(self.holdout * len(self.videos)))
        if count >= len(self.videos):
            raise DataError(f"{self.source}: {len(self.videos)} video(s) leave none to train on; set holdout to 0")
        root = Path(self.source)
        if not root.is_dir():
            root = root.parent

        def rank(number: int) -> bytes:
            path = self.videos[number].path
            name = str(path) if self._shards else os.path.relpath(path, root)  # names in shards are relative
            return hashed_rank(self.seed, name)

        held_out = sorted(sorted(range(len(self.videos)), key=rank)[:count])
        return sorted(set(range(len(self.videos))) - set(held_out)), held_out

    def _count_frames(self) -> list[int]:
        """Count the frames of each training video; 0 where it cannot be opened."""

        def count(number: int) -> int:
            try:
                video = self.videos[number]
                opened = self._shards.open(number) if self._shards else open_video(video.path, self.timeout)
                with opened:
                    return opened.num_frames
            except DataError as error:
                self.skipped[self.videos[number].path.as_posix()] += 1
                warnings.warn(f"left out: {error}", stacklevel=2)
                return 0

        with ThreadPoolExecutor(max(self.num_workers, 1)) as pool:
            counts = list(pool.map(count, self._training))
        if not sum(counts):
            raise DataError(f"{self.source}: none of {len(counts)} videos can be opened")
        if counts.count(0) > self.max_unusable * len(counts):
            rank_zero_warn(too_many(f"{counts.count(0)} of {len(counts)} videos", str(self.source)))
        return counts


def _distant(frames: int, num_frames: int, generator: torch.Generator) -> Tensor:
    return distant_indices(num_frames, frames, generator)


def _continuous(
    frames: int, intervals: list[int], weights: list[float] | None, num_frames: int, generator: torch.Generator
) -> Tensor:
    chances = torch.tensor(weights or [1.0] * len(intervals))
    interval = intervals[int(torch.multinomial(chances, 1, generator=generator))]
    return continuous_indices(num_frames, frames, interval, generator)


def _check_arguments(
    intervals: Sequence[int],
    weights: Sequence[float] | None,
    area: tuple[float, float],
    flip: float,
    holdout: float,
    timeout: float,
) -> None:
    if not intervals or min(intervals) < 0:
        raise ValueError(f"interval must be 0 or more frames, got {intervals}")
    if weights is not None and (len(weights) != len(intervals) or min(weights) < 0 or not sum(weights)):
        raise ValueError(f"interval_weights {weights} do not fit the intervals {intervals}")
    if not 0 < area[0] <= area[1] <= 1:
        raise ValueError(f"area must be two ascending fractions in (0, 1], got {area}")
    if not 0 <= flip <= 1:
        raise ValueError(f"flip must be a probability in [0, 1], got {flip}")
    if timeout <= 0:
        raise ValueError(f"timeout must be above 0 seconds, got {timeout}")
    if not 0 <= holdout < 1:
        raise ValueError(f"holdout must be a fraction in [0, 1), got {holdout}")
