"""Masks as annotation tools save them: an indexed PNG, one in colours, LabelMe's and COCO's JSON, CVAT's zip."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vidcorr.videos.masks import davis_palette, write_ids

SIZE = 24, 40
"""Height and width, pixels."""
PLACES = {"a": (2, 4, 12, 14), "b": (8, 20, 20, 34), "c": (16, 2, 22, 12)}
"""Object → its top, left, bottom and right."""


def ids_of(**objects: int) -> np.ndarray:
    """Return a mask with the objects as rectangles: name of a place → id."""
    ids = np.zeros(SIZE, np.uint8)
    for place, number in objects.items():
        top, left, bottom, right = PLACES[place]
        ids[top:bottom, left:right] = number
    return ids


def corners(place: str) -> list[list[float]]:
    """Return the corners of a place, x and y from the corner of the first pixel."""
    top, left, bottom, right = PLACES[place]
    return [[left + 0.5, top + 0.5], [right - 0.5, top + 0.5], [right - 0.5, bottom - 0.5], [left + 0.5, bottom - 0.5]]


def with_palette(ids: np.ndarray, palette: Any = None) -> Image.Image:
    """Return ids as an indexed picture, in DAVIS's colours where none are given."""
    image = Image.fromarray(ids)
    image.putpalette(np.ravel(davis_palette() if palette is None else palette).tolist())
    return image


def indexed(path: Path, objects: dict[str, int], palette: Any = None) -> Path:
    """Write ids as an indexed PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_ids(path, ids_of(**objects), davis_palette() if palette is None else np.array(palette, np.uint8))
    return path


def coloured(path: Path, objects: dict[str, int]) -> Path:
    """Write a PNG in RGB: place → 0xRRGGBB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.zeros((*SIZE, 3), np.uint8)
    for place, colour in objects.items():
        image[ids_of(**{place: 1}) > 0] = list(colour.to_bytes(3, "big"))
    Image.fromarray(image).save(path)
    return path


def labelme(path: Path, objects: list[tuple[str, Any]], **changes: Any) -> Path:
    """Write LabelMe's JSON: places with a label, or a label and a group."""
    shapes = []
    for place, label in objects:
        name, group = label if isinstance(label, tuple) else (label, None)
        shapes.append({"label": name, "group_id": group, "points": corners(place), "shape_type": "polygon"})
    content = {"shapes": shapes, "imagePath": None, "imageHeight": SIZE[0], "imageWidth": SIZE[1]} | changes
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def coco(path: Path, objects: list[tuple[str, str, dict[str, Any]]], image: str, **changes: Any) -> Path:
    """Write COCO's JSON of one image: places with a category and further fields."""
    names = sorted({category for _, category, _ in objects})
    annotations = []
    for place, category, fields in objects:
        polygon = [np.ravel(corners(place)).tolist()]
        common = {"image_id": 1, "category_id": names.index(category), "segmentation": polygon}
        annotations.append(common | {"id": len(annotations)} | fields)
    images = [{"id": 1, "file_name": image, "height": SIZE[0], "width": SIZE[1]} | changes]
    categories = [{"id": number, "name": name} for number, name in enumerate(names)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def cvat_zip(path: Path, frame: int, objects: dict[str, int]) -> Path:
    """Write CVAT's "Segmentation mask 1.1" of a frame: place → 0xRRGGBB."""
    picture = coloured(path.with_suffix(".png"), objects)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(picture, f"SegmentationObject/frame_{frame:06d}.png")
    picture.unlink()
    return path
