"""Masks that people draw in annotation tools, read: PNGs, LabelMe's and COCO's JSON."""

import base64
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from ..results.checked import mistakes_of
from .files import DataError, errors_at, read_text
from .folders import list_data, natural_order
from .frame_names import FrameNames
from .images import open_image, pixels
from .masks import free_number, object_ids
from .prompts import MaskPrompt

Bitmap = NDArray[np.uint8]
"""Pixels `(H, W)`, 1 of an object."""
Side = Annotated[int, Field(gt=0, le=2**15)]


def _require_corners(numbers: list[float]) -> list[float]:
    if len(numbers) % 2 or len(numbers) < 6:
        raise ValueError("a polygon needs x and y of three corners")
    return numbers


class _Read(BaseModel):
    """A part of a tool's file: the fields that are read, numbers for texts as people's scripts write them."""

    model_config = ConfigDict(coerce_numbers_to_str=True, allow_inf_nan=False, extra="ignore")


class _Shape(_Read):
    label: Annotated[str, Field(min_length=1)]
    points: Annotated[list[tuple[float, float]], Field(min_length=1)]
    group_id: str | None = None
    shape_type: str | None = None
    mask: str | None = None
    flags: dict[str, Any] | None = None

    @property
    def is_instance(self) -> bool:
        """It is an object of its own: it has neither a group nor the flag `part` of our page."""
        return self.group_id is None and not (self.flags or {}).get("part")


class _LabelMe(_Read):
    shapes: list[_Shape]
    imageHeight: Side | None = None
    imageWidth: Side | None = None
    imagePath: str | None = None


class _Segment(_Read):
    """Polygons, or runs down the columns of an image of `size`."""

    polygons: list[Annotated[list[float], AfterValidator(_require_corners)]] = []
    counts: Annotated[list[Annotated[int, Field(ge=0)]], BeforeValidator(lambda counts: runs_of_text(counts))] = []
    size: tuple[Side, Side] = (1, 1)

    @model_validator(mode="before")
    @classmethod
    def _of_a_list(cls, given: Any) -> Any:
        """Take a list of polygons, and of numbers, which is one polygon."""
        if not isinstance(given, list):
            return given
        return {"polygons": [given] if given and isinstance(given[0], int | float) else given}

    @model_validator(mode="after")
    def _fills_the_image(self) -> Self:
        if not self.polygons and not self.counts:
            raise ValueError("is empty: a box alone is no mask; draw the object, or give its --box")
        if not self.polygons and sum(self.counts) != self.size[0] * self.size[1]:
            raise ValueError(f"runs of {sum(self.counts)} pixels for an image of {pixels(self.size)}")
        return self


class _Category(_Read):
    id: str
    name: str = ""


class _Image(_Read):
    id: str
    height: Side | None = None
    width: Side | None = None
    file_name: str
    frame_index: int | None = None
    frame_id: int | None = None


class _Annotation(_Read, extra="allow"):
    image_id: str
    category_id: str
    attributes: dict[str, Any] | None = None
    segmentation: _Segment

    @property
    def name(self) -> str | None:
        """Its track or instance."""
        facts = {**(self.model_extra or {}), **(self.attributes or {})}
        found = facts.get("track_id", facts.get("instance_id"))
        return None if found is None else str(found)


class _Coco(_Read):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category] = []


class Drawn(NamedTuple):
    """Objects that a JSON has in a frame.

    Attributes:
        stated: what states the frame → name or index.
        size: (height, width), pixels.
        objects: names and pixels, in the order of the file; later ones lie above.
        notes: what the user should know.
    """

    stated: dict[str, str | int | None]
    size: tuple[int, int]
    objects: list[tuple[str, Bitmap]]
    notes: tuple[str, ...] = ()


class _File(NamedTuple):
    """A file of masks.

    Attributes:
        path: the file.
        source: its name in messages.
        frame: that of `@FRAME`.
        is_alone: it was given alone, not in a folder or a zip.
        notes: what the user should know.
    """

    path: Path
    source: str
    frame: int | None = None
    is_alone: bool = False
    notes: tuple[str, ...] = ()


def read_masks(
    words: Sequence[str],
    stems: Sequence[str] | None = None,
    film: str = "",
    size: tuple[int, int] | None = None,
) -> list[MaskPrompt]:
    """Read the masks of a command: PNGs, JSON of LabelMe or COCO, folders and zips, each `PATH` or `PATH@FRAME`.

    Of a zip the PNGs of `SegmentationObject` are read (CVAT's "Segmentation mask 1.1"), else its JSON, else its PNGs.
    `FrameNames` says which frame a file is of, by `@FRAME` or its name, for JSON also its image's; a PNG that is given
    alone and names none is of the first frame that is read. `Objects` says which ids names and colours have.

    Args:
        words: the texts.
        stems: names of the frames of a folder, without suffixes.
        film: name of the film, without suffix.
        size: (height, width) of an image whose JSON states none, pixels.

    Raises:
        DataError: for a file that is missing or no mask, or that names no frame or two.
    """
    with TemporaryDirectory() as scratch:
        files: list[_File] = []
        for number, word in enumerate(words):
            files += _files_of_word(word, Path(scratch, str(number)))
        frames = FrameNames(stems, film, [file.path.stem for file in files])
        prompts: list[MaskPrompt] = []
        for file in files:
            if file.path.suffix.lower() == ".json":
                for drawn in _images_of(file, size):
                    prompts.append(_prompt_of_drawn(file, drawn, _frame_of(file, drawn.stated, frames)))
            else:
                frame = _frame_of(file, {"name": file.path.name}, frames)
                prompts.append(replace(MaskPrompt.of(file.path), source=file.source, frame=frame, notes=file.notes))
    return prompts


def read_drawn(path: str | Path) -> MaskPrompt:
    """Return the mask of LabelMe's or COCO's JSON of one image.

    Raises:
        DataError: for other JSON, or one of several images.
    """
    file = _File(Path(path), str(path))
    found = _images_of(file)
    if len(found) > 1:
        raise DataError(f"{path}: has {len(found)} images: give it to `vidcorr predict --mask`")
    return _prompt_of_drawn(file, found[0])


def _prompt_of_drawn(file: _File, drawn: Drawn, frame: int | None = None) -> MaskPrompt:
    """Return the prompt of an image of a JSON; its ids stand for its names as they appear."""
    mask = np.zeros(drawn.size, np.uint8)
    names: dict[str, int] = {}
    for name, area in drawn.objects:
        if area.shape != mask.shape:
            raise DataError(
                f"{file.source}: the mask of {name} is of {pixels(area.shape)}, its image {pixels(mask.shape)}"
            )
        names[name] = free_number(names.values(), file.source)
        mask[area > 0] = names[name]
    shown = object_ids(mask)
    for name, number in names.items():
        if number not in shown:
            raise DataError(f"{file.source}: {name} has no pixel in the image that nothing is drawn above")
    return MaskPrompt(
        source=file.source, objects=shown, labels=mask, frame=frame, names=names, has_ids=False, notes=drawn.notes
    )


def _frame_of(file: _File, stated: dict[str, str | int | None], frames: FrameNames) -> int | None:
    """Return the frame of a file: that of `@FRAME`, else what is stated; None: the first that is read."""
    frame = frames.frame_of(file.source, stated) if file.frame is None else file.frame
    if frame is None and not file.is_alone:
        named = " and ".join(f"{what} {name}" for what, name in stated.items() if name is not None)
        raise DataError(f"{file.source}: its {named} names no frame of the video; give {file.path.name}@FRAME")
    return frame


def _files_of_word(word: str, scratch: Path) -> list[_File]:
    """Return the files that a word of `read_masks` names; a zip is unpacked in a scratch folder."""
    path, frame = split_frame(word)
    suffix = path.suffix.lower()
    if suffix == ".zip":
        files = [_File(file, f"{path}/{file.name}") for file in _unpack(path, scratch / path.name)]
        if len(files) > 1 and "SegmentationObject" in files[0].path.parts:
            note = f"{path}: CVAT numbers colours in each image by the order of drawing: look whether a colour is the "
            files[0] = files[0]._replace(notes=(f"{note}same object in all; its COCO has tracks",))
    elif path.is_dir():
        found = [file for file in list_data(path) if file.suffix.lower() in (".png", ".json")]
        files = [_File(file, str(file)) for file in found]
        if not files:
            raise DataError(f"{path}: holds no PNG and no JSON")
    else:
        if suffix not in (".png", ".json") and path.is_file() and not _is_png(path):
            raise DataError(f"{path}: no mask: expected a PNG of ids, JSON of LabelMe or COCO, or a zip of these")
        return [_File(path, str(path), frame, suffix != ".json")]
    if frame is not None:
        if len(files) > 1:
            raise DataError(f"{word}: has {len(files)} files: @FRAME is for a file of one frame")
        files = [files[0]._replace(frame=frame)]
    return files


def _is_png(path: Path) -> bool:
    """Return whether a file begins as a PNG, whatever its name; no more is read, for it may be a film."""
    with path.open("rb") as file:
        return file.read(4) == b"\x89PNG"


def _unpack(path: Path, folder: Path) -> list[Path]:
    """Unpack the masks of a zip into a folder, and return their files in natural order.

    Raises:
        DataError: for a damaged zip, or one without PNGs and JSON.
    """
    with errors_at(path, zipfile.BadZipFile, RuntimeError), zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if "__MACOSX" not in name]
        pictures = [name for name in names if name.lower().endswith(".png")]
        of_objects = [name for name in pictures if "SegmentationObject" in Path(name).parts]
        texts = [name for name in names if name.lower().endswith(".json")]
        files = [Path(archive.extract(name, folder)) for name in of_objects or texts or pictures]
    if not files:
        raise DataError(f"{path}: holds no PNG and no JSON")
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
        named[places[frame_word]] = replace(prompt, left=(*prompt.left, int(number)))
    return named


def split_frame(word: str) -> tuple[Path, int | None]:
    """Return path and frame of a text `PATH@FRAME`; a file of the whole name, or no number, has no frame."""
    path, _, frame = word.rpartition("@")
    if not path or not frame.isdecimal() or Path(word).exists():
        return Path(word), None
    return Path(path), int(frame)


def _images_of(file: _File, size: tuple[int, int] | None = None) -> list[Drawn]:
    """Read the objects of LabelMe's or COCO's JSON, a value per image with an annotation.

    Args:
        file: the file.
        size: (height, width) of an image for which it states none.

    Raises:
        DataError: for other JSON, values of another kind, or shapes without an area.
    """
    try:
        content = TypeAdapter(Any).validate_json(read_text(file.path))
        content = content if isinstance(content, dict) else {}
        if "shapes" in content:
            return [_read_labelme(file, _LabelMe.model_validate(content), size)]
        if "annotations" in content and "images" in content:
            if not content["annotations"]:
                raise DataError(f"{file.source}: has no annotation: draw an object, or give its mask as a PNG")
            return _read_coco(file, _Coco.model_validate(content), size)
    except ValidationError as error:
        raise DataError(f"{file.source}: {mistakes_of(error)}") from error
    raise DataError(f"{file.source}: is neither LabelMe's JSON (shapes) nor COCO's (images, annotations)")


def _size_of(file: _File, height: int | None, width: int | None, size: tuple[int, int] | None) -> tuple[int, int]:
    """Return the stated (height, width) of an image, else `size`."""
    stated = (height, width) if height and width else size
    if stated is None:
        raise DataError(f"{file.source}: states no height and width of its image")
    return stated


def _read_labelme(file: _File, content: _LabelMe, frame_size: tuple[int, int] | None) -> Drawn:
    """Return LabelMe's shapes: a label and a group are an object, a shape without a group is one."""
    size = _size_of(file, content.imageHeight, content.imageWidth, frame_size)
    objects: dict[str, Bitmap] = {}
    times = Counter(shape.label for shape in content.shapes if shape.is_instance)
    numbers: Counter[str] = Counter()
    for shape in content.shapes:
        numbers[shape.label] += shape.is_instance
        counted = f"#{numbers[shape.label]}" if shape.is_instance and times[shape.label] > 1 else None
        name = " ".join(filter(None, [shape.label, shape.group_id or counted]))
        drawn = _pixels_of_labelme(file, shape, size)
        objects[name] = objects[name] | drawn if name in objects else drawn
    notes = [f"{file.source}: {label} is drawn {n} times without a group_id: they are {n} objects, in the file's "
             "order; parts of one, and objects of several frames, need a group_id each"
             for label, n in times.items() if n > 1]  # fmt: skip
    if not objects:
        notes.append(f"{file.source}: has no shape: all objects have left its frame")
    stated: dict[str, str | int | None] = {"name": file.path.name, "imagePath": content.imagePath}
    return Drawn(stated, size, list(objects.items()), tuple(notes))


def _pixels_of_labelme(file: _File, shape: _Shape, size: tuple[int, int]) -> Bitmap:
    """Return the pixels of a shape of LabelMe: a polygon, a rectangle by its corners, or a bitmap and its corner."""
    corners = np.array(shape.points)
    kind = shape.shape_type or "polygon"
    if kind == "mask":
        left, top = corners.min(0).astype(int).clip(0).tolist()
        mask = np.zeros(size, np.uint8)
        part = mask[top:, left:]
        with open_image(file.source, _bytes_of(file, shape)) as image:
            drawn = (np.array(image.convert("L")) > 0)[: part.shape[0], : part.shape[1]]
        part[: drawn.shape[0], : drawn.shape[1]] = drawn
        return mask
    if kind == "rectangle":
        (left, top), (right, bottom) = corners.min(0), corners.max(0)
        corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    elif kind not in ("polygon", "rotation"):  # X-AnyLabeling's turned rectangle has its four corners
        raise DataError(f"{file.source}: the shape {shape.label} is a {kind}: draw polygons, rectangles or masks")
    return mask_of_polygons([corners], size)


def _bytes_of(file: _File, shape: _Shape) -> bytes:
    """Return the PNG of a shape of LabelMe that is a bitmap."""
    try:
        return base64.b64decode(shape.mask or "", validate=True)
    except ValueError as error:
        raise DataError(f"{file.source}: the mask of {shape.label} is no base64 ({error})") from error


def _read_coco(file: _File, content: _Coco, size: tuple[int, int] | None) -> list[Drawn]:
    """Return the segments of COCO's file, by image: a category and its track or instance are an object."""
    categories = {category.id: category.name for category in content.categories}
    images: dict[str, Drawn] = {}
    for image in content.images:
        stated: dict[str, str | int | None] = {"name": file.path.name} if len(content.images) == 1 else {}
        stated |= {"file_name": image.file_name, "frame_index": image.frame_index, "frame_id": image.frame_id}
        images[image.id] = Drawn(stated, _size_of(file, image.height, image.width, size), [])
    for number, annotation in enumerate(content.annotations):
        drawn = images.get(annotation.image_id)
        if drawn is None:
            raise DataError(f"{file.source}: annotations.{number}.image_id: no image has {annotation.image_id}")
        category = categories.get(annotation.category_id) or annotation.category_id
        name = " ".join(filter(None, dict.fromkeys([category, annotation.name])))
        if name in dict(drawn.objects):
            place = drawn.stated["file_name"]
            raise DataError(f"{file.source}: {place} has object {name} twice: objects of a category need a track_id")
        drawn.objects.append((name, _pixels_of_coco(annotation.segmentation, drawn.size)))
    found = [drawn for drawn in images.values() if drawn.objects]
    if file.frame is not None and len(found) > 1:
        raise DataError(f"{file.source}@{file.frame}: has {len(found)} images: @FRAME is for a file of one frame")
    return found


def _pixels_of_coco(segment: _Segment, size: tuple[int, int]) -> Bitmap:
    """Return the pixels of a segment of COCO, polygons or runs."""
    if segment.counts:
        return mask_of_runs(segment.counts, segment.size)
    return mask_of_polygons([np.reshape(polygon, (-1, 2)) for polygon in segment.polygons], size)


def mask_of_polygons(polygons: Iterable[NDArray[np.float64]], size: tuple[int, int]) -> Bitmap:
    """Draw polygons, x and y of corners `(n, 2)` from the corner of the first pixel; their union."""
    import cv2

    mask = np.zeros(size, np.uint8)
    for corners in polygons:
        cv2.fillPoly(mask, [np.round((corners - 0.5) * 16).astype(np.int32)], 1, shift=4)
    return mask


def mask_of_runs(runs: Sequence[int], size: tuple[int, int]) -> Bitmap:
    """Return the pixels of COCO's runs down the columns."""
    values = np.arange(len(runs)) % 2
    flat: Bitmap = np.repeat(values.astype(np.uint8), runs)
    return flat.reshape(size[1], size[0]).T


def runs_of_text(text: Any) -> Any:
    """Return the lengths of runs from COCO's text; other values as they are.

    A length is written as its difference from the length two runs before, from the fourth run on, in groups of 5 bits
    from the lowest: a letter is 48 plus the group, plus 32 if another follows; the last group has the sign.
    """
    if not isinstance(text, str):
        return text
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
