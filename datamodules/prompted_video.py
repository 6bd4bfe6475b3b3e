"""A video with a prompt of the objects to follow, for `predict`."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from vidcorr.videos.files import DataError
from vidcorr.videos.prompts import read_prompt
from vidcorr.videos.stream import FrameStream, PromptedVideo


class PromptedVideoDataModule(pl.LightningDataModule):
    """A video with a prompt of the objects to follow; the loader gives a single batch, `{"video": PromptedVideo}`.

    `@` and a number at the end of a prompt name its frame (`corrected.png@120`); the default is the first frame
    that is read.

    Args:
        video: file, or folder of frames.
        mask: indexed, grey or RGB image of a frame's objects, see `MaskPrompt`.
        box: `x,y,width,height` in pixels, several separated by `;` or as a list, or a file of boxes, see `BoxPrompt`.
        points: CSV of `name,x,y`, or `grid:16`, see `PointPrompt`.
        frame_rate: frames per second of the overlay; None: as the video, 24 for a folder.
        start: first frame, by its index (`120`) or the stem of its image; None: the first of the video.
        end: frame after the last; None: the end of the video.
        every: take every N-th frame.

    Raises:
        DataError: from `setup`, if the video cannot be read, or the prompt is not of exactly one kind or does not fit
            its frame.
    """

    def __init__(
        self,
        video: str | None = None,
        mask: str | None = None,
        box: list[float] | list[str] | str | None = None,
        points: str | None = None,
        frame_rate: float | None = None,
        start: str | int | None = None,
        end: str | int | None = None,
        every: int = 1,
    ) -> None:
        super().__init__()
        self.video = video
        self.reading: dict[str, Any] = {"frame_rate": frame_rate, "start": start, "end": end, "every": every}
        self.given: dict[str, Any] = {"mask": mask, "box": box, "points": points}

    def setup(self, stage: str) -> None:
        """Read the prompt and the first frame."""
        if self.video is None:
            raise DataError("data.video: name a video file or a folder of frames")
        prompt = read_prompt(**self.given)
        self.prompted = PromptedVideo(FrameStream(self.video, **self.reading), prompt)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Return a loader of the single batch."""
        return DataLoader([{"video": self.prompted}], batch_size=None)  # type: ignore[arg-type]
