"""The files of `predict`: masks, boxes or points of each frame, an overlay video, and exports."""

import itertools
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from datamodules.reading.coco import require_pycocotools
from datamodules.reading.files import remove
from datamodules.reading.mask_files import davis_palette
from datamodules.reading.prompts import BoxPrompt, MaskPrompt
from lightning_modules.functional import PointProtocol

from ..pictures import OverlayAnimation, OverlayVideo, Picture
from ..pictures.labelled import Colour, distinct_colours, draw_boxes, draw_masks, draw_points
from ..pictures.overlays import as_picture
from ..tracking.record import Draw, IndexedMasks, PredictionFile, PredictionTable, SequenceRecord, fixed
from .coco_file import CocoFile, object_box
from .point_queries import draw_followed, point_rows
from .request import Request

Overlay = Literal["mp4", "gif", "webp", "none"]
Export = Literal["coco", "csv"]
RECORD = "prediction.json"
OVERLAYS = tuple(f"overlay.{kind}" for kind in get_args(Overlay) if kind != "none")
OUTPUTS = (RECORD, "masks", "boxes.csv", "points.csv", *OVERLAYS, "coco.json", "objects.csv")
"""All that `predict` ever writes into its folder."""


def check_folder(folder: Path, overlay: Overlay, overwrite: bool = False, exports: Sequence[str] = ()) -> bool:
    """Return whether a folder holds a prediction that was interrupted.

    Args:
        folder: folder of the prediction.
        overlay: the kind of overlay that will be in it.
        overwrite: let an earlier prediction be removed; one that was interrupted may be in any case.
        exports: further files.

    Raises:
        ValueError: for an unknown overlay or export, a file in place of the folder, an earlier prediction that is not
            to be overwritten, or something of that name which may not be one.
    """
    if overlay not in get_args(Overlay):
        raise ValueError(f"overlay must be one of {', '.join(get_args(Overlay))}, got {overlay!r}")
    if wrong := [each for each in exports if each not in get_args(Export)]:
        raise ValueError(f"exports may hold {' and '.join(get_args(Export))}, got {wrong[0]!r}")
    if "coco" in exports:
        require_pycocotools()
    if folder.is_file():
        raise ValueError(f"{folder}: is a file; output_dir names a folder")
    earlier = [name for name in OUTPUTS if (folder / name).exists()]
    if not earlier:
        return False
    if earlier[0] != RECORD:  # a folder of masks may be the user's own, even the prompt's
        raise ValueError(
            f"{folder}: holds {earlier[0]} without a {RECORD}: it may be yours; remove it, or name another output_dir"
        )
    complete = _complete(folder / RECORD)
    if complete and not overwrite:
        raise ValueError(f"{folder}: holds a prediction ({RECORD}); name another output_dir or set overwrite=true")
    return not complete


def clear(folder: Path) -> None:
    """Make a folder for a prediction, and remove an earlier one."""
    for name in OUTPUTS:
        remove(folder / name)
    folder.mkdir(parents=True, exist_ok=True)


def _complete(record: Path) -> bool:
    """Return whether a prediction reached the end of its video; True where its record does not state it."""
    try:
        return bool(json.loads(record.read_text()).get("complete", True))
    except (ValueError, AttributeError, RecursionError):
        return True


def open_record(folder: Path, request: Request, overlay: Overlay, exports: Sequence[str] = ()) -> SequenceRecord:
    """Return what writes a prediction: `masks/<frame>.png`, `boxes.csv` or `points.csv`, the overlay and exports.

    Args:
        folder: folder of the prediction.
        request: what is followed; its kind says which files.
        overlay: kind of the overlay.
        exports: further files.
    """
    stream, names = request.stream, [str(name) for name in request.names]

    def stems() -> Iterator[str]:
        return map(stream.stem, itertools.count())

    first = request.prompts[0]
    draw: Draw
    columns: Sequence[str]
    if isinstance(first, MaskPrompt):
        palette = request.palette()
        files: list[PredictionFile] = [IndexedMasks(folder / "masks", stems(), palette=palette)]
        draw = partial(draw_masks, colours=_mask_colours(request, palette))
        if "csv" in exports:
            columns = ("frame", "object", "x", "y", "width", "height", "area")
            files.append(PredictionTable(folder / "objects.csv", stems(), _object_rows, columns))
    elif isinstance(first, BoxPrompt):
        named = len(names) > 1 or bool(first.name)
        columns = ("frame", "name", "x", "y", "width", "height")
        rows = partial(_box_rows, names if named else [])
        files = [PredictionTable(folder / "boxes.csv", stems(), rows, [c for c in columns if named or c != "name"])]
        colours = distinct_colours(len(names), _picture(request))
        draw = partial(draw_boxes, colours=colours, labels=names if named else [""])
    elif isinstance(request.rules, PointProtocol):
        columns = ("frame", "name", "x", "y", "score", "occluded")
        files = [PredictionTable(folder / "points.csv", stems(), partial(point_rows, names), columns)]
        draw = draw_followed
    else:
        columns = ("frame", "name", "x", "y", "score")
        files = [PredictionTable(folder / "points.csv", stems(), partial(_point_rows, names), columns)]
        draw = partial(draw_points, names=names, colours=distinct_colours(len(names), _picture(request)))
    if "coco" in exports:
        files.append(CocoFile(folder / "coco.json", stream, names, type(first)))
    video = None
    if overlay != "none":
        kind = OverlayVideo if overlay == "mp4" else OverlayAnimation
        video = kind(folder / f"overlay.{overlay}", stream.frame_rate)
    return SequenceRecord(0, draw, files, video=video)


def _mask_colours(request: Request, palette: NDArray[np.uint8]) -> dict[int, Colour]:
    """Return the overlay's colour of each object: that of a painted mask, else distinct ones."""
    objects = [int(number) for number in request.names]
    if not np.array_equal(palette, davis_palette()):
        return {number: (*palette[number].tolist(),) for number in objects}
    return dict(zip(objects, distinct_colours(len(objects), _picture(request)), strict=True))


def _picture(request: Request) -> Picture:
    """Return the first frame of the stream `(H, W, 3)`."""
    return as_picture(next(request.stream.forwards()))


def _object_rows(stem: str, ids: Tensor) -> list[list[str]]:
    """Return a line for each object of a mask: its box and its number of pixels."""
    mask, lines = ids.numpy(), []
    for number in np.unique(mask[mask > 0]).tolist():
        inside = mask == number
        lines.append([stem, *map(str, (number, *object_box(inside), inside.sum()))])
    return lines


def _box_rows(names: Sequence[str], stem: str, boxes: Any) -> list[list[str]]:
    """Return a line for each box; without a name where there are no names."""
    named = [[name] for name in names] or [[]]
    return [[stem, *name, *fixed(box, 2)] for name, box in zip(named, np.asarray(boxes).tolist(), strict=True)]


def _point_rows(names: Sequence[str], stem: str, found: Tensor) -> list[list[str]]:
    """Return one line for each point; x and y are empty where it is lost."""
    points = zip(names, found.tolist(), strict=True)
    return [[stem, name, *fixed(position, 2), *fixed([score], 4)] for name, (*position, score) in points]
