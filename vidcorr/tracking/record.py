"""The files of a video while it is tracked: predictions, overlays, animation."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..results.pictures.animations import Curve, SequenceAnimation
from ..results.pictures.overlays import DAVIS_COLOURS, Picture, contact_sheet, evenly_spaced, write_picture
from ..videos.files import csv_text, write_atomically, write_ids
from ..videos.mp4 import Mp4Writer

OVERLAY_FRAMES = 5

Draw = Callable[..., Picture]
"""Frame, uint8 `(3, H, W)`, with its results (and another one to draw beside them) → image `(H, W, 3)`."""


@dataclass(eq=False)
class SequenceWriter(AbstractContextManager["SequenceWriter"]):
    """The files of a sequence: predictions, overlays, animation; without further arguments it writes no file.

    Use it as a context: if tracking fails, predictions and video still hold all frames so far.

    Attributes:
        num_frames: number of frames of the sequence.
        draw: draws results over a frame.
        prediction: the file of the results.
        overlay: PNG with five frames side by side.
        animation: animation in the report.
        draw_animation: draws the frames of the animation; None is `draw`.
        video: video of all frames.
        sheet: the image of `overlay`, after `close`.
        written: number of frames so far.
    """

    num_frames: int
    draw: Draw
    prediction: "PredictionFile | None" = None
    overlay: Path | None = None
    animation: SequenceAnimation | None = None
    draw_animation: Draw | None = None
    video: Mp4Writer | None = None
    sheet: Picture | None = field(default=None, init=False)
    written: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._chosen = evenly_spaced(self.num_frames, OVERLAY_FRAMES) if self.overlay else []
        self._pictures: list[Picture] = []

    def add(self, frame: Tensor, found: Any, *beside: Any, truth: Any = None) -> None:
        """Write the next frame.

        Args:
            frame: uint8 `(3, H, W)`.
            found: its results.
            beside: further arguments of `draw`, for example the annotation.
            truth: ground truth, for the animation.
        """
        if self.prediction is not None:
            self.prediction.add(found)
        if self.written in self._chosen or self.video is not None:
            picture = self.draw(frame, found, *beside)
            if self.written in self._chosen:
                self._pictures.append(picture)
            if self.video is not None:
                self.video.add(picture)
        if self.animation is not None and self.written in self.animation.chosen:
            draw = self.draw_animation or self.draw
            annotated = None if truth is None else draw(frame, truth)
            self.animation.add(draw(frame, found, *beside), annotated)
        self.written += 1

    def close(self, curves: Mapping[str, Curve] | None = None) -> None:
        """Finish overlay and animation; the context's end finishes predictions and video.

        Args:
            curves: measures over the frames, for the animation.
        """
        if self.animation is not None:
            self.animation.close(curves)
        if self.overlay is not None and self._pictures:
            self.sheet = contact_sheet(self._pictures, columns=len(self._pictures))
            write_picture(self.overlay, self.sheet)

    def __exit__(self, *_: object) -> None:
        if self.prediction is not None:
            self.prediction.close()
        if self.video is not None:
            self.video.close()


class IndexedMasks:
    """Masks as indexed PNGs, `<folder>/<stem>.png`.

    Args:
        folder: folder of the files; made if missing.
        stems: names of the frames' files, without suffix; None for a frame without a file.
    """

    def __init__(self, folder: Path, stems: Iterable[str | None]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._stems = iter(stems)

    def add(self, found: Tensor) -> None:
        """Write the ids `(H, W)` uint8 of the next frame."""
        stem = next(self._stems)
        if stem is not None:
            write_ids(self._folder / f"{stem}.png", found.numpy(), DAVIS_COLOURS)

    def close(self) -> None:
        """Do nothing: the images are complete."""


class PredictionTable:
    """Rows of numbers as CSV, written atomically by `close`.

    Args:
        path: the file; its folder is made if missing.
        stems: names of the frames.
        rows: name of a frame and its results → its lines.
        columns: the heading; empty: none.
        line_end: end of a line.
    """

    def __init__(
        self,
        path: Path,
        stems: Iterable[str],
        rows: Callable[[str, Any], Iterable[Sequence[str]]],
        columns: Sequence[str] = (),
        line_end: str = "\r\n",
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._stems = iter(stems)
        self._rows = rows
        self._lines: list[Sequence[str]] = [columns] if columns else []
        self._line_end = line_end

    def add(self, found: Any) -> None:
        """Add the results of the next frame."""
        self._lines.extend(self._rows(next(self._stems), found))

    def close(self) -> None:
        """Write the lines below the heading."""
        write_atomically(self._path, csv_text(self._lines, self._line_end))


PredictionFile = IndexedMasks | PredictionTable
"""Files that take results frame by frame."""


def fixed(values: Iterable[float], digits: int) -> list[str]:
    """Return numbers as text with a fixed number of decimals; NaN is empty."""
    return [f"{value:.{digits}f}" if value == value else "" for value in values]
