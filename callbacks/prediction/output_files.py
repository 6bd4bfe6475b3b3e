"""The files of `predict`: masks, boxes or points of each frame, and an overlay to look at."""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from datamodules.datasets.layout_files import davis_palette
from datamodules.reading.prompts import BoxPrompt, MaskPrompt, Prompt
from datamodules.reading.writing import remove

from ..pictures import OverlayAnimation, OverlayVideo, Picture, overlay_boxes, overlay_masks
from ..tracking.record import IndexedMasks, PredictionFile, SequenceRecord, Table, fixed
from .point_queries import draw_followed, point_rows
from .unfinished import UNFINISHED

Overlay = Literal["mp4", "gif", "webp", "none"]
RECORD = "prediction.json"
OURS = (RECORD, UNFINISHED, "masks", "boxes.csv", "points.csv", "overlay.mp4", "overlay.gif", "overlay.webp")
"""All that `predict` ever writes into its folder."""


def look_for_earlier(folder: Path, overlay: Overlay, overwrite: bool = False) -> bool:
    """Return whether a folder holds an unfinished prediction that may be gone on with.

    Args:
        folder: of the prediction.
        overlay: the kind of overlay that will be in it.
        overwrite: let an earlier prediction be removed; one that was stopped by a signal may be in any case.

    Raises:
        ValueError: for an unknown overlay, or if there is an earlier prediction that is not to be overwritten, or
            something of that name which may not be one.
    """
    if overlay not in get_args(Overlay):
        raise ValueError(f"overlay must be one of {', '.join(get_args(Overlay))}, got {overlay!r}")
    found = [folder / name for name in OURS if (folder / name).exists()]
    if not found:
        return False
    if found[0].name not in (RECORD, UNFINISHED):  # a folder of masks may be the user's own, even the prompt's
        raise ValueError(
            f"{folder}: holds {found[0].name} without a {RECORD}, an unfinished prediction or something of yours: "
            "remove it, or name another output_dir"
        )
    if found[0].name == RECORD and _complete(found[0]):
        if not overwrite:
            raise ValueError(f"{folder}: holds a prediction ({RECORD}); name another output_dir or set overwrite=true")
        return False
    return (folder / UNFINISHED).exists()


def clear(folder: Path, keep: Sequence[str] = ()) -> None:
    """Make a folder for a prediction, and remove an earlier one but for the names in `keep`."""
    for path in (folder / name for name in OURS if name not in keep):
        remove(path)
    folder.mkdir(parents=True, exist_ok=True)


def _complete(record: Path) -> bool:
    """Return whether a prediction reached the end of its video; so did those that do not say."""
    try:
        return bool(json.loads(record.read_text()).get("complete", True))
    except (ValueError, AttributeError, RecursionError):
        return True


def open_record(
    folder: Path, prompt: Prompt, stems: Iterable[str], overlay: Overlay, rate: float, followed: bool = False
) -> SequenceRecord:
    """Return what writes a prediction: `masks/<frame>.png`, `boxes.csv` or `points.csv`, and the overlay.

    Args:
        folder: of the prediction.
        prompt: its kind says which files.
        stems: names of the frames.
        overlay: kind of the overlay.
        rate: frames per second.
        followed: points come from `follow_points`, hidden or not.
    """
    file: PredictionFile
    draw: Callable[..., Picture]
    if isinstance(prompt, MaskPrompt):
        file = IndexedMasks(folder / "masks", stems, palette=prompt.palette)
        draw = partial(overlay_masks, palette=prompt.palette)
    elif isinstance(prompt, BoxPrompt):
        file = Table(folder / "boxes.csv", stems, _box_rows, ("frame", "x", "y", "width", "height"))
        draw = _draw_box
    elif followed:
        columns = ["frame", "name", "x", "y", "score", "occluded"]
        file = Table(folder / "points.csv", stems, partial(point_rows, prompt.names), columns)
        draw = draw_followed
    else:
        columns = ["frame", "name", "x", "y", "score"]
        file = Table(folder / "points.csv", stems, partial(_point_rows, prompt.names), columns)
        draw = partial(draw_points, names=prompt.names)
    return SequenceRecord(0, draw, [file], video=_open_overlay(folder, overlay, rate))


def draw_points(frame: Tensor, found: Tensor, names: Sequence[str]) -> Picture:
    """Draw a dot for each point, in a colour of its own, with its name.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        found: x, y, score `(K, 3)`; points whose x is NaN are left out.
        names: of the points.

    Returns:
        uint8 RGB `(H, W, 3)`.
    """
    import cv2

    picture = np.array(frame.permute(1, 2, 0).numpy(), order="C")
    unit = max(2, round(min(picture.shape[:2]) / 120))
    scale = max(0.4, unit / 10)
    for number, (name, (x, y, _)) in enumerate(zip(names, found.tolist(), strict=True), start=1):
        if x == x:
            place, colour = (round(x), round(y)), _colour(number)
            cv2.circle(picture, place, unit + 1, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(picture, place, unit, colour, -1, cv2.LINE_AA)
            beside = _beside(name, place, unit, scale, picture.shape[:2])
            for shade, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                cv2.putText(picture, name, beside, cv2.FONT_HERSHEY_SIMPLEX, scale, shade, thickness, cv2.LINE_AA)
    return picture


def _draw_box(frame: Tensor, found: NDArray[np.float64]) -> Picture:
    return overlay_boxes(frame, found + np.array([1.0, 1.0, 0.0, 0.0]))


def _box_rows(stem: str, box: NDArray[np.float64]) -> list[list[str]]:
    return [[stem, *fixed(box, 2)]]


def _point_rows(names: Sequence[str], stem: str, found: Tensor) -> list[list[str]]:
    """Return one line for each point; x and y are empty where it is lost."""
    points = zip(names, found.tolist(), strict=True)
    return [[stem, name, *fixed(place, 2), *fixed([score], 4)] for name, (*place, score) in points]


def _open_overlay(folder: Path, kind: Overlay, rate: float) -> OverlayVideo | OverlayAnimation | None:
    if kind == "none":
        return None
    path = folder / f"overlay.{kind}"
    return OverlayVideo(path, rate) if kind == "mp4" else OverlayAnimation(path, rate)


def _beside(name: str, place: tuple[int, int], unit: int, scale: float, size: tuple[int, ...]) -> tuple[int, int]:
    """Return where a name begins: above and right of its point; left of it, or lower, where it would be cut off."""
    import cv2

    (width, height), below = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, scale, 3)
    left = place[0] + 2 * unit
    if left + width > size[1]:
        left = max(0, place[0] - 2 * unit - width)
    return left, max(height + 1, min(place[1] - unit, size[0] - below))


def _colour(number: int) -> list[int]:
    return davis_palette()[1 + (number - 1) % 21].tolist()
