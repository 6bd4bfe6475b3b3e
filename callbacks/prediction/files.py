"""What `predict` leaves on disk: masks, boxes or points of each frame, and an overlay to look at."""

import csv
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from torch import Tensor

from datamodules.datasets.files import davis_palette, write_ids
from datamodules.reading.prompts import BoxPrompt, MaskPrompt, PointPrompt, Prompt

from ..pictures import OverlayAnimation, OverlayVideo, Picture, overlay_boxes, overlay_masks

Overlay = Literal["mp4", "gif", "webp", "none"]
RECORD = "prediction.json"
OURS = (RECORD, "masks", "boxes.csv", "points.csv", "overlay.mp4", "overlay.gif", "overlay.webp")
"""All that `predict` ever writes into its folder."""


def prepare_folder(folder: Path, overlay: Overlay, overwrite: bool = False) -> None:
    """Make a folder for a prediction.

    Args:
        folder: to make.
        overlay: the kind of overlay that will be in it.
        overwrite: remove an earlier prediction, and nothing else: one that its record says was finished.

    Raises:
        ValueError: for an unknown overlay, or if there is an earlier prediction that is not to be overwritten, or
            something of that name which may not be one.
        OSError: if the folder cannot be made.
    """
    if overlay not in get_args(Overlay):
        raise ValueError(f"overlay must be one of {', '.join(get_args(Overlay))}, got {overlay!r}")
    found = [folder / name for name in OURS if (folder / name).exists()]
    if found and found[0].name != RECORD:  # a folder of masks may be the user's own, even the prompt's
        raise ValueError(
            f"{folder}: holds {found[0].name} without a {RECORD}, an unfinished prediction or something of yours: "
            "remove it, or name another output_dir"
        )
    if found and not overwrite:
        raise ValueError(f"{folder}: holds a prediction ({RECORD}); name another output_dir or set overwrite=true")
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    folder.mkdir(parents=True, exist_ok=True)


class Writer(Protocol):
    """Writes what was found in each frame, and draws it."""

    def add(self, stem: str, found: Any) -> None: ...
    def draw(self, frame: Tensor, found: Any) -> Picture: ...
    def close(self) -> None: ...


class MaskWriter:
    """An indexed PNG for each frame, `masks/<frame>.png`, in the prompt's palette.

    Args:
        folder: of the prediction.
        prompt: whose palette it is.
    """

    def __init__(self, folder: Path, prompt: MaskPrompt) -> None:
        self.folder, self.palette = folder / "masks", prompt.palette
        self.folder.mkdir()

    def add(self, stem: str, found: Tensor) -> None:
        """Ids `(H, W)` uint8."""
        write_ids(self.folder / f"{stem}.png", found.numpy(), self.palette)

    def draw(self, frame: Tensor, found: Tensor) -> Picture:
        """See `overlay_masks`."""
        return overlay_masks(frame, found, palette=self.palette)

    def close(self) -> None:
        """Nothing is open."""


class _Table:
    def __init__(self, path: Path, columns: Iterable[str]) -> None:
        self._file = path.open("w", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(columns)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class BoxWriter(_Table):
    """`boxes.csv`: a line for each frame.

    Args:
        folder: of the prediction.
        prompt: the box it started from.
    """

    def __init__(self, folder: Path, prompt: BoxPrompt) -> None:
        super().__init__(folder / "boxes.csv", ["frame", "x", "y", "width", "height"])

    def add(self, stem: str, found: np.ndarray) -> None:
        """Left, top, width, height."""
        self._writer.writerow([stem, *(f"{value:.2f}" for value in found)])

    def draw(self, frame: Tensor, found: np.ndarray) -> Picture:
        """See `overlay_boxes`."""
        return overlay_boxes(frame, found + np.array([1.0, 1.0, 0.0, 0.0]))


class PointWriter(_Table):
    """`points.csv`: a line for each point of each frame; x and y are empty where a point is lost.

    Args:
        folder: of the prediction.
        prompt: says the names.
    """

    def __init__(self, folder: Path, prompt: PointPrompt) -> None:
        super().__init__(folder / "points.csv", ["frame", "name", "x", "y", "score"])
        self.names = prompt.names

    def add(self, stem: str, found: Tensor) -> None:
        """x, y, score `(K, 3)`."""
        for name, (x, y, score) in zip(self.names, found.tolist(), strict=True):
            places = [f"{x:.2f}", f"{y:.2f}"] if x == x else ["", ""]
            self._writer.writerow([stem, name, *places, f"{score:.4f}"])

    def draw(self, frame: Tensor, found: Tensor) -> Picture:
        """A dot for each point, in colours of its own, with its name."""
        import cv2

        picture = np.array(frame.permute(1, 2, 0).numpy(), order="C")
        unit = max(2, round(min(picture.shape[:2]) / 120))
        scale = max(0.4, unit / 10)
        for number, (name, (x, y, _)) in enumerate(zip(self.names, found.tolist(), strict=True), start=1):
            if x == x:
                place, colour = (round(x), round(y)), _colour(number)
                cv2.circle(picture, place, unit + 1, (255, 255, 255), -1, cv2.LINE_AA)
                cv2.circle(picture, place, unit, colour, -1, cv2.LINE_AA)
                beside = _beside(name, place, unit, scale, picture.shape[:2])
                for shade, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                    cv2.putText(picture, name, beside, cv2.FONT_HERSHEY_SIMPLEX, scale, shade, thickness, cv2.LINE_AA)
        return picture


def open_writer(folder: Path, prompt: Prompt) -> Writer:
    """The writer that belongs to a prompt."""
    if isinstance(prompt, MaskPrompt):
        return MaskWriter(folder, prompt)
    return BoxWriter(folder, prompt) if isinstance(prompt, BoxPrompt) else PointWriter(folder, prompt)


def open_overlay(folder: Path, kind: Overlay, rate: float) -> OverlayVideo | OverlayAnimation | None:
    """What pictures are appended to; None for "none"."""
    if kind == "none":
        return None
    path = folder / f"overlay.{kind}"
    return OverlayVideo(path, rate) if kind == "mp4" else OverlayAnimation(path, rate)


def _beside(name: str, place: tuple[int, int], unit: int, scale: float, size: tuple[int, ...]) -> tuple[int, int]:
    """Where a name begins: above and right of its point; left of it, or lower, where that would be cut off."""
    import cv2

    (width, height), below = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, scale, 3)
    left = place[0] + 2 * unit
    if left + width > size[1]:
        left = max(0, place[0] - 2 * unit - width)
    return left, max(height + 1, min(place[1] - unit, size[0] - below))


def _colour(number: int) -> list[int]:
    return davis_palette()[1 + (number - 1) % 21].tolist()
