"""A prediction as COCO's JSON: images, annotations and categories."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from datamodules.prompted_video import FrameStream
from datamodules.reading.coco import encode_rle
from datamodules.reading.files import unfinished
from datamodules.reading.prompts import BoxPrompt, MaskPrompt, PointPrompt

from .point_queries import FollowedPoints


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
        self._images: list[dict[str, Any]] = []
        self._annotations = TemporaryFile("w+")  # noqa: SIM115 - until `close`
        self._count = 0

    def add(self, found: Any) -> None:
        """Add the results of the next frame."""
        t, (height, width) = len(self._images), self._stream.size
        number = self._stream.part.number(t)
        image = {"id": number, "frame": number, "file_name": self._stream.stem(t), "height": height, "width": width}
        self._images.append(image)
        annotations = {MaskPrompt: _masks, BoxPrompt: _boxes, PointPrompt: _points}[self._kind](found)
        for annotation in annotations:
            self._annotations.write(",\n" if self._count else "")
            self._count += 1
            json.dump({"id": self._count, "image_id": number, "iscrowd": 0, **annotation}, self._annotations)

    def close(self) -> None:
        """Write the file."""
        categories: list[dict[str, Any]] = [
            {"id": int(name) if self._kind is MaskPrompt else number, "name": name}
            for number, name in enumerate(self._names, start=1)
        ]
        if self._kind is PointPrompt:
            categories = [{"id": 1, "name": "points", "keypoints": self._names, "skeleton": []}]
        self._annotations.seek(0)
        with unfinished(self._path) as temporary, temporary.open("w") as file, self._annotations:
            file.write(
                f'{{"images": {json.dumps(self._images)}, "categories": {json.dumps(categories)}, "annotations": [\n'
            )
            shutil.copyfileobj(self._annotations, file)
            file.write("]}\n")


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
    mask = ids.numpy()
    return [
        {
            "category_id": number,
            "track_id": number,
            "segmentation": encode_rle(mask == number),
            "bbox": [float(value) for value in object_box(mask == number)],
            "area": int((mask == number).sum()),
        }
        for number in np.unique(mask[mask > 0]).tolist()
    ]


def _boxes(boxes: Any) -> list[dict[str, Any]]:
    return [
        {
            "category_id": number,
            "track_id": number,
            "bbox": [round(value, 2) for value in box],
            "area": round(box[2] * box[3], 2),
        }
        for number, box in enumerate(np.asarray(boxes).tolist(), start=1)
    ]


def _points(found: Any) -> list[dict[str, Any]]:
    """Return all points of a frame as one annotation."""
    if isinstance(found, FollowedPoints):
        positions = found.points[:, found.t].tolist()
        seen = (2 - found.occluded[:, found.t].int()).tolist()
    else:
        positions = found[:, :2].tolist()
        seen = [2 if x == x else 0 for x, _ in positions]  # NaN: lost
    flat = [[round(x, 2), round(y, 2), v] if v else [0, 0, 0] for (x, y), v in zip(positions, seen, strict=True)]
    known = np.array([point[:2] for point in flat if point[2]]).reshape(-1, 2)
    low, high = (known.min(0), known.max(0)) if len(known) else (np.zeros(2), np.zeros(2))
    keypoints = [value for point in flat for value in point]
    box = [*low.tolist(), *(high - low).tolist()]
    area = float(np.prod(high - low))
    return [{"category_id": 1, "keypoints": keypoints, "num_keypoints": len(known), "bbox": box, "area": area}]
