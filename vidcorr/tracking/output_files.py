"""The files of `predict`: masks, boxes or points by frame, and an overlay video."""

import itertools
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..functional import PointProtocol
from ..results.pictures import Picture
from ..results.pictures.overlays import (
    distinct_colours,
    draw_boxes,
    draw_points,
    overlay_masks,
    overlay_tracks,
    rainbow,
)
from ..videos.files import remove
from ..videos.mask_files import davis_palette
from ..videos.mp4 import Mp4Writer
from ..videos.prompts import BoxPrompt, MaskPrompt
from ..videos.stream import PromptedVideo
from .follow import AnyProtocol, FollowedPoints
from .record import Draw, IndexedMasks, PredictionFile, PredictionTable, SequenceWriter, fixed

RECORD = "prediction.json"
OUTPUTS = (RECORD, "masks", "boxes.csv", "points.csv", "overlay.mp4")
"""All files that `predict` may write into its folder."""


def check_folder(folder: Path, overwrite: bool = False) -> bool:
    """Return whether a folder holds an interrupted prediction.

    Args:
        folder: folder of the prediction.
        overwrite: allow to replace a complete prediction; an interrupted prediction is always replaced.

    Raises:
        ValueError: for a file in place of the folder, a complete prediction without `overwrite`, or files with our
            names but without prediction.json.
    """
    if folder.is_file():
        raise ValueError(f"{folder}: is a file; output_dir must name a folder")
    earlier = [name for name in OUTPUTS if (folder / name).exists()]
    if not earlier:
        return False
    if earlier[0] != RECORD:  # a folder of masks may be the user's own, even the prompt's
        raise ValueError(
            f"{folder}: holds {earlier[0]} but no {RECORD}, so it may be yours; remove it, or name another output_dir"
        )
    try:
        complete = json.loads((folder / RECORD).read_text())["complete"]
    except (ValueError, KeyError, TypeError, RecursionError):  # somebody else's file, or an edited one
        complete = True
    if complete and not overwrite:
        remedy = "name another output_dir, or add --trainer.callbacks.overwrite true"
        raise ValueError(f"{folder}: holds a prediction ({RECORD}); {remedy}")
    return not complete


def remove_outputs(folder: Path) -> None:
    """Remove an earlier prediction."""
    for name in OUTPUTS:
        remove(folder / name)


def open_record(folder: Path, video: PromptedVideo, rules: AnyProtocol, overlay: bool) -> SequenceWriter:
    """Open the files of a prediction: `masks/<frame>.png`, `boxes.csv` or `points.csv`, and the overlay.

    Args:
        folder: folder of the prediction.
        video: the video; the kind of its prompt selects the files.
        rules: protocol of the tracker; a point protocol adds a column.
        overlay: write `overlay.mp4`.
    """
    prompt, stems = video.prompt, map(video.frames.stem, itertools.count())
    names = [str(name) for name in prompt.objects]
    file: PredictionFile
    draw: Draw
    if isinstance(prompt, MaskPrompt):
        colours = prompt.palette.copy()
        if np.array_equal(colours, davis_palette()):  # the user painted no colours
            colours[list(prompt.objects)] = distinct_colours(len(names))
        file = IndexedMasks(folder / "masks", stems, palette=prompt.palette)
        draw = partial(overlay_masks, colours=colours, labelled=True)
    elif isinstance(prompt, BoxPrompt):
        shown = names if len(names) > 1 or names[0] else []
        columns = ("frame", *(["name"] if shown else []), "x", "y", "width", "height")
        file = PredictionTable(folder / "boxes.csv", stems, partial(_number_rows, shown, (2, 2, 2, 2)), columns)
        draw = partial(draw_boxes, colours=distinct_colours(len(names)), labels=shown)
    else:
        queried = isinstance(rules, PointProtocol)
        digits = (3, 3, 4, 0) if queried else (2, 2, 4)
        columns = ("frame", "name", "x", "y", "score", "occluded")[: 2 + len(digits)]
        file = PredictionTable(folder / "points.csv", stems, partial(_number_rows, names, digits), columns)
        draw = _draw_followed if queried else partial(draw_points, names=names, colours=distinct_colours(len(names)))
    film = Mp4Writer(folder / "overlay.mp4", video.frames.frame_rate, crf="23") if overlay else None
    return SequenceWriter(0, draw, [file], video=film)


def _draw_followed(frame: Tensor, found: FollowedPoints) -> Picture:
    """Draw the points with the last part of their tracks; see `overlay_tracks`."""
    points = found.points.numpy() + 0.5
    return overlay_tracks(frame, points, np.asarray(found.occluded), found.t, rainbow(points[:, 0]))


def _number_rows(names: Sequence[str], digits: Sequence[int], stem: str, found: object) -> list[list[str]]:
    """Return a line per box or point, with its name if it has any; NaN is empty."""
    rows = []
    for name, values in zip([[name] for name in names] or [[]], _numbers_of(found).tolist(), strict=True):
        texts = (fixed([value], places)[0] for value, places in zip(values, digits, strict=True))
        rows.append([stem, *name, *texts])
    return rows


def _numbers_of(found: object) -> NDArray[np.float64]:
    """Return boxes `(N, 4)`, points `(K, 3)` x, y, score, or of a point protocol `(K, 4)` with occlusion last."""
    return np.asarray(found.now if isinstance(found, FollowedPoints) else found, np.float64)
