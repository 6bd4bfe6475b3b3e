"""A video, or a part of it, that is read in order."""

from collections.abc import Generator
from itertools import islice
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .container import VIDEO_SUFFIXES
from .files import DataError
from .images import read_ahead, require_size
from .source import FRAME_RATE, open_video


class FrameStream:
    """A video, or a part of it, that is read in order and never held in memory; every pass reopens the file.

    Args:
        path: video file, or folder that directly holds the frames as images.
        start: index of the first frame of the part.
        end: index of the frame after the part; None: the end of the video.

    Attributes:
        size: (height, width) of the frames, pixels.
        num_frames: number of frames of the part. Exact for a folder; for a whole file the header's, which may be wrong;
            for a part of a file that of `VideoFile.num_frames`.
        frame_rate: frames per second, 24 for a folder.

    Raises:
        DataError: if the video or the part does not exist, or its first frame cannot be decoded.
    """

    def __init__(self, path: str | PathLike[str], start: int = 0, end: int | None = None) -> None:
        self.path = Path(path).expanduser()
        self.start = start
        self.end = end
        is_part = (start, end) != (0, None)
        with open_video(self.path, table=is_part) as video:  # the header's count cannot tell whether a part exists
            self.size: tuple[int, int] = next(video.frames()).shape[:2]
            self.frame_rate = video.frame_rate or FRAME_RATE
            self._stems = video.stems
            self.num_frames = len(range(video.num_frames)[start:end])
            if start < 0 or self.num_frames < 1:
                raise DataError(f"{self.path}: has {video.num_frames} frames, none of {start} to {end or 'the end'}")

    @property
    def name(self) -> str:
        """Name of the file without its suffix, or name of the folder."""
        path = self.path.resolve()
        return path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name

    def stem(self, t: int) -> str:
        """Return the stem of output files for frame t: the stem of its image, or its index in the video."""
        index = self.start + t
        return self._stems[index] if self._stems is not None else f"{index:05d}"

    def forwards(self, t: int = 0) -> Generator[Tensor]:
        """Iterate over the frames from t on, uint8 RGB (3, H, W); a thread decodes a few frames ahead.

        Raises:
            DecodingError: if a frame cannot be decoded, or its size differs from the first frame's.
        """
        first = self.start + t
        for index, image in enumerate(read_ahead(self._images(first)), start=first):
            require_size(self.path, image.shape, self.size, index)
            yield torch.from_numpy(image).permute(2, 0, 1)

    __iter__ = forwards

    def _images(self, first: int) -> Generator[np.ndarray]:
        """Iterate over images `(H, W, 3)` from a frame on; the thread that reads ahead holds the file."""
        with open_video(self.path, table=False) as video:
            count = None if self.end is None else self.end - first
            yield from islice(video.frames(first), count)
