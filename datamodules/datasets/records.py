"""What a benchmark reads of one video: its frames, decoded on demand, and its ground truth."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .files import read_frame, read_mask

VOID = 255


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameSequence:
    """A video as a list of pictures.

    Args:
        name: as the benchmark calls it; also the name of what is written for it.
        frames: picture files in time order.
        size: (height, width) of the frames, pixels.
    """

    name: str
    frames: tuple[Path, ...]
    size: tuple[int, int]

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    def frame(self, t: int) -> Tensor:
        """Frame number `t` (zero-based): uint8 RGB (3, H, W); grey pictures become RGB.

        Raises:
            DecodingError: if the file is not a whole picture.
        """
        return torch.from_numpy(read_frame(self.frames[t]))

    def read(self, ahead: int = 4) -> Iterator[Tensor]:
        """All frames in time order, decoded by one thread up to `ahead` frames before they are asked for.

        An error in the thread is raised where its frame would have come.
        """
        pool = ThreadPoolExecutor(max_workers=1)
        try:
            pending = deque(pool.submit(self.frame, t) for t in range(min(ahead, self.num_frames)))
            for t in range(self.num_frames):
                frame = pending.popleft().result()
                if t + ahead < self.num_frames:
                    pending.append(pool.submit(self.frame, t + ahead))
                yield frame
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskSequence(FrameSequence):
    """A video whose objects are given as indexed masks.

    Args:
        masks: frame number → indexed (or 8-bit grey) PNG of that frame.
        objects: ids to follow, ascending.
        starts: object id → number of the frame whose mask introduces it; 0 for all in DAVIS.
        ground_truth: the masks are what to score against; False where they only introduce objects.
        categories: object id → category, where the benchmark has categories.
        unseen: ids whose category the training split does not have.
        values: pixel value → object id, where a file does not hold the ids themselves (DAVIS-2016: {255: 1}).
    """

    masks: Mapping[int, Path]
    objects: tuple[int, ...]
    starts: Mapping[int, int]
    ground_truth: bool = True
    categories: Mapping[int, str] = field(default_factory=dict)
    unseen: frozenset[int] = frozenset()
    values: Mapping[int, int] = field(default_factory=dict)

    def mask(self, t: int) -> Tensor:
        """Mask of frame number `t`: uint8 ids (H, W), 0 = background; 255 (void) is kept as it is.

        Raises:
            DecodingError: if the file is not a whole picture.
            KeyError: if frame `t` has no mask.
        """
        ids = read_mask(self.masks[t], self.size)
        if self.values:
            table = np.arange(256, dtype=np.uint8)
            table[list(self.values)] = list(self.values.values())
            ids = table[ids]
        return torch.from_numpy(ids)

    def entering(self, t: int) -> tuple[int, ...]:
        """Ids of the objects that the mask of frame `t` introduces."""
        return tuple(i for i in self.objects if self.starts[i] == t)
