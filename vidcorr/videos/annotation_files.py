"""Masks that people draw in annotation tools: PNGs, LabelMe's and COCO's JSON in, COCO, LabelMe and YOLO out."""

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .files import WRONG_JSON, DataError, errors_at, read_text, write_atomically
from .folders import list_data, natural_order
from .masks import VOID, colours_in, ids_of_colours, object_ids
from .prompts import MaskPrompt

Bitmap = NDArray[np.uint8]
"""Pixels `(H, W)`, 1 of an object."""


class Drawn(NamedTuple):
    """Objects that a JSON has in a frame.

    Attributes:
        source: the file.
        stem: name of the frame's image, without its suffix.
        size: (height, width), pixels.
        objects: names and pixels, in the order of the file; later ones lie above.
    """

    source: Path
    stem: str
    size: tuple[int, int]
    objects: list[tuple[str, Bitmap]]


class _MaskFile(NamedTuple):
    """A file of masks: its path, the frame that its user or its name states, and its name in messages."""

    path: Path
    frame: int | None
    source: str

    @property
    def is_json(self) -> bool:
        return self.path.suffix.lower() == ".json"


def read_masks(words: Sequence[str], stems: Sequence[str] | None = None) -> list[MaskPrompt]:
    """Read the masks of a command: PNGs, JSON of LabelMe or COCO, folders and zips, each `PATH` or `PATH@FRAME`.

    A zip is read as a folder: of CVAT's "Segmentation mask 1.1" the PNGs of `SegmentationObject`, else all its PNGs.

    Without `@FRAME` a file is of the frame whose image has its name; a file of a folder, or an image that a JSON names,
    also of the frame whose index is its name; any other of the first frame that is read. Colours of all PNGs, and names
    of all JSON files, get their ids together; a number is its own id.

    Args:
        words: the texts.
        stems: names of the frames of a folder, without suffixes.

    Raises:
        DataError: for a file that is missing or no mask, or a name in a folder that names no frame.
    """
    with TemporaryDirectory() as scratch:
        files: list[_MaskFile] = []
        for number, word in enumerate(words):
            files += _files_of_word(word, stems, Path(scratch, str(number)))
        return _prompts_of_files(files, stems)


def _files_of_word(word: str, stems: Sequence[str] | None, scratch: Path) -> list[_MaskFile]:
    """Return the files that a word of `read_masks` names; a zip is unpacked in a scratch folder."""
    path, frame = split_frame(word)
    suffix = path.suffix.lower()
    if suffix == ".zip":
        unpacked = _unpack(path, scratch / path.name)
        return [_MaskFile(file, frame_of(file, file.stem, stems), f"{path}/{file.name}") for file in unpacked]
    if path.is_dir():
        return _files_of_folder(path, stems)
    if suffix not in (".png", ".json") and path.is_file() and not _is_png(path):
        raise DataError(f"{path}: no mask: expected a PNG of ids, JSON of LabelMe or COCO, or a zip of PNGs")
    if frame is None and stems and path.stem in stems:
        frame = stems.index(path.stem)
    return [_MaskFile(path, frame, str(path))]


def _is_png(path: Path) -> bool:
    """Return whether a file begins as a PNG, whatever its name; no more is read, for it may be a film."""
    with path.open("rb") as file:
        return file.read(4) == b"\x89PNG"


def _files_of_folder(folder: Path, stems: Sequence[str] | None) -> list[_MaskFile]:
    """Return the PNGs of a folder, then its JSON files, which name their images themselves."""
    pictures: list[_MaskFile] = []
    json_files: list[_MaskFile] = []
    for file in list_data(folder):
        suffix = file.suffix.lower()
        if suffix == ".png":
            pictures.append(_MaskFile(file, frame_of(file, file.stem, stems), str(file)))
        elif suffix == ".json":
            json_files.append(_MaskFile(file, None, str(file)))
    if not pictures and not json_files:
        raise DataError(f"{folder}: holds no PNG and no JSON")
    return pictures + json_files


def _prompts_of_files(files: Sequence[_MaskFile], stems: Sequence[str] | None) -> list[MaskPrompt]:
    """Read files of masks, whose colours and names get their ids together."""
    pictures = [file.path for file in files if not file.is_json]
    id_of_colour = ids_of_colours(map(colours_in, pictures), ", ".join(map(str, pictures)))
    id_of_name: dict[str, int] = {}
    prompts: list[MaskPrompt] = []
    for file in files:
        if not file.is_json:
            prompt = MaskPrompt.of(file.path, frame=file.frame, colours=id_of_colour)
            prompts.append(replace(prompt, source=file.source))
            continue
        images = read_json(file.path)
        for drawn in images:
            is_stated = file.frame is not None and len(images) == 1
            frame = file.frame if is_stated else frame_of(file.path, drawn.stem, stems)
            prompts.append(MaskPrompt.of(_draw_ids(drawn, id_of_name), frame=frame, source=file.source))
    return prompts


def _unpack(path: Path, folder: Path) -> list[Path]:
    """Unpack the masks of a zip into a folder, and return their files in natural order.

    Raises:
        DataError: for a damaged zip, or one without PNGs.
    """
    with errors_at(path, zipfile.BadZipFile, RuntimeError), zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith(".png") and "__MACOSX" not in name]
        of_objects = [name for name in names if "SegmentationObject" in Path(name).parts]
        files = [Path(archive.extract(name, folder)) for name in of_objects or names]
    if not files:
        raise DataError(f"{path}: holds no PNG")
    return sorted(files, key=lambda file: natural_order(str(file)))


def with_left(prompts: Sequence[MaskPrompt], words: Sequence[str], start: int) -> list[MaskPrompt]:
    """Return masks that name the objects too that have left: texts `ID@FRAME`.

    Args:
        prompts: the masks; one without a frame is of frame `start`.
        words: the texts.
        start: index of the first frame that is read.

    Raises:
        DataError: for another text, or a frame without a mask.
    """
    named = list(prompts)
    places: dict[str, int] = {}
    for place, prompt in enumerate(prompts):
        frame = start if prompt.frame is None else prompt.frame
        places.setdefault(str(frame), place)
    for word in words:
        number, _, frame_word = word.partition("@")
        if frame_word not in places or not number.isdecimal():
            raise DataError(f"--left {word}: expected ID@FRAME with a frame of --mask")
        prompt = named[places[frame_word]]
        objects = sorted({*prompt.objects, int(number)})
        named[places[frame_word]] = replace(prompt, objects=tuple(objects))
    return named


def split_frame(word: str) -> tuple[Path, int | None]:
    """Return path and frame of a text `PATH@FRAME`; a file of the whole name, or no number, has no frame."""
    path, _, frame = word.rpartition("@")
    if not path or not frame.isdecimal() or Path(word).exists():
        return Path(word), None
    return Path(path), int(frame)


def frame_of(file: Path, stem: str, stems: Sequence[str] | None) -> int:
    """Return the index of the frame that a name is of: its image's, or the number at the end of the name.

    Raises:
        DataError: if it names none.
    """
    if stems is not None and stem in stems:
        return stems.index(stem)
    digits = stem[len(stem.rstrip("0123456789")) :]
    if stems is not None or not digits:
        raise DataError(f"{file}: {stem} names no frame of the video; give its index, {file.name}@FRAME")
    return int(digits)


def read_json(path: Path) -> list[Drawn]:
    """Read the objects of LabelMe's or COCO's JSON, a value per image with an annotation.

    Raises:
        DataError: for other JSON, or shapes without an area.
    """
    with errors_at(path, *WRONG_JSON):
        content = json.loads(read_text(path))
        if "shapes" in content:
            return [_read_labelme(path, content)]
        if "annotations" in content and "images" in content:
            return _read_coco(path, content)
    raise DataError(f"{path}: is neither LabelMe's JSON (shapes) nor COCO's (images, annotations)")


def _read_labelme(path: Path, content: Mapping[str, Any]) -> Drawn:
    """Return the polygons and rectangles of LabelMe's file; a name and a group are an object."""
    size = (int(content["imageHeight"]), int(content["imageWidth"]))
    objects: list[tuple[str, Bitmap]] = []
    for shape in content["shapes"]:
        corners = np.array(shape["points"], np.float64)
        kind = shape.get("shape_type") or "polygon"
        if kind == "rectangle":
            (left, top), (right, bottom) = corners.min(0), corners.max(0)
            corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        elif kind != "polygon":
            raise DataError(f"{path}: the shape {shape['label']} is a {kind}: draw polygons or rectangles")
        group = shape.get("group_id")
        name = shape["label"] if group is None else f"{shape['label']} {group}"
        objects.append((name, mask_of_polygons([corners], size)))
    return Drawn(path, Path(content.get("imagePath") or path.name).stem, size, objects)


def _read_coco(path: Path, content: Mapping[str, Any]) -> list[Drawn]:
    """Return the segments of COCO's file, by image; `track_id` or `instance_id` names an object, else its category."""
    if not content["annotations"]:
        raise DataError(f"{path}: has no annotation: draw an object, or give its mask as a PNG")
    images = _images_of_coco(path, content["images"])
    for annotation in content["annotations"]:
        drawn = images[annotation["image_id"]]
        facts = annotation | annotation.get("attributes", {})
        name = str(facts.get("track_id", facts.get("instance_id", facts["category_id"])))
        if name in dict(drawn.objects):
            raise DataError(f"{path}: {drawn.stem} has object {name} twice: objects of a category need a track_id")
        drawn.objects.append((name, _pixels_of_coco(annotation["segmentation"], drawn.size)))
    return [drawn for drawn in images.values() if drawn.objects]


def _images_of_coco(path: Path, images: Iterable[Mapping[str, Any]]) -> dict[Any, Drawn]:
    """Return the images of COCO's file, id → image, without objects yet."""
    drawn: dict[Any, Drawn] = {}
    for image in images:
        if "height" not in image or "width" not in image:
            raise DataError(f"{path}: the image {image['file_name']} has no height and width: add them, in pixels")
        size = (int(image["height"]), int(image["width"]))
        drawn[image["id"]] = Drawn(path, Path(image["file_name"]).stem, size, [])
    return drawn


def _pixels_of_coco(segment: Any, size: tuple[int, int]) -> Bitmap:
    """Return the pixels of a segment of COCO, a list of polygons or runs."""
    if isinstance(segment, list):
        polygons = [np.reshape(np.array(polygon, np.float64), (-1, 2)) for polygon in segment]
        return mask_of_polygons(polygons, size)
    return mask_of_runs(segment["counts"], segment["size"])


def _draw_ids(drawn: Drawn, ids: dict[str, int]) -> Bitmap:
    """Return ids `(H, W)`, and add new names to the ids."""
    mask = np.zeros(drawn.size, np.uint8)
    for name, pixels in drawn.objects:
        if name not in ids:
            free = next(number for number in range(1, VOID + 1) if number not in ids.values())
            ids[name] = int(name) if name.isdecimal() and 0 < int(name) < VOID else free
        if pixels.shape != mask.shape or not pixels.any():
            raise DataError(f"{drawn.source}: object {name} has no pixels, or a mask of another size than its image")
        mask[pixels > 0] = ids[name]
    return mask


def mask_of_polygons(polygons: Iterable[NDArray[np.float64]], size: tuple[int, int]) -> Bitmap:
    """Draw polygons, x and y of corners `(n, 2)` from the corner of the first pixel; overlaps of two are holes."""
    import cv2

    mask = np.zeros(size, np.uint8)
    whole = [np.round((corners - 0.5) * 16).astype(np.int32) for corners in polygons]
    if whole:
        cv2.fillPoly(mask, whole, 1, shift=4)
    return mask


def mask_of_runs(counts: Any, size: Sequence[int]) -> Bitmap:
    """Return the pixels of COCO's runs down the columns, given as numbers or as their text."""
    runs = runs_of_text(counts) if isinstance(counts, str) else list(counts)
    values = np.arange(len(runs)) % 2
    flat: Bitmap = np.repeat(values.astype(np.uint8), runs)
    return flat.reshape(size[1], size[0]).T


def runs_of_text(text: str) -> list[int]:
    """Return the lengths of runs from COCO's text.

    A length is written as its difference from the length two runs before, from the fourth run on, in groups of 5 bits
    from the lowest: a letter is 48 plus the group, plus 32 if another follows; the last group has the sign.
    """
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        group = ord(letter) - 48
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs


def runs_of(pixels: Bitmap) -> list[int]:
    """Return the lengths of the runs of zeros, ones, zeros, … of pixels `(H, W)` down the columns.

    Example:
        >>> mask = np.eye(3, dtype=np.uint8)
        >>> runs_of(mask), bool((mask_of_runs(runs_of(mask), (3, 3)) == mask).all())
        ([0, 1, 3, 1, 3, 1], True)
    """
    flat = pixels.T.ravel() > 0
    edges = np.flatnonzero(np.diff(flat, prepend=False))
    runs: list[int] = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return runs


class MaskWriter:
    """Writes masks of a video, frame by frame, in a format besides PNG; the base of each.

    Args:
        folder: folder of the output.
    """

    files: str
    """File or folder that is written."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / self.files

    def add(self, image: str, frame: int, ids: Bitmap) -> None:
        """Write the mask of a frame.

        Args:
            image: file name of the frame's image.
            frame: index of the frame in the video.
            ids: `(H, W)`.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Write what belongs to the whole video."""


class CocoWriter(MaskWriter):
    """One COCO JSON: an image a frame, an annotation an object in a frame, with its id as category and `track_id`."""

    files = "coco.json"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, image: str, frame: int, ids: Bitmap) -> None:
        """Note the objects of a frame."""
        import cv2

        height, width = ids.shape
        image_id = len(self._images) + 1
        self._images.append({"id": image_id, "file_name": image, "height": height, "width": width})
        for object_id in object_ids(ids):
            pixels = (ids == object_id).astype(np.uint8)
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image_id,
                    "category_id": object_id,
                    "track_id": object_id,
                    "iscrowd": 0,
                    "area": int(pixels.sum()),
                    "bbox": list(cv2.boundingRect(pixels)),
                    "segmentation": {"size": [height, width], "counts": runs_of(pixels)},
                }
            )

    def close(self) -> None:
        """Write the file."""
        names = sorted({annotation["category_id"] for annotation in self._annotations})
        categories = [{"id": name, "name": str(name)} for name in names]
        content = {"images": self._images, "annotations": self._annotations, "categories": categories}
        write_atomically(self.place, json.dumps(content) + "\n")


class LabelMeWriter(MaskWriter):
    """A JSON a frame with polygons, as LabelMe opens it beside the frame's image; holes are not kept."""

    files = "labelme"

    def add(self, image: str, frame: int, ids: Bitmap) -> None:
        """Write the file of a frame."""
        shapes: list[dict[str, Any]] = []
        for name in object_ids(ids):
            for corners in outlines((ids == name).astype(np.uint8)):
                shape = {"label": str(name), "points": corners.tolist(), "group_id": None}
                shapes.append(shape | {"shape_type": "polygon", "flags": {}})
        height, width = ids.shape
        content: dict[str, Any] = {"version": "5.0.0", "flags": {}, "shapes": shapes, "imagePath": image}
        content |= {"imageData": None, "imageHeight": height, "imageWidth": width}
        self.place.mkdir(exist_ok=True)
        write_atomically(self.place / f"{Path(image).stem}.json", json.dumps(content) + "\n")


class YoloWriter(MaskWriter):
    """A text a frame with a line per outline: the id minus 1 as class, then x and y of its corners in fractions."""

    files = "yolo"

    def add(self, image: str, frame: int, ids: Bitmap) -> None:
        """Write the text of a frame."""
        height, width = ids.shape
        lines: list[str] = []
        for name in object_ids(ids):
            for corners in outlines((ids == name).astype(np.uint8)):
                places = (corners / (width, height)).ravel()
                lines.append(" ".join([str(name - 1), *(f"{place:.6f}" for place in places)]) + "\n")
        self.place.mkdir(exist_ok=True)
        write_atomically(self.place / f"{Path(image).stem}.txt", "".join(lines))


WRITERS: dict[str, type[MaskWriter]] = {"coco": CocoWriter, "labelme": LabelMeWriter, "yolo": YoloWriter}


def outlines(pixels: Bitmap) -> list[NDArray[np.float64]]:
    """Return the outer outlines of an object, x and y of corners `(n, 2)` from the corner of the first pixel."""
    import cv2

    found, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [contour[:, 0].astype(np.float64) + 0.5 for contour in found if len(contour) > 2]
