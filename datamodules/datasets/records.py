"""Records of single videos for the benchmarks: frames, decoded on demand, and ground truth."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from ..parallel.ahead import read_ahead
from ..reading.guards import DataError, plain_name
from ..reading.images import image_header, read_image, require_size
from ..reading.mask_files import VOID, read_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUM_PARTS = 20
"""Classes of VIP, background included."""

S = TypeVar("S", bound="FrameSequence")


class Reader(Sequence[S]):
    """The sequences of a benchmark's split, in the order of its list; everything that headers show has been checked."""

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
        name: as the benchmark calls it; also the name of what is written for it.
        frames: image files in time order.
        size: (height, width) of the frames, pixels.
    """

    name: str
    frames: tuple[Path, ...]
    size: tuple[int, int]

    def __post_init__(self) -> None:
        """Refuse a name that could lead out of the folder that predictions are written to."""
        plain_name(self.name, self.frames[0].parent if self.frames else "sequence")

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.frames)

    def frame(self, t: int) -> Tensor:
        """Read frame number `t` (zero-based): uint8 RGB (3, H, W); grey images become RGB.

        Raises:
            DecodingError: if the file is missing, truncated or no image, or has another size than `size`.
        """
        import cv2

        image = read_image(self.frames[t])
        require_size(self.frames[t], image.shape, self.size)
        planes = np.empty((3, *image.shape[:2]), np.uint8)
        cv2.split(image, list(planes))  # in place
        return torch.from_numpy(planes)

    def read(self, ahead: int = 4) -> Generator[Tensor]:
        """Iterate over all frames in time order, decoded by one thread, see `read_ahead`."""
        return read_ahead(map(self.frame, range(self.num_frames)), ahead)


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskSequence(FrameSequence):
    """A video whose objects are given as indexed masks.

    Args:
        masks: frame number → indexed (or 8-bit grey) PNG of that frame.
        starts: object id → number of the frame whose mask introduces it; 0 for all in DAVIS.
        ground_truth: the masks are what to score against; False where they only introduce objects.
        categories: object id → category, where the benchmark has categories.
        reported: numbers of the frames whose prediction the benchmark asks for; None: all.
        values: pixel value → object id, where a file does not hold the ids themselves (DAVIS-2016: {255: 1}).
        folder: folder of the object's own masks inside the video's, where objects may overlap and each is a sequence
            of its own, called `<video>_<folder>` (SA-V).
        earlier: masks before the first object, whose frames are left out of `frames`.
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
        """Name of the video, of which the sequence is one object or all of it."""
        return self.name.removesuffix(f"_{self.folder}") if self.folder else self.name

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids to follow, ascending."""
        return tuple(sorted(self.starts))

    def mask(self, t: int) -> Tensor:
        """Read the mask of frame number `t`: uint8 ids (H, W), 0 = background; 255 (void) is kept as it is.

        Raises:
            DecodingError: if the file is missing, truncated or no image.
            KeyError: if frame `t` has no mask.
        """
        return self.read_ids(self.masks[t])

    def read_ids(self, path: Path) -> Tensor:
        """Read a mask of the video as `mask` does."""
        ids = read_mask(path, self.size)
        if self.values:
            table = np.arange(256, dtype=np.uint8)
            table[list(self.values)] = list(self.values.values())
            ids = table[ids]
        return torch.from_numpy(ids)

    def entering(self, t: int) -> tuple[int, ...]:
        """Return the ids of the objects that the mask of frame `t` introduces."""
        return tuple(i for i in self.objects if self.starts[i] == t)

    @classmethod
    def from_first_object(
        cls, frames: Sequence[Path], masks: Mapping[int, Path], starts: Mapping[int, int], **fields: Any
    ) -> Self:
        """Return the part of a video from its first object on: there is nothing to follow before.

        Args:
            frames: all frames of the video.
            masks: frame number → mask.
            starts: object id → number of the frame whose mask introduces it.
            fields: the other fields, but the size; frame numbers among them count from the first object on.

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
            size=image_header(frames[begin])[0],
            masks={t - begin: masks[t] for t in sorted(masks) if t >= begin},
            starts={number: starts[number] - begin for number in sorted(starts)},
            earlier=tuple(masks[t] for t in sorted(masks) if t < begin),
            **fields,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class PartSequence(MaskSequence):
    """A video of people whose parts are annotated in each frame.

    With `humans`, an object is one class of one person of the first frame; `mask` numbers them from 1 in the order of
    `pairs`, and `instances` gives all that are annotated, later ones included. Without, `mask` gives the classes.

    Args:
        humans: frame number → PNG of the persons' ids; they need not be the same from frame to frame.
        classes: object id → class number.
        pairs: (person, class) of each object in the first frame.
    """

    humans: Mapping[int, Path] = field(default_factory=dict)
    classes: Mapping[int, int]
    pairs: tuple[tuple[int, int], ...] = ()

    def mask(self, t: int) -> Tensor:
        """Read the mask as `MaskSequence.mask` does; 0 where a pair is not one of the first frame."""
        return self.followed(self.instances(t)[0]) if self.humans else super().mask(t)

    def instances(self, t: int) -> tuple[Tensor, dict[int, int]]:
        """Return all annotated instances of frame `t`: int32 ids (H, W), and the class of each id but 0."""
        instances = part_instances(read_mask(self.masks[t], self.size), read_mask(self.humans[t], self.size))
        return torch.from_numpy(instances), {int(i): int(i) % NUM_PARTS for i in np.unique(instances) if i}

    def followed(self, instances: Tensor) -> Tensor:
        """Return the ids that `mask` gives where `instances` gives these: uint8 (H, W)."""
        ids = instances.numpy()
        table = np.zeros(int(ids.max(initial=0)) + 1, dtype=np.uint8)
        for i, (person, part) in enumerate(self.pairs, start=1):
            if person * NUM_PARTS + part < len(table):
                table[person * NUM_PARTS + part] = i
        return torch.from_numpy(table[ids])


@dataclass(frozen=True, kw_only=True, eq=False)
class KeypointSequence(FrameSequence):
    """A video of one person with joints in every frame.

    Args:
        points: (T, 15, 2) float64 x, y in pixels, zero-based; they may lie outside the frame.
        action: what the person does.
    """

    points: NDArray[np.float64]
    action: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxSequence(FrameSequence):
    """A video with the box of one target in every frame.

    Args:
        boxes: (T, 4) float64 x, y, width, height in pixels, one-based as OTB gives them; they may leave the frame.
    """

    boxes: NDArray[np.float64]

    def frame(self, t: int) -> Tensor:
        """Read a frame as `FrameSequence.frame` does, contiguous in `(H, W, 3)` order, as cropping needs it."""
        return torch.from_numpy(read_image(self.frames[t])).permute(2, 0, 1)


def part_instances(parts: NDArray[np.uint8], humans: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return one id for each class of each person: person · 20 + class; 0 where either is background or void."""
    known = (parts > 0) & (parts < NUM_PARTS) & (humans > 0) & (humans < VOID)
    return np.where(known, humans.astype(np.int32) * NUM_PARTS + parts, 0).astype(np.int32)
