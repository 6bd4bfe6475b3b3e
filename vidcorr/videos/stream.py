"""A video, or a part of it, that is read in order, and a prompt of the objects to follow in it."""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from .container import VIDEO_SUFFIXES
from .files import DataError, DecodingError
from .folders import is_image_name
from .images import read_ahead, require_size
from .prompts import Prompt
from .source import FRAME_RATE, open_video
from .tables import frame_number

PromptT = TypeVar("PromptT", bound=Prompt)

HELD = 2**28
"""Bytes of frames in memory while a video is read backwards."""


class FrameStream:
    """A video, or a part of it, that is read in order and never held in memory; every pass reopens the file.

    Frame t of the stream is frame `part[t]` of the video. A file that is much shorter than its header claims is read
    to its last frame, with a warning.

    Args:
        path: video file, or folder that directly holds the frames as images.
        frame_rate: frames per second; None: as the file says, 24 for a folder.
        start: first frame of the part: its number counted from 0, or `stem:NAME` with the stem of its image; None: the
            first of the video.
        end: frame after the part; None: the end of the video.
        every: take every N-th frame.

    Attributes:
        size: (height, width) of the frames, pixels.
        part: frame indices of the part; an unbounded range without `end`.
        end: index of the frame after the part; None: the end of the video.
        num_frames: number of frames of the part: exact for a folder, estimated from the header of a file.
        frame_rate: frames of the part per second.

    Raises:
        DataError: if the video or the part does not exist, its first frame cannot be decoded, or the frame rate is not
            above 0.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        frame_rate: float | None = None,
        start: int | str | None = None,
        end: int | str | None = None,
        every: int = 1,
    ) -> None:
        self.path = Path(path).expanduser()
        if frame_rate is not None and not frame_rate > 0:
            raise DataError(f"frame_rate must be above 0 frames per second, got {frame_rate:g}")
        if every < 1:
            raise DataError(f"every: expected 1 or more frames, got {every}")
        if not self.path.exists():
            raise DataError(f"{self.path}: no such video; give a video file or a folder of frames")
        with open_video(self.path, table=(start, end) != (None, None)) as video:
            self.size: tuple[int, int] = next(video.frames()).shape[:2]
            rate, self._stems = video.frame_rate, video.stems
            first = 0 if start is None else self.index_of(start, "start")
            self.end = None if end is None else self.index_of(end, "end")
            if self.end is not None and self.end <= first:
                raise DataError(f"end: frame {self.end} is not after the start, frame {first}; `end` is not included")
            self.part = range(first, sys.maxsize if self.end is None else self.end, every)
            self.num_frames = len(range(first, min(self.part.stop, video.num_frames), every))
            if not self.num_frames:
                raise DataError(f"{self.path}: has {video.num_frames} frames, none from frame {first} on")
        self.frame_rate = (frame_rate or rate or FRAME_RATE) / every

    @property
    def name(self) -> str:
        """Name of the file without its suffix, or name of the folder."""
        path = self.path.resolve()
        return path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name

    def stem(self, t: int) -> str:
        """Return the stem of output files for frame t: the stem of its image, or its index in the video."""
        index = self.part[t]
        return self._stems[index] if self._stems is not None else f"{index:05d}"

    def index_of(self, frame: int | str, name: str = "frame") -> int:
        """Return the index in the video of a frame.

        Args:
            frame: its number counted from 0, whatever the names of the images, or `stem:NAME` with the stem of its
                image. A stem that is not a number and names an image may stand alone.
            name: name of the value in an error.

        Raises:
            DataError: if `frame` is neither a number nor a stem.
        """
        text = str(frame).strip()
        number = frame_number(text)
        if number is not None:
            return number
        stem = text.removeprefix("stem:")
        if is_image_name(stem):
            stem = Path(stem).stem
        if self._stems is None or stem not in self._stems:
            raise DataError(
                f"{name}: expected a frame index such as 120, counted from 0, or stem:NAME of an image, got {frame!r}"
            )
        return self._stems.index(stem)

    def section(self, first: int, last: int | None) -> FrameStream:
        """Return frames `first … last - 1` of this stream as a stream; with None, all frames from `first` on."""
        section = copy.copy(self)
        section.part = self.part[first:last]
        section.num_frames = min(len(section.part), max(self.num_frames - first, 0))
        if last is not None:
            section.end = section.part.stop
        return section

    def holds(self, index: int) -> bool:
        """Return whether the video has a frame of this index."""
        with open_video(self.path) as video:
            return next(video.frames(index), None) is not None

    def __iter__(self) -> Iterator[Tensor]:
        """Iterate over the frames in time order."""
        return self.forwards()

    def forwards(self, t: int = 0) -> Generator[Tensor]:
        """Iterate over the frames from t on, uint8 RGB (3, H, W); a thread decodes a few frames ahead.

        Raises:
            DecodingError: if a frame cannot be decoded, or its size differs from the first frame's.
        """
        for image in read_ahead(self._images(t)):
            yield self._checked(image, t)
            t += 1

    def _images(self, t: int) -> Generator[np.ndarray]:
        """Iterate over the images `(H, W, 3)` of the frames from t on; the thread that reads ahead holds the file."""
        rest = self.part[t:]
        with open_video(self.path, table=rest.start > 0) as video:
            yield from islice(video.frames(rest.start, rest.step), len(rest))
            if self.end is None and video.truncation:
                warnings.warn(f"{self.path}: {video.truncation}", stacklevel=2)

    def backwards(self, t: int) -> Iterator[Tensor]:
        """Iterate over the frames from t down to the first, holding at most `HELD` bytes of frames in memory.

        Raises:
            DecodingError: as `forwards`, and if the video ends before frame t.
        """
        room = max(1, HELD // (3 * self.size[0] * self.size[1]))
        with open_video(self.path) as video:
            while t >= 0:
                first = max(0, t - room + 1)
                images = list(islice(video.frames(self.part[first], self.part.step), t - first + 1))
                if len(images) <= t - first:
                    raise DecodingError(self.path, f"ends before frame {self.part[t]}")
                while images:
                    yield self._checked(images.pop(), t)
                    t -= 1

    def _checked(self, image: np.ndarray, t: int) -> Tensor:
        """Return an image `(H, W, 3)` as a frame `(3, H, W)`, if its size equals the first frame's."""
        require_size(self.path, image.shape, self.size, self.part[t])
        return torch.from_numpy(image).permute(2, 0, 1)


def placed(prompt: PromptT, video: FrameStream) -> PromptT:
    """Return a prompt with the index of its frame and the points of its grid, checked against the video.

    Raises:
        DataError: if the prompt does not fit its frame, or the frame is not read.
    """
    frame = video.part.start if prompt.frame is None else video.index_of(prompt.frame)
    if frame not in video.part:
        until = "its end" if video.end is None else f"frame {video.end - 1}"
        every = f", one frame in {video.part.step}" if video.part.step > 1 else ""
        raise DataError(
            f"{prompt.source}: frame {frame} is not in the part of the video from frame {video.part.start} to "
            f"{until}{every}"
        )
    if frame != video.part.start and not video.holds(frame):
        raise DataError(f"{prompt.source}: frame {frame} lies beyond the end of the video")
    prompt = replace(prompt.placed(video.size), frame=frame)
    prompt.check(video.size)
    return prompt


class PromptedVideo:
    """A video and a prompt for one of its frames.

    Attributes:
        frames: the video.
        prompt: the prompt, with the index of its frame and the points of its grid, checked against the video.
        start: index of the prompt's frame in the stream.

    Raises:
        DataError: if the prompt does not fit its frame.
    """

    def __init__(self, frames: FrameStream, prompt: Prompt) -> None:
        self.frames = frames
        self.prompt = placed(prompt, frames)
        self.start = frames.part.index(int(self.prompt.frame or 0))


def prompted_sections(video: FrameStream, prompts: Sequence[Prompt]) -> list[PromptedVideo]:
    """Divide a video among its prompts: each frame belongs to the prompt of the nearest frame, of two to the earlier.

    Args:
        video: the video.
        prompts: prompts of one kind for different frames; boxes and points have the same names in all.

    Returns:
        The sections with their prompts, in the order of time.

    Raises:
        DataError: if a prompt does not fit its frame, or two prompts are for one frame or name other objects.
    """
    whole = [PromptedVideo(video, prompt) for prompt in prompts]
    whole.sort(key=lambda prompted: prompted.start)
    sections = []
    first = 0
    for prompted, following in zip(whole, [*whole[1:], None], strict=True):
        last = None
        if following is not None:
            _require_alike(prompted, following)
            last = (prompted.start + following.start) // 2 + 1
        sections.append(PromptedVideo(video.section(first, last), prompted.prompt))
        first = last or 0
    return sections


def _require_alike(earlier: PromptedVideo, later: PromptedVideo) -> None:
    """Raise `DataError` for prompts of one frame, of two kinds, or of other boxes or points."""
    first, second = earlier.prompt, later.prompt
    both = f"{first.source} and {second.source}"
    if earlier.start == later.start:
        raise DataError(f"{both}: two prompts for frame {first.frame}; name all objects of a frame in one prompt")
    if first.kind != second.kind:
        raise DataError(f"{both}: prompts of a video are of one kind, these are {first.kind} and {second.kind}")
    if first.kind != "mask" and first.objects != second.objects:
        names = [", ".join(map(str, prompt.objects)) or "no name" for prompt in (first, second)]
        raise DataError(f"{both}: name the same {first.kind} in each frame, not {names[0]} and {names[1]}")
