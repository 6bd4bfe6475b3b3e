"""Videos of the benchmarks: frames, decoded on demand, and ground truth."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from ..parallel.processes import read_ahead
from ..reading.guards import DataError, plain_name
from ..reading.images import read_image, require_size
from ..reading.mask_files import VOID, read_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUM_PARTS = 20
"""Classes of VIP, background included."""

S = TypeVar("S", bound="FrameSequence")


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
    """

    name: str
    frames: tuple[Path, ...]
    size: tuple[int, int]

    def __post_init__(self) -> None:
        """Refuse a name that could lead out of the folder of predictions."""
        plain_name(self.name, self.frames[0].parent if self.frames else "sequence")

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.frames)

    def frame(self, t: int) -> Tensor:
        """Read frame number `t` (zero-based): uint8 RGB (3, H, W); grey images become RGB.

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
        """Iterate over all frames in time order, decoded by a thread, see `read_ahead`."""
        return read_ahead(map(self.frame, range(self.num_frames)), ahead)


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskSequence(FrameSequence):
    """A video with objects in indexed masks.

    Args:
        masks: frame number → indexed (or 8-bit grey) PNG.
        starts: object id → number of the frame that introduces it; 0 for all objects of DAVIS.
        ground_truth: the masks are ground truth; False: they only introduce objects.
        categories: object id → category; empty without categories.
        reported: numbers of the frames with predictions in the benchmark; None: all.
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
        """Read the mask of frame number `t`: uint8 ids (H, W), 0 = background, 255 = void.

        Raises:
            DecodingError: if the file is missing, truncated or no image.
            KeyError: if frame `t` has no mask.
        """
        return self.read_ids(self.masks[t])

    def read_ids(self, path: Path) -> Tensor:
        """Read a mask of the video, as `mask`."""
        ids = read_mask(path, self.size)
        if self.values:
            table = np.arange(256, dtype=np.uint8)
            table[list(self.values)] = list(self.values.values())
            ids = table[ids]
        return torch.from_numpy(ids)

    def entering(self, t: int) -> tuple[int, ...]:
        """Return the ids of the objects that enter in frame `t`."""
        return tuple(i for i in self.objects if self.starts[i] == t)

    @classmethod
    def from_first_object(
        cls, frames: Sequence[Path], masks: Mapping[int, Path], starts: Mapping[int, int], **fields: Any
    ) -> Self:
        """Return the part of a video from its first object on.

        Args:
            frames: all frames of the video.
            masks: frame number → mask.
            starts: object id → number of the frame that introduces it.
            fields: the other fields; their frame numbers count from the first object on.

        Raises:
            DataError: if fewer than two frames are left.
        """
        begin = min(starts.values())
        if len(frames) - begin < 2:
            raise DataError(
                f"{frames[0].parent}: {len(frames) - begin} frames from the first object on; needs at least 2"
            )
        return cls(
            frames=tuple(frames[begin:]),
            masks={t - begin: masks[t] for t in sorted(masks) if t >= begin},
            starts={number: starts[number] - begin for number in sorted(starts)},
            earlier=tuple(masks[t] for t in sorted(masks) if t < begin),
            **fields,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class PartSequence(MaskSequence):
    """A video of people with annotated parts in every frame.

    With `humans`, an object is a class of a person in the first frame; `mask` numbers the objects from 1 in the order
    of `pairs`, and `instances` gives all annotated instances, including later ones. Without, `mask` gives the classes.

    Args:
        humans: frame number → PNG of the persons' ids, which may change from frame to frame.
        classes: object id → class number.
        pairs: (person, class) of the objects in the first frame.
    """

    humans: Mapping[int, Path] = field(default_factory=dict)
    classes: Mapping[int, int]
    pairs: tuple[tuple[int, int], ...] = ()

    def mask(self, t: int) -> Tensor:
        """Read the mask as `MaskSequence.mask`; pairs that the first frame lacks become 0."""
        return self.followed(self.instances(t)[0]) if self.humans else super().mask(t)

    def instances(self, t: int) -> tuple[Tensor, dict[int, int]]:
        """Return all annotated instances of frame `t`: int32 ids (H, W), and id → class."""
        instances = part_instances(read_mask(self.masks[t], self.size), read_mask(self.humans[t], self.size))
        return torch.from_numpy(instances), {int(i): int(i) % NUM_PARTS for i in np.unique(instances) if i}

    def followed(self, instances: Tensor) -> Tensor:
        """Convert the ids of `instances` to the ids of `mask`: uint8 (H, W)."""
        ids = instances.numpy()
        table = np.zeros(int(ids.max(initial=0)) + 1, dtype=np.uint8)
        for i, (person, part) in enumerate(self.pairs, start=1):
            if person * NUM_PARTS + part < len(table):
                table[person * NUM_PARTS + part] = i
        return torch.from_numpy(table[ids])


@dataclass(frozen=True, kw_only=True, eq=False)
class KeypointSequence(FrameSequence):
    """A video of a person with joints in every frame.

    Args:
        points: (T, 15, 2) float64 x, y in pixels, zero-based; they may lie outside the frame.
        action: action of the person.
    """

    points: NDArray[np.float64]
    action: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxSequence(FrameSequence):
    """A video with the box of a target in every frame.

    Args:
        boxes: (T, 4) float64 x, y, width, height in pixels, one-based as in OTB; they may leave the frame.
    """

    boxes: NDArray[np.float64]

    def frame(self, t: int) -> Tensor:
        """Read a frame as `FrameSequence.frame`, but contiguous in `(H, W, 3)` order for cropping."""
        return torch.from_numpy(read_image(self.frames[t])).permute(2, 0, 1)


def part_instances(parts: NDArray[np.uint8], humans: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return ids of (person, class): person · 20 + class; 0 if either is background or void."""
    known = (parts > 0) & (parts < NUM_PARTS) & (humans > 0) & (humans < VOID)
    return np.where(known, humans.astype(np.int32) * NUM_PARTS + parts, 0).astype(np.int32)
