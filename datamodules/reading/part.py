"""A part of a video, and how a frame of it is named: by its number or by its time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .errors import DataError

Moment = int | str
"""A frame's number, counted from 0 (`120`), or a time in seconds after the first frame (`4.5s`)."""

_SECONDS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*s(?:ec(?:onds?)?)?")


@dataclass(frozen=True)
class VideoPart:
    """Frames `start`, `start + every`, … of a video that come before `end`.

    Attributes:
        start: number of the first frame, 0 or more.
        end: number of the frame before which it ends; None: the end of the video.
        every: distance of two frames, 1 or more.

    Raises:
        DataError: if there is no such frame.
    """

    start: int = 0
    end: int | None = None
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise DataError(f"every: expected 1 or more frames, got {self.every}")
        if self.end is not None and self.end <= self.start:
            raise DataError(f"end: frame {self.end} is not after the start, frame {self.start}; the end is left out")

    def number(self, t: int) -> int:
        """Return the number, in the video, of the part's t-th frame."""
        return self.start + t * self.every

    def count(self, num_frames: int) -> int:
        """Return how many frames the part has of a video of `num_frames`.

        Example:
            >>> VideoPart(2, 9, 3).count(100), VideoPart(2, None, 3).count(8), VideoPart(5).count(4)
            (3, 2, 0)
        """
        return len(range(self.start, num_frames if self.end is None else min(self.end, num_frames), self.every))

    def index(self, number: int) -> int:
        """Return the index in the part of the video's frame `number`.

        Raises:
            DataError: if the part leaves it out.
        """
        t, rest = divmod(number - self.start, self.every)
        if t < 0 or rest or (self.end is not None and number >= self.end):
            until = "its end" if self.end is None else f"frame {self.end - 1}"
            step = "" if self.every == 1 else f", one frame in {self.every}"
            raise DataError(f"frame {number} is not in the part of the video from frame {self.start} to {until}{step}")
        return t


def frame_number(moment: Moment, name: str, at: Callable[[float], int]) -> int:
    """Return the number of a frame that is named by its number or its time.

    Args:
        moment: see `Moment`.
        name: name of the value in an error.
        at: seconds → number of the first frame that is shown then or later.

    Raises:
        DataError: if it is neither.

    Example:
        >>> frame_number("12", "start", at=None), frame_number("1.5s", "start", at=lambda seconds: round(seconds * 24))
        (12, 36)
    """
    text = str(moment).strip().lower()
    if text.isdecimal() and not isinstance(moment, bool):
        return int(text)
    if found := _SECONDS.fullmatch(text):
        return at(float(found[1]))
    raise DataError(f"{name}: expected a frame's number such as 120, or a time such as 4.5s, got {moment!r}")
