"""The files of `predict`: masks, boxes or points by frame, an overlay video, and exports."""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from datamodules.prompted_video import FrameStream, PromptedVideo

from .. import signals
from ..functional import PointProtocol
from ..results.pictures import Picture, overlay_writer
from ..results.pictures.overlays import (
    distinct_colours,
    draw_boxes,
    draw_points,
    overlay_masks,
    overlay_tracks,
    rainbow,
)
from ..videos.files import remove, write_atomically
from ..videos.guards import require_one_of
from ..videos.mask_files import davis_palette, encode_rle, require_pycocotools
from ..videos.prompts import BoxPrompt, MaskPrompt
from .follow import FollowedPoints
from .plan import AnyProtocol, palette_of
from .record import Draw, IndexedMasks, PredictionFile, PredictionTable, SequenceRecord, fixed

Overlay = Literal["mp4", "gif", "webp", "none"]
Export = Literal["coco", "csv"]
Annotate = Callable[[Any], list[dict[str, Any]]]
RECORD = "prediction.json"
OVERLAYS = tuple(f"overlay.{kind}" for kind in get_args(Overlay) if kind != "none")
OUTPUTS = (RECORD, "masks", "boxes.csv", "points.csv", *OVERLAYS, "coco.json", "objects.csv")
"""All files that `predict` may write into its folder."""


def check_folder(folder: Path, overlay: Overlay, overwrite: bool = False, exports: Sequence[str] = ()) -> bool:
    """Return whether a folder holds an interrupted prediction.

    Args:
        folder: folder of the prediction.
        overlay: kind of the overlay.
        overwrite: allow to replace a complete prediction; an interrupted prediction is always replaced.
        exports: further files.

    Raises:
        ValueError: for an unknown overlay or export, a file in place of the folder, a complete prediction without
            `overwrite`, or files with our names but without prediction.json.
    """
    require_one_of(get_args(Overlay), overlay=overlay)
    for export in exports:
        require_one_of(get_args(Export), exports=export)
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
    try:
        complete = json.loads((folder / RECORD).read_text())["complete"]
    except (ValueError, KeyError, TypeError, RecursionError):  # somebody else's file, or an edited one
        complete = True
    if complete and not overwrite:
        remedy = "name another output_dir, or add --trainer.callbacks.overwrite true"
        raise ValueError(f"{folder}: holds a prediction ({RECORD}); {remedy}")
    return not complete


@contextmanager
def earlier_kept(folder: Path) -> Iterator[None]:
    """Set an earlier prediction aside during the block, and put it back if the block fails.

    A stop by a signal is no failure: the frames so far then replace the earlier prediction.

    Args:
        folder: folder of the prediction; its subfolder `.earlier` holds the earlier files.
    """
    earlier = folder / ".earlier"
    if earlier.is_dir():  # a killed process left it, and its unfinished files
        _remove_outputs(folder)
    else:
        earlier.mkdir()
        _move_outputs(folder, earlier)
    try:
        yield
    except signals.Stopped:
        raise
    except BaseException:
        _remove_outputs(folder)
        _move_outputs(earlier, folder)
        raise
    finally:
        remove(earlier)


def _remove_outputs(folder: Path) -> None:
    for name in OUTPUTS:
        remove(folder / name)


def _move_outputs(source: Path, destination: Path) -> None:
    for name in OUTPUTS:
        if (source / name).exists():
            (source / name).replace(destination / name)


def open_record(
    folder: Path, video: PromptedVideo, rules: AnyProtocol, overlay: Overlay, exports: Sequence[str] = ()
) -> SequenceRecord:
    """Open the files of a prediction: `masks/<frame>.png`, `boxes.csv` or `points.csv`, the overlay and exports.

    Args:
        folder: folder of the prediction.
        video: the video; the kind of its prompts selects the files.
        rules: protocol of the tracker; a point protocol adds a column.
        overlay: kind of the overlay.
        exports: further files.
    """
    stream, first, names = video.frames, video.prompts[0], [str(name) for name in video.by_object]
    categories: list[dict[str, Any]] = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    files: list[PredictionFile] = []
    draw: Draw
    annotate: Annotate

    def add_table(name: str, rows: Callable[[str, Any], list[list[str]]], columns: Sequence[str]) -> None:
        files.append(PredictionTable(folder / name, map(stream.stem, itertools.count()), rows, columns))

    if isinstance(first, MaskPrompt):
        palette = palette_of(video.prompts)
        colours = palette.copy()
        if np.array_equal(palette, davis_palette()):  # the user painted no colours
            colours[[int(name) for name in names]] = distinct_colours(len(names))
        files.append(IndexedMasks(folder / "masks", map(stream.stem, itertools.count()), palette=palette))
        draw = partial(overlay_masks, colours=colours, labelled=True)
        annotate, categories = _annotate_masks, [{"id": int(name), "name": name} for name in names]
        if "csv" in exports:
            add_table("objects.csv", _object_rows, ("frame", "object", "x", "y", "width", "height", "area"))
    elif isinstance(first, BoxPrompt):
        shown = names if len(names) > 1 or first.name else []
        columns = ("frame", *(["name"] if shown else []), "x", "y", "width", "height")
        add_table("boxes.csv", partial(_number_rows, shown, (2, 2, 2, 2)), columns)
        draw, annotate = partial(draw_boxes, colours=distinct_colours(len(names)), labels=shown), _annotate_boxes
    else:
        queried = isinstance(rules, PointProtocol)
        digits = (3, 3, 4, 0) if queried else (2, 2, 4)
        columns = ("frame", "name", "x", "y", "score", "occluded")[: 2 + len(digits)]
        add_table("points.csv", partial(_number_rows, names, digits), columns)
        draw = _draw_followed if queried else partial(draw_points, names=names, colours=distinct_colours(len(names)))
        annotate, categories = _annotate_points, [{"id": 1, "name": "points", "keypoints": names, "skeleton": []}]
    if "coco" in exports:
        files.append(CocoFile(folder / "coco.json", stream, categories, annotate))
    film = None if overlay == "none" else overlay_writer(folder / f"overlay.{overlay}", stream.frame_rate)
    return SequenceRecord(0, draw, files, video=film)


def _draw_followed(frame: Tensor, found: FollowedPoints) -> Picture:
    """Draw the points with the last part of their tracks; see `overlay_tracks`."""
    points = found.points.numpy() + 0.5
    return overlay_tracks(frame, points, np.asarray(found.occluded), found.t, rainbow(points[:, 0]))


def _number_rows(names: Sequence[str], digits: Sequence[int], stem: str, found: Any) -> list[list[str]]:
    """Return a line per box or point, with its name if it has any; NaN is empty."""
    rows = []
    for name, values in zip([[name] for name in names] or [[]], _numbers_of(found).tolist(), strict=True):
        texts = (fixed([value], places)[0] for value, places in zip(values, digits, strict=True))
        rows.append([stem, *name, *texts])
    return rows


def _numbers_of(found: Any) -> NDArray[np.float64]:
    """Return boxes `(N, 4)`, points `(K, 3)` x, y, score, or of a point protocol `(K, 4)` with occlusion last."""
    return np.asarray(found.now if isinstance(found, FollowedPoints) else found, np.float64)


def _objects(ids: Tensor) -> Iterator[tuple[int, NDArray[np.bool_], tuple[int, int, int, int]]]:
    """Yield the objects of a mask: number, pixels `(H, W)`, and left, top, width and height."""
    mask = ids.numpy()
    for number in np.unique(mask[mask > 0]).tolist():
        left, top, width, height = cv2.boundingRect((mask == number).astype(np.uint8))
        yield number, mask == number, (left, top, width, height)


def _object_rows(stem: str, ids: Tensor) -> list[list[str]]:
    """Return a line per object of a mask: its box and its number of pixels."""
    return [[stem, *map(str, (number, *box, inside.sum()))] for number, inside, box in _objects(ids)]


class CocoFile(PredictionFile):
    """Write COCO's JSON, with an image per frame and an annotation per object in it.

    An image has its frame's number in the video as `id` and `frame`. Masks are compressed run lengths, with `bbox` and
    `area`, and with the object's id as `track_id` and `category_id`. Boxes are `bbox`. The points of a frame are the
    `keypoints` of an annotation: x, y and 2 for visible, 1 for hidden, 0 for lost points.

    Source: the data format of the COCO API (cocodataset.org), as pycocotools reads it.

    Args:
        path: the file; its folder exists.
        stream: numbers the frames.
        categories: categories in COCO's form.
        annotate: results of a frame → its annotations.
    """

    def __init__(self, path: Path, stream: FrameStream, categories: list[dict[str, Any]], annotate: Annotate) -> None:
        self._path, self._stream, self._categories, self._annotate = path, stream, categories, annotate
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, found: Any) -> None:
        """Add the results of the next frame."""
        t, (height, width) = len(self._images), self._stream.size
        number = self._stream.part[t]
        image = {"id": number, "frame": number, "file_name": self._stream.stem(t), "height": height, "width": width}
        self._images.append(image)
        for annotation in self._annotate(found):
            numbered = {"id": len(self._annotations) + 1, "image_id": number, "iscrowd": 0, **annotation}
            self._annotations.append(numbered)

    def close(self) -> None:
        """Write the JSON."""
        content = {"images": self._images, "categories": self._categories, "annotations": self._annotations}
        write_atomically(self._path, json.dumps(content) + "\n")


def _annotate_masks(ids: Tensor) -> list[dict[str, Any]]:
    return [
        {
            "category_id": number,
            "track_id": number,
            "segmentation": encode_rle(inside),
            "bbox": [float(value) for value in box],
            "area": int(inside.sum()),
        }
        for number, inside, box in _objects(ids)
    ]


def _annotate_boxes(found: Any) -> list[dict[str, Any]]:
    boxes = _numbers_of(found).round(2)
    areas = _numbers_of(found)[:, 2:].prod(1).round(2)
    return [
        {"category_id": number, "track_id": number, "bbox": box.tolist(), "area": float(area)}
        for number, (box, area) in enumerate(zip(boxes, areas, strict=True), start=1)
    ]


def _annotate_points(found: Any) -> list[dict[str, Any]]:
    """Return all points of a frame as a single annotation."""
    points = _numbers_of(found)
    lost, hidden = np.isnan(points[:, 0]), points[:, 3] if points.shape[1] > 3 else 0
    places = np.nan_to_num(points[:, :2]).round(2)
    visibility = np.where(lost, 0, 2 - hidden).astype(int).tolist()
    keypoints = [number for place, seen in zip(places.tolist(), visibility, strict=True) for number in (*place, seen)]
    known = places[~lost] if not lost.all() else np.zeros((1, 2))
    low, size = known.min(0), np.ptp(known, 0)
    box, area = [*low.tolist(), *size.tolist()], float(size.prod())
    count = int((~lost).sum())
    return [{"category_id": 1, "keypoints": keypoints, "num_keypoints": count, "bbox": box, "area": area}]
