"""A prediction as COCO's JSON: images, annotations and categories."""

import json
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from datamodules.prompted_video import FrameStream
from datamodules.reading.coco import encode_rle
from datamodules.reading.files import unfinished
from datamodules.reading.prompts import BoxPrompt, MaskPrompt, PointPrompt

from .point_queries import FollowedPoints

COPIED_AT_ONCE = 2**20


class CocoFile:
    """Write COCO's JSON, with an image for each frame and an annotation for each object in it.

    An image has its frame's number in the video as `id` and `frame`. Masks are run lengths, compressed; an annotation's
    `track_id` and `category_id` are the object's id, its `bbox` and `area` those of its pixels. Boxes are `bbox`,
    points the `keypoints` of one annotation per frame: x, y and 2 where visible, 1 where hidden, 0 where lost.
    Annotations wait in a file without a name until the end, so that memory does not grow with the video.

    Source: the data format of the COCO API (cocodataset.org), as pycocotools reads it.

    Args:
        path: path of the file.
        stream: numbers the frames.
        names: names of the objects.
        kind: kind of the prompts.
    """

    def __init__(
        self,
        path: Path,
        stream: FrameStream,
        names: list[str],
        kind: type[MaskPrompt] | type[BoxPrompt] | type[PointPrompt],
    ) -> None:
        self._path, self._stream, self._names, self._kind = path, stream, names, kind
        self._images = TemporaryFile("w+")  # noqa: SIM115 - both until `close`
        self._annotations = TemporaryFile("w+")  # noqa: SIM115
        self._frames = self._count = 0

    def add(self, found: Any) -> None:
        """Add the results of the next frame."""
        t, (height, width) = self._frames, self._stream.size
        number = self._stream.part.number(t)
        image = {"id": number, "frame": number, "file_name": self._stream.stem(t), "height": height, "width": width}
        _append(self._images, image, t)
        for annotation in self._found(found):
            metadata = {"id": self._count + 1, "image_id": number, "iscrowd": 0, **annotation}
            _append(self._annotations, metadata, self._count)
            self._count += 1
        self._frames += 1

    def close(self) -> None:
        """Write the file."""
        categories: list[dict[str, Any]] = [
            {"id": int(name) if self._kind is MaskPrompt else number, "name": name}
            for number, name in enumerate(self._names, start=1)
        ]
        if self._kind is PointPrompt:
            categories = [{"id": 1, "name": "points", "keypoints": self._names, "skeleton": []}]
        with unfinished(self._path) as temporary, temporary.open("w") as file:
            for head, body in (('{"images": [', self._images), ('], "annotations": [', self._annotations)):
                file.write(head)
                body.seek(0)
                while part := body.read(COPIED_AT_ONCE):
                    file.write(part)
                body.close()
            file.write(f'], "categories": {json.dumps(categories)}}}\n')

    def _found(self, found: Any) -> list[dict[str, Any]]:
        if self._kind is MaskPrompt:
            return _masks(found)
        if self._kind is BoxPrompt:
            return [_box(number, box) for number, box in enumerate(np.asarray(found).tolist(), start=1)]
        return [_points(found)]


def _append(file: IO[str], item: Any, before: int) -> None:
    """Add an item to a list that has `before` items already."""
    file.write((",\n" if before else "") + json.dumps(item))


def object_box(inside: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the smallest box around the pixels of a mask that is not empty.

    Example:
        >>> object_box(np.array([[0, 0, 0], [0, 1, 1]], bool))
        (1, 1, 2, 1)
    """
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top


def _masks(ids: Tensor) -> list[dict[str, Any]]:
    mask, annotations = ids.numpy(), []
    for number in np.unique(mask).tolist():
        if number:
            inside = mask == number
            annotations.append(
                {
                    "category_id": number,
                    "track_id": number,
                    "segmentation": encode_rle(inside),
                    "bbox": [float(value) for value in object_box(inside)],
                    "area": int(inside.sum()),
                }
            )
    return annotations


def _box(number: int, box: list[float]) -> dict[str, Any]:
    rounded = [round(value, 2) for value in box]
    return {"category_id": number, "track_id": number, "bbox": rounded, "area": round(box[2] * box[3], 2)}


def _points(found: Any) -> dict[str, Any]:
    """Return all points of a frame as one annotation."""
    if isinstance(found, FollowedPoints):
        positions = found.points[:, found.t].tolist()
        seen = (2 - found.occluded[:, found.t].int()).tolist()
    else:
        positions = [[x, y] for x, y, _ in found.tolist()]
        seen = [2 if x == x else 0 for x, _ in positions]
    flat = [[round(x, 2), round(y, 2), v] if v else [0, 0, 0] for (x, y), v in zip(positions, seen, strict=True)]
    known = np.array([point[:2] for point in flat if point[2]]).reshape(-1, 2)
    low, high = (known.min(0), known.max(0)) if len(known) else (np.zeros(2), np.zeros(2))
    return {
        "category_id": 1,
        "keypoints": [value for point in flat for value in point],
        "num_keypoints": len(known),
        "bbox": [*low.tolist(), *(high - low).tolist()],
        "area": float(np.prod(high - low)),
    }
