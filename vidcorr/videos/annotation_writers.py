"""Masks in the formats of annotation tools: COCO, LabelMe and YOLO."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .drawings import Bitmap, mask_of_polygons
from .files import write_atomically
from .masks import object_ids


def runs_of(pixels: Bitmap) -> list[int]:
    """Return the lengths of the runs of zeros, ones, zeros, … in pixels `(H, W)`, column by column.

    Example:
        >>> runs_of(np.eye(3, dtype=np.uint8))
        [0, 1, 3, 1, 3, 1]
        >>> runs_of(np.array([[0, 0, 7], [0, 7, 7]]))
        [3, 3]
    """
    flat = pixels.T.ravel() > 0
    edges = np.flatnonzero(np.diff(flat, prepend=False))
    runs: list[int] = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return runs


class MaskWriter:
    """Base of the writers of a video's masks, frame by frame, in the formats besides PNG.

    Args:
        folder: folder of the output.
        names: id → name of each object, at least one; an object with an empty name is named by its id.
    """

    files: str
    """File or folder that is written."""

    def __init__(self, folder: Path, names: Mapping[int, str]) -> None:
        self.place = folder / self.files  # the file or folder to write
        self.names = {number: names[number] or str(number) for number in sorted(names)}  # without a name, the id

    def add(self, image: str, frame: int, ids: Bitmap) -> None:
        """Write the mask of a frame.

        Args:
            image: file name of the frame's image.
            frame: index of the frame in the video.
            ids: `(H, W)`, 0 is background.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Write the files of the whole video, if the format has some."""


class CocoWriter(MaskWriter):
    """One COCO JSON: an image a frame, an annotation an object in a frame, whose category is its id and name."""

    files = "coco.json"

    def __init__(self, folder: Path, names: Mapping[int, str]) -> None:
        super().__init__(folder, names)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, image: str, frame: int, ids: Bitmap) -> None:
        """Add the objects of a frame to the content of the file, which `close` writes."""
        import cv2

        height, width = ids.shape
        image_id = len(self._images) + 1  # COCO's ids begin with 1
        self._images.append({"id": image_id, "file_name": image, "height": height, "width": width})
        for object_id in object_ids(ids):
            pixels = (ids == object_id).astype(np.uint8)
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image_id,
                    "category_id": object_id,
                    "iscrowd": 0,
                    "area": int(pixels.sum()),
                    "bbox": list(cv2.boundingRect(pixels)),
                    "segmentation": {"size": [height, width], "counts": runs_of(pixels)},
                }
            )

    def close(self) -> None:
        """Write the file."""
        categories = [{"id": number, "name": name} for number, name in self.names.items()]
        content = {"images": self._images, "annotations": self._annotations, "categories": categories}
        write_atomically(self.place, json.dumps(content) + "\n")


class LabelMeWriter(MaskWriter):
    """A JSON per frame with a shape per object, as LabelMe opens it beside the frame's image.

    A shape is a polygon if the polygon draws exactly the object's pixels. Otherwise (parts, holes, thin places) it is a
    bitmap.
    """

    files = "labelme"

    def add(self, image: str, frame: int, ids: Bitmap) -> None:
        """Write the JSON file of a frame, with a shape per object."""
        shapes: list[dict[str, Any]] = []
        for number in object_ids(ids):
            shape: dict[str, Any] = {"label": self.names[number], "group_id": None, "flags": {}}
            shapes.append(shape | _labelme_shape((ids == number).astype(np.uint8)))
        height, width = ids.shape
        content: dict[str, Any] = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": image}
        # without `imageData`, the pixels in the JSON, LabelMe reads the file of `imagePath`
        content |= {"imageData": None, "imageHeight": height, "imageWidth": width}
        write_atomically(self.place / f"{Path(image).stem}.json", json.dumps(content) + "\n")


def _labelme_shape(pixels: Bitmap) -> dict[str, Any]:
    """Return LabelMe's fields of an object's shape: a polygon, or a bitmap.

    A polygon is returned only if it gives exactly the pixels `(H, W)` of the object. The points of a bitmap are its
    upper left and its lower right pixel, x and y.
    """
    import cv2

    corners = outline(pixels)
    if np.array_equal(mask_of_polygons([corners], pixels.shape), pixels):
        return {"shape_type": "polygon", "points": corners.tolist()}
    left, top, width, height = cv2.boundingRect(pixels)
    _, png = cv2.imencode(".png", pixels[top : top + height, left : left + width] * 255)
    points = [[left, top], [left + width - 1, top + height - 1]]
    return {"shape_type": "mask", "points": points, "mask": base64.b64encode(png.tobytes()).decode()}


class YoloWriter(MaskWriter):
    """A text per frame with a line per object: the id minus 1 as class, then x and y of corners in fractions."""

    files = "yolo"

    def add(self, image: str, frame: int, ids: Bitmap) -> None:
        """Write the text file of a frame: a line per object, with its class (id − 1) and outline.

        The outline's x and y are fractions of the picture's width and height.
        """
        height, width = ids.shape
        lines: list[str] = []
        for number in object_ids(ids):
            places = (outline((ids == number).astype(np.uint8)) / (width, height)).ravel()
            lines.append(" ".join([str(number - 1), *(f"{place:.6f}" for place in places)]) + "\n")
        write_atomically(self.place / f"{Path(image).stem}.txt", "".join(lines))

    def close(self) -> None:
        """Write the names of the classes, as LabelImg and CVAT read them: a line each, from class 0 on."""
        names = [self.names.get(number, str(number)) for number in range(1, max(self.names) + 1)]
        write_atomically(self.place / "classes.txt", "\n".join(names) + "\n")


WRITERS: dict[str, type[MaskWriter]] = {"coco": CocoWriter, "labelme": LabelMeWriter, "yolo": YoloWriter}


def _bridge(whole: NDArray[Any], part: NDArray[Any]) -> tuple[float, int, int]:
    """Return the shortest bridge between an outline and a part, both corners `(n, 2)`.

    Returns:
        The length, and the indices of the bridge's corner in the outline and in the part.

    Example:
        >>> outline_of_one, other = np.array([[0, 0], [4, 0], [4, 4]]), np.array([[9, 5], [7, 4]])
        >>> _bridge(outline_of_one, other)  # from (4, 4) to (7, 4)
        (3.0, 2, 1)
    """
    distances = np.linalg.norm(whole[:, None] - part[None], axis=-1)
    of_whole, of_part = np.unravel_index(distances.argmin(), distances.shape)
    return float(distances[of_whole, of_part]), int(of_whole), int(of_part)


def outline(pixels: Bitmap) -> NDArray[np.float64]:
    """Return a single outline of an object, x and y of corners `(n, 2)`; (0, 0) is the picture's upper left corner.

    The outline runs through the centres of the pixels at the border. The tools read each polygon as an object, so an
    object of several parts or with holes must become one polygon. A bridge without width therefore joins each part and
    hole to the outline: the outline runs over the bridge, around the part, and back over the bridge. A part of one or
    two pixels repeats a corner, since a polygon needs three.

    Example:
        >>> outline(np.ones((2, 3), np.uint8)).tolist()
        [[0.5, 0.5], [0.5, 1.5], [2.5, 1.5], [2.5, 0.5]]
    """
    import cv2

    contours, _ = cv2.findContours(pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)  # of parts and of holes
    # the outlines that are not joined yet, corners (n, 2); `resize` repeats corners up to three
    rest = [np.resize(contour, (max(3, len(contour)), 2)) for contour in contours]
    whole = rest.pop(0)  # grows by the other parts and holes, the nearest first
    bridges = [_bridge(whole, part) for part in rest]  # length, corner of the whole, corner of the part
    while rest:
        nearest = int(np.argmin([length for length, _, _ in bridges]))
        _, start, begin = bridges.pop(nearest)  # the bridge leads from corner `start` of the whole to `begin` of a part
        around = np.roll(rest.pop(nearest), -begin, axis=0)  # the part's corners, from `begin` on
        # over the bridge, around the part and back to the corner where it began
        added = np.concatenate([around, around[:1], whole[start : start + 1]])
        whole = np.insert(whole, start + 1, added, axis=0)
        # a part keeps its bridge, unless one of the added corners is nearer (`min` compares the lengths)
        for place, part in enumerate(rest):
            length, of_whole, of_part = bridges[place]
            kept = (length, of_whole + len(added) * (of_whole > start), of_part)  # indices behind the added ones shift
            length, of_added, of_part = _bridge(added, part)
            bridges[place] = min(kept, (length, start + 1 + of_added, of_part))
    return whole.astype(np.float64) + 0.5
