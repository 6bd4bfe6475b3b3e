"""One video and what to follow in it, for `predict`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.data import DataLoader

from .reading.decoding import VideoFile
from .reading.errors import DataError, DecodingError
from .reading.prompts import PointPrompt, Prompt, one_prompt
from .reading.source import FrameFolder, open_video
from .reading.video_header import VIDEO_SUFFIXES

FRAME_RATE = 24.0
"""Frames per second of what does not say its own."""
AHEAD = 4


class FrameStream:
    """A video that is read from its start to its end, however long it is; each pass opens it afresh.

    A file that ends long before its header says so is read as far as it goes, with a warning.

    Args:
        path: video file, or folder that directly holds the frames as pictures.
        frame_rate: frames per second; None is the file's own, 24 for a folder.

    Attributes:
        size: (height, width) of the first frame, pixels.
        num_frames: as the file's header says, an estimate; exact for a folder.

    Raises:
        DataError: if there is no such video, its first frame cannot be decoded, or the frame rate is not above 0.
    """

    def __init__(self, path: str | PathLike[str], frame_rate: float | None = None) -> None:
        self.path = Path(path).expanduser()
        if frame_rate is not None and not frame_rate > 0:
            raise DataError(f"frame_rate must be above 0 frames per second, got {frame_rate:g}")
        if not self.path.exists():
            raise DataError(f"{self.path}: no such video; give a video file or a folder of frames")
        with self._open() as video:
            self.size = next(video.frames()).shape[:2]
            self.num_frames = video.num_frames
            own = video.info.fps if isinstance(video, VideoFile) else 0.0
            self._stems = video.stems if isinstance(video, FrameFolder) else None
        self.frame_rate = frame_rate or own or FRAME_RATE

    @property
    def name(self) -> str:
        """Name of the file without its suffix, or of the folder."""
        path = self.path.resolve()
        return path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name

    def stem(self, t: int) -> str:
        """Return the stem of files for frame t: the frame's picture's, or its number."""
        return self._stems[t] if self._stems is not None else f"{t:05d}"

    def __iter__(self) -> Iterator[Tensor]:
        """Iterate over the frames in time order, uint8 RGB (3, H, W), decoded by a thread a few frames ahead.

        Raises:
            DecodingError: where a frame cannot be decoded or has another size than the first.
        """
        with self._open() as video, ThreadPoolExecutor(max_workers=1) as pool:
            frames = video.frames()
            pending = deque(pool.submit(next, frames, None) for _ in range(AHEAD))
            try:
                t = 0
                while (picture := pending.popleft().result()) is not None:
                    pending.append(pool.submit(next, frames, None))
                    if picture.shape[:2] != self.size:
                        raise DecodingError(
                            self.path, f"frame {t} is {_size(picture.shape)} px, the first {_size(self.size)}"
                        )
                    yield torch.from_numpy(picture).permute(2, 0, 1)
                    t += 1
                if isinstance(video, VideoFile) and video.is_cut:
                    rank_zero_warn(
                        f"{self.path}: has {t} of the {self.num_frames} frames of its header; it may be cut off"
                    )
            finally:
                pool.shutdown(cancel_futures=True)  # the file stays open until the thread has left it

    def _open(self) -> VideoFile | FrameFolder:
        return open_video(self.path, table=False)


class PromptedVideo:
    """A video, and the one prompt for its first frame."""

    def __init__(self, frames: FrameStream, prompt: Prompt) -> None:
        if isinstance(prompt, PointPrompt):
            prompt = prompt.placed(frames.size)
        prompt.check(frames.size)
        self.frames, self.prompt = frames, prompt


class PromptedVideoDataModule(pl.LightningDataModule):
    """One video and what to follow in it; the loader gives one batch, `{"video": PromptedVideo}`.

    Args:
        video: file, or folder of frames.
        mask: indexed, grey or RGB picture of the first frame's objects, see `MaskPrompt`.
        box: `x,y,width,height` in pixels of the first frame, or a file that holds them, see `BoxPrompt`.
        points: CSV of `name,x,y`, JSON, or `grid:16`, see `PointPrompt`.
        frame_rate: frames per second of the overlay; None is the video's own, 24 for a folder.

    Raises:
        DataError: from `setup`, unless there is a readable video and exactly one prompt that fits its first frame.
    """

    def __init__(
        self,
        video: str | None = None,
        mask: str | None = None,
        box: list[float] | str | None = None,
        points: str | None = None,
        frame_rate: float | None = None,
    ) -> None:
        super().__init__()
        self.video, self.frame_rate = video, frame_rate
        self.prompts: dict[str, Any] = {"mask": mask, "box": box, "points": points}

    def setup(self, stage: str) -> None:
        """Read the prompt and the first frame."""
        if self.video is None:
            raise DataError("name the video to look at: --data.video clip.mp4, or a folder of frames")
        prompt = one_prompt(**self.prompts)
        self.prompted = PromptedVideo(FrameStream(self.video, self.frame_rate), prompt)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Return a loader of the one batch."""
        return DataLoader([{"video": self.prompted}], batch_size=None)  # type: ignore[arg-type]


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} × {shape[0]}"
