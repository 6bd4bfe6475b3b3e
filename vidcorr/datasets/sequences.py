"""Videos as lists of images, decoded on demand, and videos with masks; a reader's file has the others."""

import hashlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..videos.digests import file_digest, text_digest
from ..videos.files import DataError
from ..videos.image_files import read_ahead, read_image
from ..videos.mask_folder import MaskFolder
from ..videos.masks import VOID
from .lists import plain_name

FRAME_FIELDS = ("frames", "files")
"""Fields of a sequence that name files of frames; the identity of a result has their names and sizes."""


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
        plain_name(self.name, self.frames[0].parent if self.frames else "sequence")

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    @property
    def begin(self) -> int:
        """Index of the first frame that is followed."""
        return 0

    def frame(self, t: int) -> Tensor:
        """Read frame index `t` (zero-based): uint8 RGB (3, H, W); grey images become RGB."""
        import cv2

        image = read_image(self.frames[t], size=self.size)
        planes = np.empty((3, *image.shape[:2]), np.uint8)
        # writes each channel of (H, W, 3) into its plane
        cv2.split(image, list(planes))
        return torch.from_numpy(planes)

    def read(self, first: int = 0) -> Generator[Tensor]:
        """Iterate over the frames from `first` on; a thread decodes a few frames before they are used."""
        return read_ahead(map(self.frame, range(first, self.num_frames)))


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskSequence(FrameSequence):
    """A video with objects in masks; some or all frames have a mask.

    Indices of frames count from the start of the video, also before the first object. A subclass whose masks are no
    image files overrides `annotated` and `read_mask`.

    Args:
        masks: the masks; None if a subclass reads them.
        starts: object id → index of the frame that introduces the object; 0 for all objects of DAVIS.
        ground_truth: the masks are ground truth; False: they only introduce objects.
        categories: object id → category; empty without categories.
        reported: indices of the frames with predictions in the benchmark; None: the frames from the first object on,
            and earlier annotated frames.
        one_object: all objects of the masks are number 1, as in DAVIS-2016.

    Raises:
        DataError: for fewer than two frames from the first object on.
    """

    masks: MaskFolder | None = None
    starts: Mapping[int, int]
    ground_truth: bool = True
    categories: Mapping[int, str] = field(default_factory=dict)
    reported: tuple[int, ...] | None = None
    one_object: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        followed = self.num_frames - self.begin
        if followed < 2:
            raise DataError(f"{self.frames[0].parent}: {followed} frames from the first object on; needs at least 2")

    @property
    def objects(self) -> tuple[int, ...]:
        return tuple(sorted(self.starts))

    @property
    def begin(self) -> int:
        """Index of the frame with the first object; nothing is followed before it."""
        return min(self.starts.values())

    @property
    def annotated(self) -> tuple[int, ...]:
        """Indices of the frames with a mask, ascending."""
        return tuple(sorted(self.masks or ()))

    def read_mask(self, t: int) -> Tensor:
        """Read the mask of frame `t`: uint8 ids (H, W), 0 = background, 255 = void.

        Raises:
            DecodingError: if the file is missing, truncated or no image.
            DataError: if the mask holds no ids, or it is open whether its 255 is void or an object.
            KeyError: if frame `t` has no mask.
        """
        if self.masks is None:
            raise KeyError(t)
        ids = self.masks.read(t, self.size)
        if self.one_object:
            ids[(ids > 0) & (ids < VOID)] = 1
        return torch.from_numpy(ids)

    def annotation(self, t: int) -> Path:
        """Return the file of the mask of frame `t`, for messages; the file of the frame if it has no file of a mask."""
        return self.frames[t] if self.masks is None else self.masks.get(t, self.frames[t])


def content_digest(record: object, digest_of: Callable[[Path], str] = file_digest) -> str:
    """Return a digest of a sequence's data: equal for the same data in another folder, in any version of this code.

    The digest has the names of all files, the bytes of the annotations' files and of the first frame, the sizes in
    bytes of the other frames, and the arrays of annotations. Other numbers and texts follow from these.
    """
    lines: list[str] = []

    def add(value: object) -> None:
        """Add a line for each file and array in a value, at any depth; of frames, the first's digest and all sizes."""
        if isinstance(value, Path) and value.is_dir():
            raise DataError(f"{value}: a sequence holds paths of files; a folder that it needs is a text, str(folder)")
        if isinstance(value, Path):
            lines.append(f"{value.name} {digest_of(value)}")
        elif isinstance(value, np.ndarray):
            lines.append(f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}")
        elif isinstance(value, Mapping):
            add(list(value.values()))
        elif isinstance(value, list | tuple):
            for item in value:
                add(item)
        # a record; a function has a `__dict__` too
        elif hasattr(value, "__dict__") and not callable(value):
            for name, item in vars(value).items():
                add(item if name not in FRAME_FIELDS else item[:1])
                if name in FRAME_FIELDS:
                    lines.extend(f"{file.name} {file.stat().st_size}" for file in item)

    add(record)
    # sorted: the order of the fields does not count
    return text_digest("\n".join(sorted(lines)), length=8)
