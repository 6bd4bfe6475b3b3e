"""Objects that people draw in annotation tools: LabelMe's and COCO's JSON, read."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    Base64Bytes,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from .files import DataError, mistakes_of, read_text
from .images import in_px, open_image

Bitmap = NDArray[np.uint8]
"""Pixels `(H, W)`, 1 of an object."""
Side = Annotated[int, Field(gt=0, le=2**15)]
Stated = dict[str, str | int | None]
"""What states the frame of a file → the name or index, as `{"imagePath": "00012.png", "frame_index": 12}`."""
Coordinate = Annotated[float, Field(ge=-(2**20), le=2**20)]


def _require_corners(numbers: list[float]) -> list[float]:
    """Return the numbers x, y, x, y, … of a polygon as they are; raise `ValueError` for fewer than three corners."""
    if len(numbers) % 2 or len(numbers) < 6:
        raise ValueError("a polygon needs x and y of three corners")
    return numbers


class _Read(BaseModel):
    """A part of a tool's file: the fields that are read, numbers for texts as people's scripts write them."""

    model_config = ConfigDict(coerce_numbers_to_str=True, allow_inf_nan=False, extra="ignore")


class _Shape(_Read):
    """A shape of LabelMe; its points are x, y in pixels from the corner of the first pixel."""

    label: Annotated[str, Field(min_length=1)]
    points: Annotated[list[tuple[Coordinate, Coordinate]], Field(min_length=1)]
    group_id: str | None = None
    shape_type: str | None = None
    mask: Base64Bytes = b""
    flags: dict[str, Any] | None = None

    @property
    def is_instance(self) -> bool:
        """True if the shape alone is an object; a shape with a group, or the flag `part` of our page, is a part."""
        return self.group_id is None and not (self.flags or {}).get("part")


class _LabelMe(_Read):
    """LabelMe's JSON of an image."""

    shapes: list[_Shape]
    imageHeight: Side | None = None
    imageWidth: Side | None = None
    imagePath: str | None = None


class _Segment(_Read):
    """COCO's segmentation: polygons x, y, x, y, …, or lengths of runs down the columns of an image of `size`."""

    polygons: list[Annotated[list[Coordinate], AfterValidator(_require_corners)]] = []
    counts: Annotated[list[Annotated[int, Field(ge=0)]], BeforeValidator(lambda counts: runs_of_text(counts))] = []
    size: tuple[Side, Side] = (1, 1)

    @model_validator(mode="before")
    @classmethod
    def _of_a_list(cls, given: Any) -> Any:
        """Read a list as polygons, and a list of numbers as a single polygon; leave other forms to pydantic.

        Example:
            >>> _Segment.model_validate([4, 4, 14, 4, 14, 10]).polygons
            [[4.0, 4.0, 14.0, 4.0, 14.0, 10.0]]
        """
        if not isinstance(given, list):
            return given
        return {"polygons": [given] if given and isinstance(given[0], int | float) else given}

    @model_validator(mode="after")
    def _fills_the_image(self) -> Self:
        """Refuse a segment without a shape, and runs that do not add up to the pixels of the image."""
        if not self.polygons and not self.counts:
            raise ValueError("is empty: a box alone is no mask; draw the object, or give its --box")
        if not self.polygons and sum(self.counts) != self.size[0] * self.size[1]:
            raise ValueError(f"runs of {sum(self.counts)} pixels for an image of {in_px(self.size)}")
        return self


class _Category(_Read):
    """A category of COCO, such as `person`."""

    id: str
    name: str = ""


class _Image(_Read):
    """An image of COCO; tools for videos also state the index of its frame."""

    id: str
    height: Side | None = None
    width: Side | None = None
    file_name: str
    frame_index: int | None = None
    frame_id: int | None = None


class _Annotation(_Read, extra="allow"):
    """An object of COCO in an image."""

    image_id: str
    category_id: str
    attributes: dict[str, Any] | None = None
    segmentation: _Segment

    @property
    def name(self) -> str | None:
        """Id of the object's track, else of its instance, as text; None if the file states neither.

        Example:
            >>> common = {"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 2, 0, 2, 2]]}
            >>> facts = ({"track_id": 7, "instance_id": 5}, {"attributes": {"instance_id": 5}}, {})
            >>> [_Annotation.model_validate(common | each).name for each in facts]
            ['7', '5', None]
        """
        facts = {**(self.model_extra or {}), **(self.attributes or {})}
        number = facts.get("track_id", facts.get("instance_id"))
        return None if number is None else str(number)


class _Coco(_Read):
    """COCO's JSON of many images."""

    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category] = []


class Drawn(NamedTuple):
    """Objects that a JSON has in a frame.

    Attributes:
        stated: what states the frame.
        size: (height, width), pixels.
        objects: names and pixels, in the order of the file; later ones lie above.
        notes: what the user should know.
    """

    stated: Stated
    size: tuple[int, int]
    objects: list[tuple[str, Bitmap]]
    notes: tuple[str, ...] = ()


def read_drawings(path: Path, source: str, size: tuple[int, int] | None = None) -> list[Drawn]:
    """Read drawn objects from JSON: of LabelMe's single image, or of each image in COCO's file that has an annotation.

    Args:
        path: the file.
        source: its name in messages.
        size: (height, width) of an image for which it states none.

    Raises:
        DataError: for other JSON, values of another kind, or shapes without an area.
    """
    try:
        content = TypeAdapter(Any).validate_json(read_text(path))
        content = content if isinstance(content, dict) else {}  # a list or number is refused below as no known format
        if "shapes" in content:
            return [_read_labelme(source, path.name, _LabelMe.model_validate(content), size)]
        if "annotations" in content and "images" in content:
            if not content["annotations"]:
                raise DataError(f"{source}: has no annotation: draw an object, or give its mask as a PNG")
            return _read_coco(source, path.name, _Coco.model_validate(content), size)
    except ValidationError as error:
        raise DataError(f"{source}: {mistakes_of(error)}") from error
    raise DataError(f"{source}: is neither LabelMe's JSON (shapes) nor COCO's (images, annotations)")


def _size_of(source: str, height: int | None, width: int | None, size: tuple[int, int] | None) -> tuple[int, int]:
    """Return the stated (height, width) of an image, else `size`; raise `DataError` if both are missing."""
    stated = (height, width) if height and width else size
    if stated is None:
        raise DataError(f"{source}: states no height and width of its image")
    return stated


def _read_labelme(source: str, file_name: str, content: _LabelMe, frame_size: tuple[int, int] | None) -> Drawn:
    """Return the objects of LabelMe's shapes: shapes of one label and group, and each shape without a group.

    A shape without a group is named `label`; several of one label are named `label #1`, `label #2`. Shapes of a label
    without a group, but with the flag `part`, are one object.

    Example:
        >>> corners = [(0, 0), (2, 0), (2, 2)]
        >>> shapes = [{"label": label, "points": corners} for label in ("dog", "dog", "cat")]
        >>> drawn = _read_labelme("a.json", "a.json", _LabelMe.model_validate({"shapes": shapes}), (4, 4))
        >>> [name for name, _ in drawn.objects]
        ['dog #1', 'dog #2', 'cat']
    """
    size = _size_of(source, content.imageHeight, content.imageWidth, frame_size)
    objects: dict[str, Bitmap] = {}
    # label → number of shapes that are objects alone: without a group and the flag `part` (`is_instance`)
    instances = Counter(shape.label for shape in content.shapes if shape.is_instance)
    instances_so_far: Counter[str] = Counter()
    for shape in content.shapes:
        instances_so_far[shape.label] += shape.is_instance
        # only if a label has several such shapes, their names are numbered
        counted = f"#{instances_so_far[shape.label]}" if shape.is_instance and instances[shape.label] > 1 else None
        name = " ".join(filter(None, [shape.label, shape.group_id or counted]))
        drawn = _pixels_of_labelme(source, shape, size)
        # shapes of one name are parts of one object
        objects[name] = objects[name] | drawn if name in objects else drawn
    notes = [f"{source}: {label} is drawn {n} times without a group_id: they are {n} objects, in the file's "
             "order; parts of one, and objects of several frames, need a group_id each"
             for label, n in instances.items() if n > 1]  # fmt: skip
    if not objects:
        notes.append(f"{source}: has no shape: all objects have left its frame")
    stated: Stated = {"name": file_name, "imagePath": content.imagePath}
    return Drawn(stated, size, list(objects.items()), tuple(notes))


def _pixels_of_labelme(source: str, shape: _Shape, size: tuple[int, int]) -> Bitmap:
    """Return the pixels of a shape of LabelMe: a polygon, a rectangle by two corners, or a bitmap.

    A bitmap is placed by its upper left corner; the part that lies outside of the image is cut off.

    Example:
        >>> shape = _Shape(label="dog", points=[(7.5, 4.5), (1.5, 0.5)], shape_type="rectangle")
        >>> mask = _pixels_of_labelme("a.json", shape, (6, 9))
        >>> mask.sum(axis=1).tolist(), mask[0].tolist()
        ([7, 7, 7, 7, 7, 0], [0, 1, 1, 1, 1, 1, 1, 1, 0])
        >>> from base64 import b64encode
        >>> from io import BytesIO
        >>> from PIL import Image
        >>> file = BytesIO()
        >>> Image.fromarray(255 * np.eye(4, dtype=np.uint8)).save(file, "PNG")
        >>> drawn = b64encode(file.getvalue())
        >>> bitmap = _Shape(label="dog", points=[(-1, -2), (2, 1)], shape_type="mask", mask=drawn)
        >>> np.argwhere(_pixels_of_labelme("a.json", bitmap, (6, 9))).tolist()  # two of its four pixels
        [[0, 1], [1, 2]]
    """
    corners = np.array(shape.points)
    kind = shape.shape_type or "polygon"
    if kind == "mask":
        left, top = corners.min(0).astype(int).tolist()  # of the bitmap's first pixel; may be negative
        mask = np.zeros(size, np.uint8)
        behind_corner = mask[max(top, 0) :, max(left, 0) :]  # a view: what is written there is written into `mask`
        with open_image(source, shape.mask) as image:
            drawn = np.array(image.convert("L")) > 0
        # without the rows and columns before the image, then without those behind it
        drawn = drawn[max(-top, 0) :, max(-left, 0) :][: behind_corner.shape[0], : behind_corner.shape[1]]
        behind_corner[: drawn.shape[0], : drawn.shape[1]] = drawn
        return mask
    if kind == "rectangle":
        (left, top), (right, bottom) = corners.min(0), corners.max(0)
        corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    elif kind not in ("polygon", "rotation"):  # X-AnyLabeling's turned rectangle has its four corners
        raise DataError(f"{source}: the shape {shape.label} is a {kind}: draw polygons, rectangles or masks")
    return mask_of_polygons([corners], size)


def _read_coco(source: str, file_name: str, content: _Coco, size: tuple[int, int] | None) -> list[Drawn]:
    """Return an entry per image of COCO's file, with the image's objects; images without an object are left out.

    An object is named by its category and the id of its track or instance, `person 3`. Two annotations of one name in
    an image are refused.

    Example:
        >>> images = [{"id": n, "file_name": f"{n}.png", "height": 4, "width": 6} for n in (1, 2)]
        >>> cat = {"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 2, 0, 2, 2]], "track_id": 7}
        >>> content = {"images": images, "annotations": [cat], "categories": [{"id": 1, "name": "cat"}]}
        >>> (drawn,) = _read_coco("a.json", "a.json", _Coco.model_validate(content), None)  # image 2 has no object
        >>> drawn.stated["file_name"], [name for name, _ in drawn.objects]
        ('1.png', ['cat 7'])
    """
    categories = {category.id: category.name for category in content.categories}
    images: dict[str, Drawn] = {}
    for image in content.images:
        stated: Stated = {"name": file_name} if len(content.images) == 1 else {}
        stated |= {"file_name": image.file_name, "frame_index": image.frame_index, "frame_id": image.frame_id}
        images[image.id] = Drawn(stated, _size_of(source, image.height, image.width, size), [])
    for number, annotation in enumerate(content.annotations):
        drawn = images.get(annotation.image_id)
        if drawn is None:
            raise DataError(f"{source}: annotations.{number}.image_id: no image has {annotation.image_id}")
        category = categories.get(annotation.category_id) or annotation.category_id
        # `fromkeys`: equal words stand once
        name = " ".join(filter(None, dict.fromkeys([category, annotation.name])))
        if name in dict(drawn.objects):
            place = drawn.stated["file_name"]
            raise DataError(f"{source}: {place} has object {name} twice: objects of a category need a track_id")
        drawn.objects.append((name, _pixels_of_coco(annotation.segmentation, drawn.size)))
    return [drawn for drawn in images.values() if drawn.objects]


def _pixels_of_coco(segment: _Segment, size: tuple[int, int]) -> Bitmap:
    """Return the pixels of a segment of COCO: of its runs, else of its polygons."""
    if segment.counts:  # runs have a size of their own: `MaskPrompt.of_drawn` compares it with the image's
        return mask_of_runs(segment.counts, segment.size)
    return mask_of_polygons([np.reshape(polygon, (-1, 2)) for polygon in segment.polygons], size)


def mask_of_polygons(polygons: Iterable[NDArray[np.float64]], size: tuple[int, int]) -> Bitmap:
    """Return the pixels `(height, width)` in the union of polygons.

    Args:
        polygons: x and y of corners `(n, 2)`; (0, 0) is the upper left corner of the first pixel.
        size: (height, width) of the image.

    Example:
        >>> square = np.array([[1, 0], [3, 0], [3, 2], [1, 2]])
        >>> mask_of_polygons([square], (3, 4)).tolist()  # with the pixels on its border
        [[0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]]
        >>> outer, inner = 5 * square, 2 * square + [6, 3]
        >>> masks = [mask_of_polygons(polygons, (12, 18)) for polygons in ([outer], [outer, inner])]
        >>> np.array_equal(*masks)  # a union: the inner one is no hole
        True
    """
    import cv2

    mask = np.zeros(size, np.uint8)
    for corners in polygons:
        # OpenCV counts from the centre of the first pixel, here in sixteenths of a pixel: 4 bits of a fraction
        cv2.fillPoly(mask, [np.round((corners - 0.5) * 16).astype(np.int32)], 1, shift=4)
    return mask


def mask_of_runs(runs: Sequence[int], size: tuple[int, int]) -> Bitmap:
    """Return the pixels `(height, width)` of COCO's runs: lengths of runs of zeros, ones, zeros, … down the columns.

    Example:
        >>> mask_of_runs([1, 2, 3], (2, 3)).tolist()
        [[0, 1, 0], [1, 0, 0]]
    """
    values = np.arange(len(runs)) % 2
    flat: Bitmap = np.repeat(values.astype(np.uint8), runs)
    return flat.reshape(size[1], size[0]).T


def runs_of_text(text: Any) -> Any:
    """Return the lengths of runs that COCO's text holds; return another value as it is.

    The first three runs are written as lengths, later runs as differences from the run two places before. A number is
    written in groups of 5 bits, the lowest first. The letter of a group is chr(48 + group), plus 32 if another group
    follows. The last group has the sign.

    Example:
        >>> runs_of_text("123")
        [1, 2, 3]
        >>> runs_of_text("12355")  # a later run is 5 more than the run two places before
        [1, 2, 3, 7, 8]
        >>> runs_of_text("125O")  # the last is 1 less
        [1, 2, 5, 1]
        >>> runs_of_text("V1660000000000000Z3")  # by pycocotools 2.0.11: 8 columns of 6 pixels in an image of 12 rows
        [38, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 112]
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
        if group & 16:  # negative, as a two's complement
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
