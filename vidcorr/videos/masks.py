"""A mask of object ids: the one reader, its form, and the ids in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .files import DataError, unfinished
from .image_files import open_image, read_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import ImageFile

VOID = 255
"""Pixel value of void; scored as background, as by DAVIS's official code in the semi-supervised task."""
COLOUR_OF_VOID = 0xE0E0C0
"""Colour of index 255 in DAVIS's palette; a mask in RGB that shows it shows void."""
GREYS = frozenset(value * 0x010101 for value in range(256))
"""Grey colours, 0xRRGGBB."""
HALF_TRANSPARENT = "not a mask: it is half transparent in places; save it without transparency"
MOST_COLOURS = 32
"""More colours in an RGB mask are smoothed edges or a picture."""


class StoredMask(NamedTuple):
    """A mask as it is in its file.

    Attributes:
        source: the file.
        labels: (H, W) uint8: ids, or numbers of the colours of a mask in RGB, `VOID` of its void; 0 is the
            background, black or clear.
        colours: colour, 0xRRGGBB → its label. In RGB: every colour but black. In an indexed mask: the colour of each
            object, unless the colour is grey or the palette has it more than once.
        has_ids: the labels are ids; False: the mask is in RGB.
    """

    source: Path
    labels: NDArray[np.uint8]
    colours: dict[int, int]
    has_ids: bool

    def ids(self, ids_of_colours: Mapping[int, int]) -> NDArray[np.uint8]:
        """Return the ids (H, W) uint8 of a mask in RGB; raise `DataError` for a colour without an id."""
        ids = np.zeros(256, np.uint8)
        for colour, label in self.colours.items():
            if colour not in ids_of_colours:
                known = described(ids_of_colours) if len(ids_of_colours) <= MOST_COLOURS else "those of a palette"
                raise DataError(f"{self.source}: colour #{colour:06x} is none of the annotations' ({known})")
            ids[label] = ids_of_colours[colour]
        return ids[self.labels]


def stored_mask(path: Path) -> StoredMask:
    """Decode a mask: a PNG of indices, of grey values of 8 bits or 1 bit, or of few colours in RGB.

    Annotations, predictions and prompts are all read by this function. Index or value 0 is the background, black in a
    palette. In RGB black is the background, and every other colour an object. Transparent pixels are background.

    Raises:
        DecodingError: if the file is damaged or cannot be decoded.
        DataError: if it is no PNG of these forms, is half transparent in places, has many grey values and no palette,
            or many colours.
    """
    with open_image(path, read_whole(path)) as image:
        clear = clear_indices(path, image)
        palette = _palette(image)
        pixels = np.array(image)
    if pixels.ndim == 3:
        return _mask_of_colours(path, pixels)
    ids = pixels.astype(np.uint8, copy=False)  # booleans of 1 bit
    if clear:  # transparent indices
        ids[np.isin(ids, clear)] = 0
    # ids that are shown as greys: by a palette of greys, or without a palette (`palette` is empty)
    if GREYS.issuperset(palette) and has_smoothed_edges(ids):
        raise DataError(f"{path}: most grey values are no ids but smoothed edges; resize masks by nearest pixel")
    colours: dict[int, int] = {}
    for number in object_ids(ids):
        # only a colour that a single index has, and that is no grey, tells the object
        if number < len(palette) and palette.count(palette[number]) == 1 and palette[number] not in GREYS:
            colours[palette[number]] = number
    return StoredMask(path, ids, colours, has_ids=True)


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Decode a mask: (H, W) uint8 ids; colours of RGB get the ids that `number_colours` gives them.

    Raises:
        DataError: if the file is no mask (`stored_mask`); or for a mask in RGB that has no black pixel, but a colour
            that is not of DAVIS.
    """
    mask = stored_mask(path)
    return mask.labels if mask.has_ids else mask.ids(number_colours([mask]))


def _mask_of_colours(path: Path, pixels: NDArray[np.uint8]) -> StoredMask:
    """Return the mask of an RGB or RGBA image `(H, W, 3 or 4)`; transparent pixels are background, as black ones are.

    Raises:
        DataError: if a pixel is half transparent, or there are more than `MOST_COLOURS`.
    """
    opacity = pixels[..., 3:]  # empty for RGB
    if ((opacity > 0) & (opacity < 255)).any():
        raise DataError(f"{path}: {HALF_TRANSPARENT}")
    packed = _as_numbers(pixels)
    packed[(opacity == 0).any(-1)] = 0
    present, places = np.unique(packed, return_inverse=True)
    if len(present) > MOST_COLOURS:
        told = f"{len(present)} colours are a picture, or a mask with smoothed edges"
        raise DataError(f"{path}: {told}, not the ids of a mask")
    first = int(present[0] > 0)  # without black the labels begin with 1
    labels = {colour: label for label, colour in enumerate(present.tolist(), first)}
    if COLOUR_OF_VOID in labels:  # the colour of index 255 in DAVIS's palette
        labels[COLOUR_OF_VOID] = VOID
    # `places`: of each pixel the place of its colour in `present`, which is also the place of the label in `labels`
    of_pixels = np.array(list(labels.values()), np.uint8)[places.reshape(packed.shape)]
    labels.pop(0, None)  # black is the background, no object
    return StoredMask(path, of_pixels, labels, has_ids=False)


def _palette(image: ImageFile.ImageFile) -> list[int]:
    """Return the colours of an image's palette, 0xRRGGBB; an empty list without a palette."""
    palette = np.array(image.getpalette() or [], np.uint8)
    return _as_numbers(palette.reshape(-1, 3)).tolist()


def has_smoothed_edges(ids: NDArray[np.uint8]) -> bool:
    """Return True if most values of a mask, at least three, are shades of smoothed edges.

    A pixel lies on an edge if, along an axis, its value is strictly between the values of its two neighbours. A value
    is a shade if most of its pixels lie on edges. If half of all pixels lie on edges, the mask is noise, and the result
    is False.

    Example:
        >>> edge = np.array([0, 50, 100, 150, 200, 200, 200, 200, 200, 200], np.uint8)
        >>> has_smoothed_edges(edge[None].repeat(10, axis=0)), has_smoothed_edges(edge[None].repeat(10, axis=0) // 200)
        (True, False)
    """
    pixels = pixel_counts(ids)[1:]  # of each value but 0
    present = np.count_nonzero(pixels)
    if present < 3:  # one or two values may be ids of thin objects
        return False
    is_on_edge = np.zeros(ids.shape, bool)
    for values, on_edge in ((ids, is_on_edge), (ids.T, is_on_edge.T)):  # down, then across; `.T` is a view
        before, middle, after = values[:-2], values[1:-1], values[2:]
        on_edge[1:-1] |= (before < middle) & (middle < after) | (before > middle) & (middle > after)
    shades = np.count_nonzero(2 * pixel_counts(ids[is_on_edge])[1:] > pixels)  # number of values that are shades
    most_are_shades = shades > max(2, present / 2)
    is_noise = 2 * np.count_nonzero(is_on_edge) >= ids.size
    return bool(most_are_shades and not is_noise)


def clear_indices(path: Path, image: ImageFile.ImageFile) -> list[int]:
    """Check by the header that an image is a mask, and return the indices of its palette that are transparent.

    Returns:
        The indices; an empty list for a mask without a palette.

    Raises:
        DataError: for an image that is no PNG of ids or of colours; or if an index is half transparent.
    """
    clear: list[int] = []
    if image.mode == "P":
        image.apply_transparency()  # moves the file's transparency into the palette
        palette = np.reshape(image.getpalette("RGBA") or [], (-1, 4))
        if not np.isin(palette[:, 3], (0, 255)).all():
            raise DataError(f"{path}: {HALF_TRANSPARENT}")
        clear = np.flatnonzero(palette[:, 3] == 0).tolist()
        is_mask = 0 in clear or palette[:1, :3].tolist() == [[0, 0, 0]]  # index 0, the background, is clear or black
    else:
        # Pillow opens grey of 2 and 4 bits as "L" too, but scales the values, which are then no ids. A mask is refused
        # too if its header declares a colour or grey value transparent.
        is_grey_of_8_bits = image.mode == "L" and image.tile[0][3] == "L"
        is_mask = (image.mode in ("RGB", "RGBA", "1") or is_grey_of_8_bits) and "transparency" not in image.info
    if image.format != "PNG" or not is_mask:
        raise DataError(
            f"{path}: not a mask: a PNG of ids (indexed, or grey of 8 bits or 1, 0 black) or of few colours on black"
        )
    return clear


def number_colours(masks: Iterable[StoredMask]) -> dict[int, int]:
    """Return colour, 0xRRGGBB → id of masks in RGB, mask by mask, so that later masks change no id.

    Within a mask, first each colour of DAVIS's palette gets its index in the palette, if no other colour has this id.
    Then every other colour gets the smallest free number.

    Args:
        masks: the masks in RGB of a video, as `stored_mask` reads them.

    Raises:
        DataError: if all 254 ids are taken; or if no mask has a black pixel and a colour is not of DAVIS: that colour
            may be the background.

    Example:
        >>> labels = np.array([[0, 1], [2, 2]], np.uint8)
        >>> mask = StoredMask(Path("a.png"), labels, colours={0xFF0000: 1, 0x008000: 2}, has_ids=False)
        >>> described(number_colours([mask]))  # #008000 has index 2 in DAVIS's palette
        '#ff0000 = 1, #008000 = 2'
        >>> full = StoredMask(Path("b.png"), labels[1:], colours={0x0000FF: 2}, has_ids=False)
        >>> described(number_colours([full, mask]))  # only the other mask shows the background
        '#0000ff = 1, #008000 = 2, #ff0000 = 3'
    """
    ids: dict[int, int] = {}
    davis = ids_in_davis()
    source_of: dict[int, object] = {}  # colour that is not of DAVIS → the first mask that has it
    has_background = False
    for mask in masks:
        has_background = has_background or not mask.labels.all()  # a pixel has label 0
        # colours of DAVIS first, so that no other colour takes their ids
        for colour in sorted(mask.colours, key=lambda colour: colour not in davis):
            if colour not in davis:
                source_of.setdefault(colour, mask.source)
            if colour not in ids:
                number = davis.get(colour)
                if number is None or number in ids.values():
                    number = min(set(range(1, VOID)).difference(ids.values()), default=None)
                if number is None:
                    raise DataError(f"{mask.source}: more than {VOID - 1} objects, the most ids of a mask")
                ids[colour] = number
    if source_of and not has_background:
        shown = ", ".join(f"#{colour:06x}" for colour in source_of)
        source = next(iter(source_of.values()))
        raise DataError(f"{source}: no pixel is black, the background of masks in colours ({shown}): paint it black")
    return ids


def ids_of_palette(path: Path) -> dict[int, int]:
    """Return colour, 0xRRGGBB → id, to read predictions in RGB whose truth is an indexed or grey mask.

    A colour of the mask's palette has the index as id. If the mask has no palette or a palette of greys, a colour of
    DAVIS's palette has its index in DAVIS, also if it is a grey, and another grey of value v has id v.
    """
    with open_image(path) as image:
        palette = _palette(image)
    if GREYS.issuperset(palette):
        return {value * 0x010101: value for value in range(1, 256)} | ids_in_davis()  # DAVIS's colours win
    return {colour: index for index, colour in reversed(list(enumerate(palette)))}  # of equal ones the first counts


def ids_in_davis() -> dict[int, int]:
    """Return the colours of DAVIS's palette but black, 0xRRGGBB → index.

    Example:
        >>> [f"#{colour:06x} = {index}" for colour, index in ids_in_davis().items()][:2]
        ['#800000 = 1', '#008000 = 2']
    """
    return {colour: index for index, colour in enumerate(_as_numbers(davis_palette()).tolist()) if index}


def described(colours: Mapping[int, int]) -> str:
    """Return the ids of colours as text.

    Example:
        >>> described({0x008000: 2, 0x800000: 1})
        '#800000 = 1, #008000 = 2'
    """
    by_id = sorted(colours, key=colours.__getitem__)
    return ", ".join(f"#{colour:06x} = {colours[colour]}" for colour in by_id)


def _as_numbers(colours: NDArray[np.uint8]) -> NDArray[np.uint32]:
    red, green, blue = np.moveaxis(colours[..., :3].astype(np.uint32), -1, 0)
    return (red << 16) + (green << 8) + blue


def write_ids(path: Path, ids: NDArray[np.uint8], palette: NDArray[np.uint8]) -> None:
    """Write ids `(H, W)` as an indexed PNG, atomically; make its folder.

    Args:
        ids: palette index per pixel.
        palette: `(256, 3)` RGB.
    """
    from PIL import Image

    image = Image.fromarray(ids)
    image.putpalette(palette.ravel().tolist())
    with unfinished(path) as temporary:
        image.save(temporary, "PNG", compress_level=1)


def davis_palette() -> NDArray[np.uint8]:
    """Return the palette of PASCAL VOC, whose first colours are those of DAVIS: (256, 3) uint8 RGB.

    Bits 0, 1 and 2 of an index go to red, green and blue from the highest bit down, then bits 3, 4 and 5, and so on.
    """
    index = np.arange(256)[:, None]
    channel = np.arange(3)[None]
    palette = np.zeros((256, 3), np.uint8)
    for level in range(3):
        bits = (index >> (3 * level + channel)) & 1  # 256 x 3: a bit of each index for each channel
        palette += (bits << (7 - level)).astype(np.uint8)
    return palette


def pixel_counts(ids: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the number of pixels of each value, (256,); a tenth of the time of `np.unique`.

    Example:
        >>> pixel_counts(np.array([[0, 2, 2]], np.uint8))[:4].tolist()
        [1, 0, 2, 0]
    """
    import cv2

    return np.asarray(cv2.calcHist([ids], [0], None, [256], [0, 256])).ravel().astype(np.int64)


def object_ids(ids: NDArray[np.uint8]) -> tuple[int, ...]:
    """Return the object ids that occur in a mask, ascending, without background and void.

    Example:
        >>> object_ids(np.array([[0, 2], [255, 1]], np.uint8))
        (1, 2)
    """
    values = np.flatnonzero(pixel_counts(ids)).tolist()
    return tuple(value for value in values if 0 < value < VOID)


def refuse_large_void(source: object, ids: NDArray[np.uint8]) -> None:
    """Refuse a mask that introduces objects if 255, void, has more pixels than all ids: 255 is probably an object.

    Args:
        source: the mask, for the message.
        ids: (H, W) uint8.

    Raises:
        DataError: if 255 has more pixels.
    """
    counts = pixel_counts(ids)
    of_objects = int(counts[1:VOID].sum())
    if 0 < of_objects < counts[VOID]:
        told = f"has {counts[VOID]} pixels, more than the {of_objects} of all objects"
        remedy = "if 255 is an object, give it an id of 1 to 254"
        raise DataError(f"{source}: value 255 means void (not scored), but {told}; {remedy}")
