"""Videos as lists of images, decoded on demand, and videos with masks; a reader's file has the others."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from ..videos.files import DataError, plain_name
from ..videos.images import read_ahead, read_image, require_size
from ..videos.masks import read_ids

S = TypeVar("S", bound="FrameSequence")

FRAME_FIELDS = ("frames", "files")
"""Fields of a sequence that name files of frames; the identity of a result has their names and sizes."""


class Reader(Sequence[S]):
    """Sequences of a benchmark's split in the order of its list, checked by the headers of their files."""

    _sequences: tuple[S, ...]

    def __len__(self) -> int:
        return len(self._sequences)

    @overload
    def __getitem__(self, index: int) -> S: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[S]: ...
    def __getitem__(self, index: int | slice) -> S | Sequence[S]:
        return self._sequences[index]


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameSequence:
    """A video as a list of images.

    Args:
        name: name in the benchmark, and of the output files.
        frames: image files in time order.
        size: (height, width) of the frames, pixels.
        sources: lists, metadata and annotations of the video, except masks.
    """

    name: str
    frames: tuple[Path, ...]
    size: tuple[int, int]
    sources: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a name that could lead out of the folder of predictions."""
        plain_name(self.name, self.frames[0].parent if self.frames else "sequence")

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.frames)

    def frame(self, t: int) -> Tensor:
        """Read frame index `t` (zero-based): uint8 RGB (3, H, W); grey images become RGB.

        Raises:
            DecodingError: if the file is missing, truncated or no image, or its size is not `size`.
        """
        import cv2

        image = read_image(self.frames[t])
        require_size(self.frames[t], image.shape, self.size)
        planes = np.empty((3, *image.shape[:2]), np.uint8)
        cv2.split(image, list(planes))  # in place
        return torch.from_numpy(planes)

    def read(self, ahead: int = 4) -> Generator[Tensor]:
        """Iterate over all frames in time order; a thread decodes up to `ahead` frames before they are used."""
        return read_ahead(map(self.frame, range(self.num_frames)), ahead)


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskSequence(FrameSequence):
    """A video with objects in indexed masks.

    Args:
        masks: frame index → file of the mask, in a form that `read_mask` reads.
        starts: object id → index of the frame that introduces it; 0 for all objects of DAVIS.
        ground_truth: the masks are ground truth; False: they only introduce objects.
        categories: object id → category; empty without categories.
        reported: indices of the frames with predictions in the benchmark; None: all.
        values: pixel value → object id, if files do not hold the ids (DAVIS-2016: {255: 1}).
        folder: folder with the masks of a single object, inside the video's folder of masks (SA-V). Its sequence is
            called `<video>_<folder>`; objects may overlap.
        earlier: masks before the first object; `frames` leaves out their frames.
    """

    masks: Mapping[int, Path]
    starts: Mapping[int, int]
    ground_truth: bool = True
    categories: Mapping[int, str] = field(default_factory=dict)
    reported: tuple[int, ...] | None = None
    values: Mapping[int, int] = field(default_factory=dict)
    folder: str = ""
    earlier: tuple[Path, ...] = ()

    @property
    def video(self) -> str:
        """Name of the video, without the object's folder."""
        return self.name.removesuffix(f"_{self.folder}") if self.folder else self.name

    @property
    def objects(self) -> tuple[int, ...]:
        """Object ids, ascending."""
        return tuple(sorted(self.starts))

    def mask(self, t: int) -> Tensor:
        """Read the mask of frame index `t`: uint8 ids (H, W), 0 = background, 255 = void.

        Raises:
            DecodingError: if the file is missing, truncated or no image.
            KeyError: if frame `t` has no mask.
        """
        return self.read_ids(self.masks[t])

    def read_ids(self, path: Path) -> Tensor:
        """Read a mask of the video: uint8 ids (H, W), 0 = background, 255 = void.

        Raises:
            DecodingError: if the file is missing, truncated or no image.
            DataError: if the mask holds no ids, or its 255 may be void or an object.
        """
        masks = (*self.earlier, *self.masks.values())
        return torch.from_numpy(read_ids(path, self.values, masks, self.size))

    def entering(self, t: int) -> tuple[int, ...]:
        """Return the ids of the objects that enter in frame `t`."""
        return tuple(i for i in self.objects if self.starts[i] == t)

    @classmethod
    def from_first_object(
        cls, frames: Sequence[Path], masks: Mapping[int, Path], starts: Mapping[int, int], **fields: Any
    ) -> Self:
        """Return the part of a video from its first object on.

        Masks before that frame stay in `earlier`: they show whether 255 is void.

        Args:
            frames: all frames of the video.
            masks: frame index → mask.
            starts: object id → index of the frame that introduces it.
            fields: the other fields; their frame indices count from the first object on.

        Raises:
            DataError: if fewer than two frames are left.
        """
        begin = min(starts.values())
        if len(frames) - begin < 2:
            raise DataError(
                f"{frames[0].parent}: {len(frames) - begin} frames from the first object on; needs at least 2"
            )
        earlier: list[Path] = []
        later: dict[int, Path] = {}
        for t, mask in sorted(masks.items()):
            if t < begin:
                earlier.append(mask)
            else:
                later[t - begin] = mask
        entries = {number: start - begin for number, start in sorted(starts.items())}
        return cls(frames=tuple(frames[begin:]), masks=later, starts=entries, earlier=tuple(earlier), **fields)
