"""Data sets that the workers of a loader run: clips of a list of videos by (epoch, index)."""

import os
import signal
import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from vidcorr.signals import STOPS, unblock_stops
from vidcorr.videos.addresses import is_address
from vidcorr.videos.digests import text_digest
from vidcorr.videos.files import DataError
from vidcorr.videos.folders import is_photo
from vidcorr.videos.image_files import read_photo
from vidcorr.videos.source import OpenedVideo, SourceEntry, open_video

from .sampling import seeded_generator

Key = tuple[int, int]  # epoch, index of the sample in it
Sample = dict[str, Any]
Sampling = Callable[..., Tensor]  # (number of frames, generator=)
Transform = Callable[[Sequence[np.ndarray], torch.Generator], Tensor]
ATTEMPTS = 10  # items that are tried for a sample


class ReplacingDataset(Dataset[Sample]):
    """Data set over items, each a path, that replaces an unusable item by a random item.

    All draws are a function of (seed, epoch, index, attempt). A sample's `failures` has a line per replaced item.

    Args:
        paths: a path per item.
        length: samples in an epoch; sample i comes from item i modulo the number of items.
        seed: seed of all draws; data sets with different draws need different seeds.
        replaces: replace an unusable item; False: it is an error.
        weights: a weight per item, by which the item of a sample is drawn; None: item i modulo the number.

    Raises:
        DataError: from a sample, if ten items in a row could not be used.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        length: int,
        seed: int,
        replaces: bool = True,
        weights: Sequence[int] | None = None,
    ) -> None:
        self._paths = np.array(list(map(os.fsencode, paths)))  # one array: workers share its memory
        self.length = length  # samples of an epoch
        self.seed = seed
        self.replaces = replaces  # an item that cannot be used
        self._cumulative_weights = None if weights is None else np.cumsum(weights)  # items are drawn by their weights

    def __len__(self) -> int:
        return self.length

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """`items`: number of items; `digest`: digest of the items' weights, and of their paths below the shared folder.

        A checkpoint holds the fingerprint, by which a resumed run recognises its data: this function must not change.

        Example:
            >>> ReplacingDataset(["/data/sets/a/1.mp4", "/data/sets/ab/2.mp4"], length=2, seed=0).fingerprint
            {'items': 2, 'digest': 'f3b95842ca0b'}
            >>> ReplacingDataset(["/mnt/a/1.mp4", "/mnt/ab/2.mp4"], length=2, seed=0).fingerprint  # moved
            {'items': 2, 'digest': 'f3b95842ca0b'}
            >>> ReplacingDataset(["/mnt/a/1.mp4", "/mnt/ab/2.mp4"], length=2, seed=0, weights=[1, 2]).fingerprint
            {'items': 2, 'digest': 'dd6850229c76'}
        """
        paths = list(map(os.fsdecode, self._paths.tolist()))
        shared = os.path.commonprefix(paths).rfind("/") + 1  # noqa: RUF071 - cut to whole folders here
        names = [path[shared:] for path in paths]
        weights = [] if self._cumulative_weights is None else self._cumulative_weights.tolist()
        return {"items": len(paths), "digest": text_digest("\n".join([*names, *map(str, weights)]))}

    def path(self, item: int) -> str:
        """Return an item's path or address."""
        return os.fsdecode(self._paths[item])

    def choose(self, index: int, attempt: int, generator: torch.Generator) -> int:
        """Return the item for an attempt to read sample `index`.

        With weights, every item is drawn in proportion to its weight. Without weights, attempt 0 takes item `index`
        modulo the number of items, and later attempts take a random item.
        """
        if self._cumulative_weights is not None:
            ticket = int(torch.randint(int(self._cumulative_weights[-1]), (), generator=generator))
            return int(np.searchsorted(self._cumulative_weights, ticket, side="right"))  # in whose stretch it lies
        items = len(self._paths)
        return int(torch.randint(items, (), generator=generator)) if attempt else index % items

    @abstractmethod
    def read(self, item: int, generator: torch.Generator) -> Sample:
        """Make a sample of an item: name → value, without `failures`.

        Raises:
            DataError: if the item cannot be used.
        """

    def __getitem__(self, key: Key | int) -> Sample:
        """Read a sample; if its item cannot be used, try further items, unless `replaces` is False.

        Args:
            key: epoch and index of the sample; an index alone, from a sampler that is not ours, is of epoch 0.

        Raises:
            DataError: if the item cannot be used and is not replaced, or `ATTEMPTS` items in a row cannot be used.
        """
        key = (0, key) if isinstance(key, int) else key
        failures: list[str] = []
        for attempt in range(ATTEMPTS):
            generator = seeded_generator(self.seed, *key, attempt)
            item = self.choose(key[1], attempt, generator)  # after a failure a random one
            try:
                return self.read(item, generator) | {"failures": failures}
            except DataError as error:
                if not self.replaces:
                    raise
                failures.append(str(error))
        raise DataError(f"{ATTEMPTS} items in a row could not be used: {'; '.join(failures)}")


class ClipDataset(ReplacingDataset):
    """Clips of videos: draw frames, decode and crop them. A clip of a single image has views of it, each cropped anew.

    If the video is shorter than its header claims and a drawn frame does not exist, the clip is resampled from the
    existing frames.

    Args:
        entries: all videos of the source.
        indices: indices of the videos in use, returned as `video_index`.
        sampling: (number of frames, generator=) → frame indices of a clip.
        transform: (frames, generator) → (T, 3, H, W) uint8.
        length: samples in an epoch; sample i comes from video i modulo the number of videos.
        weights: draw the video of a sample with these weights instead.
        seed: seed of all draws.
    """

    def __init__(
        self,
        entries: Sequence[SourceEntry],
        indices: Sequence[int],
        sampling: Sampling,
        transform: Transform,
        length: int,
        weights: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__([entries[index].file for index in indices], length, seed, weights=weights)
        self.indices = np.array(indices, dtype=np.int64)  # item → index of its entry, the `video_index` of samples
        self._sampling = sampling
        self._transform = transform

    def read(self, item: int, generator: torch.Generator) -> Sample:
        """Draw and crop a clip of an item: `clip`, `video_index`, `frame_index`."""
        path = self.path(item)
        if is_photo(os.path.basename(path)) and not is_address(path):
            indices = self._sampling(1, generator=generator)  # a video of one frame, repeated
            frames = [read_photo(path)] * len(indices)  # read once for all views
        else:
            with open_video(path) as video:
                indices, frames = draw_frames(video, self._sampling, generator)
        clip = self._transform(frames, generator)
        return {"clip": clip, "video_index": int(self.indices[item]), "frame_index": indices}


def draw_frames(video: OpenedVideo, sampling: Sampling, generator: torch.Generator) -> tuple[Tensor, list[np.ndarray]]:
    """Draw and decode frames of a video; if a drawn frame does not exist, draw again from the existing frames.

    The second draw starts from the same generator state as the first, so that the outcome is a function of the state
    and the file only.

    Args:
        sampling: (number of frames, generator=) → frame indices.

    Returns:
        Frame indices (n,) long; the n frames (H, W, 3) uint8.

    Raises:
        DecodingError: if a frame cannot be decoded.
    """
    state = generator.get_state()
    indices = sampling(video.num_frames, generator=generator)
    frames = video.read(indices.tolist())
    if int(indices.max()) >= video.num_frames:  # `read` has corrected the number of frames
        generator.set_state(state)
        indices = sampling(video.num_frames, generator=generator)
        frames = video.read(indices.tolist())
    return indices, frames


def collate(samples: Sequence[Sample]) -> dict[str, Any]:
    """Stack samples to a batch by torch's rules; its `failures` are the lines of all samples, one after the other."""
    failures: list[str] = []
    values: list[Sample] = []
    for sample in samples:
        rest = dict(sample)
        failures += rest.pop("failures", ())
        values.append(rest)
    batch: dict[str, Any] = default_collate(values)
    return batch | {"failures": failures}


def start_worker(worker: int) -> None:
    """Prepare a worker process: one thread for OpenCV, a process group of its own, and an end with its parent.

    Ctrl-C, SLURM and torchrun signal a whole process group. A worker that died by such a signal would break the step
    that its parent wants to finish and save. Signals that came before the new group are discarded.
    """
    import cv2

    cv2.setNumThreads(0)
    if hasattr(os, "setpgrp"):  # Windows has no groups of processes
        os.setpgrp()
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)  # discards a signal to the group that came before
        signal.signal(number, signal.SIG_DFL)
    unblock_stops()  # the worker was started with these signals blocked
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait for the end of the parent process, then end this worker process at once."""
    parent: Any = parent_process()
    wait([parent.sentinel])
    os._exit(1)
