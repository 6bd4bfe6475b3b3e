"""A video, or a part of it, that is read in order."""

from bisect import bisect_left
from collections.abc import Generator, Iterable, Iterator
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .container import VIDEO_SUFFIXES
from .files import DataError, user_path
from .folders import frame_numbers
from .image_files import in_px, read_ahead, require_size
from .source import FRAME_RATE, open_video

SEARCH = 600.0
"""Seconds allowed for a read: a late frame of a long film without an index is decoded from the start."""


class FrameStream:
    """A video, or a part of it, that is read in order and never held in memory; every pass reopens the file.

    Arguments `t` count frames from the start of the part, from 0. A frame's number is that in the name of a folder's
    image, or its place in a film, from 0; prompts, tables and messages have it.

    Args:
        path: video file, or folder that directly holds the frames as images.
        start: number of the first frame of the part.
        end: number of the frame after the part; None: the end of the video.

    Attributes:
        size: (height, width) of the frames, pixels.
        num_frames: number of frames of the part. Exact for a folder; for a whole file the header's, which may be wrong;
            for a part of a file that of `VideoFile.num_frames`.
        first: place of the first frame of the part in the video, from 0.
        frame_rate: frames per second, 24 for a folder.
        is_read_once: False: every frame can be read again.

    Raises:
        DataError: if the video or the part does not exist, or its first frame cannot be decoded.
    """

    is_read_once = False

    def __init__(self, path: str | PathLike[str], start: int = 0, end: int | None = None) -> None:
        self.path = user_path(path)
        self.start = start
        self.end = end
        # the header's count cannot tell whether a part exists
        with open_video(self.path, table=(start, end) != (0, None)) as video:
            self.size: tuple[int, int] = next(video.frames()).shape[:2]
            self.frame_rate = video.frame_rate or FRAME_RATE
            self._names = video.names  # of a folder's images; None for a file
            if min(start, end or 0) < 0:
                raise DataError(f"{self.path}: start and end are counted from 0, got {start} and {end}")
            # a film may have more frames than its header says
            self._numbers = range(max(video.num_frames, 1)) if self._names is None else frame_numbers(self._names)
            self.first = bisect_left(self._numbers, start)
            self.num_frames = bisect_left(self._numbers, self._numbers[-1] + 1 if end is None else end) - self.first
            if self.num_frames < 1:
                last = "the end" if end is None else end
                held = f"has frames {self._numbers[0]} to {self._numbers[-1]}"
                raise DataError(f"{self.path}: {held}, none of {start} to {last}")

    def notes(self) -> list[str]:
        """Return sentences about the video that its user should know."""
        with open_video(self.path, timeout=SEARCH) as video:
            return [f"{self.path}: {note}" for note in video.notes()]

    @property
    def name(self) -> str:
        """Name of the file without its suffix, or name of the folder."""
        path = self.path.resolve()
        return path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name

    @property
    def numbers_of_names(self) -> dict[str, int] | None:
        """Name without suffix → number, for all images of a folder; None for a film."""
        if self._names is None:
            return None
        return {Path(name).stem: number for name, number in zip(self._names, self._numbers, strict=True)}

    def image_name(self, t: int) -> str:
        """Return the file name of the image of frame t; of a film as by `ffmpeg … -start_number 0 %05d.png`."""
        index = self.first + t
        return self._names[index] if self._names is not None else f"{index:05d}.png"

    def number(self, t: int) -> int:
        """Return the number of frame t."""
        return self.first + t if self._names is None else self._numbers[self.first + t]

    def place(self, number: int) -> int:
        """Return the frame t of a number; below 0 before the part. `require` tells whether a film has it.

        Raises:
            DataError: if a folder has no image of this number.
        """
        if self._names is None:
            return number - self.first
        index = bisect_left(self._numbers, number)
        if number not in self._numbers[index : index + 1]:
            raise DataError(f"{self.path}: has no frame {number}; its images are {self._names[0]} to {self._names[-1]}")
        return index - self.first

    def forwards(self, t: int = 0) -> Generator[Tensor]:
        """Iterate over the frames from t on, uint8 RGB (3, H, W); a thread decodes a few frames ahead.

        Raises:
            DecodingError: if a frame cannot be decoded, or its size differs from the first frame's.
        """
        first = self.first + t
        for index, image in enumerate(read_ahead(self._images(first)), start=first):
            yield self._checked(image, index)

    __iter__ = forwards

    def require(self, t: int) -> None:
        """Check that the part has frame t, counted from the start of the part.

        Raises:
            DataError: if it ends before.
        """
        frames = self.num_frames
        if self._names is None:
            with open_video(self.path, timeout=SEARCH) as video:
                video.read([self.first + t])  # of an index beyond the end it reads the last frame
                last = video.num_frames if self.end is None else min(video.num_frames, self.end)  # exact after reading
            frames = last - self.first
        if t >= frames:
            raise DataError(f"{self.path}: has no frame {self.number(t)}; the last frame is {self.number(frames - 1)}")

    def _checked(self, image: np.ndarray, index: int) -> Tensor:
        """Return an image `(H, W, 3)` as a frame `(3, H, W)`; raise `DecodingError` if its size is not `size`."""
        require_size(self.path, image.shape, self.size, index)
        return torch.from_numpy(image).permute(2, 0, 1)

    def _images(self, first: int) -> Generator[np.ndarray]:
        """Iterate over images `(H, W, 3)` from frame `first` of the video to the end of the part.

        The file is opened here, so that the thread that reads ahead also closes it.
        """
        with open_video(self.path, table=False) as video:
            count = None if self.end is None else self.first + self.num_frames - first
            yield from islice(video.frames(first), count)


class GivenFrames:
    """Frames that a user gives, uint8 RGB `(3, H, W)`: a tensor or a list, or an iterator, which is read once.

    Attributes:
        size: (height, width) of the first frame.
        is_read_once: True for an iterator.

    Raises:
        ValueError: if there is no frame, or the first frame has another form.

    Example:
        >>> video = GivenFrames(torch.zeros(5, 3, 48, 64, dtype=torch.uint8))
        >>> video.size, len(list(video.forwards(2)))
        ((48, 64), 3)
    """

    def __init__(self, frames: Iterable[Tensor]) -> None:
        self._listed: Any = frames if hasattr(frames, "__getitem__") else None  # a tensor or list can be read again
        self.is_read_once = self._listed is None
        self.size = (0, 0)  # not known yet: `_checked` accepts a first frame of any size
        remaining = iter(frames)
        first = next(remaining, None)
        if first is None:
            raise ValueError("the video has no frames")
        height, width = self._checked(first).shape[1:]
        self.size = height, width
        self._remaining = chain([first], remaining)

    def forwards(self, t: int = 0) -> Iterator[Tensor]:
        """Iterate over the frames from t on; an iterator, which is read once, ignores t and gives its remaining frames.

        Raises:
            ValueError: for a frame of another form or size.
        """
        if self.is_read_once:
            return map(self._checked, self._remaining)
        return (self._checked(self._listed[index]) for index in range(t, len(self._listed)))

    def _checked(self, frame: object) -> Tensor:
        """Return a frame, a tensor or an array `(3, H, W)`, as a tensor.

        Raises:
            ValueError: if it is not uint8 RGB `(3, H, W)`, or has another size than the first.
        """
        tensor = torch.from_numpy(np.ascontiguousarray(frame)) if isinstance(frame, np.ndarray) else frame
        shape = tuple(getattr(frame, "shape", ()))
        if isinstance(tensor, Tensor) and tensor.dtype == torch.uint8 and len(shape) == 3 and shape[0] == 3:
            if self.size not in ((0, 0), shape[1:]):  # (0, 0) until the first frame is checked
                raise ValueError(f"frames must be of one size, got {in_px(shape[1:])} after {in_px(self.size)}")
            return tensor
        name = str(getattr(frame, "dtype", type(frame).__name__)).removeprefix("torch.")
        form = f"{name} {shape}" if shape else name
        raise ValueError(f"frames must be uint8 RGB (3, H, W) in 0 … 255, got {form}")

    def number(self, t: int) -> int:
        """Return the number of frame t, which is t."""
        return t

    place = number

    def require(self, t: int) -> None:
        """Check that frame t exists, and can be read again after later frames.

        Raises:
            DataError: if the list has no such frame.
            ValueError: for an iterator, which cannot go back.
        """
        if self.is_read_once:
            raise ValueError(f"an iterator is read once: for a prompt of frame {t} give a file, a folder or a list")
        if t >= len(self._listed):
            raise DataError(f"the video has no frame {t}; the last frame is {len(self._listed) - 1}")
