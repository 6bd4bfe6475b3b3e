"""A mask of object ids: the one reader, its form, and the ids in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .files import DataError, unfinished
from .images import open_image, read_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import ImageFile

VOID = 255
"""Pixel value of void; scored as background, as by DAVIS's official code in the semi-supervised task."""
MOST_COLOURS = 32
"""More colours in an RGB mask are smoothed edges or a picture."""


def read_mask(
    path: Path, colours: Callable[[], Mapping[int, int]] | None = None, order: dict[int, int] | None = None
) -> NDArray[np.uint8]:
    """Decode a mask: (H, W) uint8 ids, the indices of an indexed PNG or the values of a grey one of 8 bits or of 1.

    The one reader of masks, of annotations, predictions and prompts alike. 0 is the background, black in a palette.
    An RGB PNG of few colours is a mask too: black is the background, every other colour an object. So is what is
    transparent.

    Args:
        path: the file.
        colours: returns the ids of the colours, for a mask in RGB; None: `ids_of_colours` of this mask.
        order: colours of the palettes of the video's other indexed masks → ids, to which those of this one are added.

    Raises:
        DecodingError: if the file is damaged or cannot be decoded.
        DataError: if it is no PNG of these forms, is half transparent in places, has many grey values and no palette,
            many colours, a colour that is not in `colours`, or a palette in another order than `order`.
    """
    values, palette = _values_and_palette(path)
    if values.dtype == np.uint32:
        ids = np.zeros(values.shape, np.uint8)
        present = np.unique(values).tolist()
        numbers = ids_of_colours([present], path) if colours is None else colours()
        for colour in filter(None, present):
            if colour not in numbers:
                known = described(numbers) if len(numbers) <= MOST_COLOURS else "those of a palette"
                raise DataError(f"{path}: colour #{colour:06x} is none of the annotations' ({known})")
            ids[values == colour] = numbers[colour]
        return ids
    ids = values.astype(np.uint8, copy=False)  # booleans of 1 bit
    if not np.ptp(palette, axis=1).any() and has_smoothed_edges(ids):
        raise DataError(f"{path}: most grey values are no ids but smoothed edges; resize masks by nearest pixel")
    if order is not None:
        in_palette = _as_numbers(palette).tolist()
        for index in object_ids(ids):
            colour = in_palette[index] if index < len(in_palette) else 0
            is_grey = len(set(colour.to_bytes(3, "big"))) == 1
            if not is_grey and in_palette.count(colour) == 1:
                claim_index(order, colour, index, path)
    return ids


def claim_index(order: dict[int, int], colour: int, index: int, source: object) -> None:
    """Add a colour of a palette and its index to those of the video's other masks; refuse one with another index."""
    if order.setdefault(colour, index) != index:
        raise DataError(
            f"{source}: colour #{colour:06x} has index {index}, and {order[colour]} in another mask of the video: "
            "save all with one palette, or in RGB"
        )


def _values_and_palette(path: Path) -> tuple[NDArray[np.generic], NDArray[np.uint8]]:
    """Return the ids `(H, W)` of a mask, or its colours as 0xRRGGBB, uint32; and its palette. What is clear is 0."""
    with open_image(path, read_whole(path)) as image:
        require_form(path, image)
        palette = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
        pixels = np.array(image)
        clear = clear_indices(path, image)
    if pixels.ndim == 3:
        return _colour_numbers(path, pixels), palette
    if clear:
        pixels[np.isin(pixels, clear)] = 0
    return pixels, palette


def has_smoothed_edges(ids: NDArray[np.uint8]) -> bool:
    """Return True if most values of a mask, at least three, are shades of smoothed edges.

    A pixel lies on an edge if along an axis it is strictly between its two neighbours. A value is a shade if most of
    its pixels lie on edges. A mask in which half of all pixels do is noise.
    """
    pixels = pixel_counts(ids)[1:]
    present = np.count_nonzero(pixels)
    if present < 3:  # one or two values may be ids of thin objects
        return False
    is_on_edge = np.zeros(ids.shape, bool)
    for values, found in ((ids, is_on_edge), (ids.T, is_on_edge.T)):
        before, middle, after = values[:-2], values[1:-1], values[2:]
        found[1:-1] |= (before < middle) & (middle < after) | (before > middle) & (middle > after)
    shades = np.count_nonzero(2 * pixel_counts(ids[is_on_edge])[1:] > pixels)
    most_are_shades = shades > max(2, present / 2)
    is_noise = 2 * np.count_nonzero(is_on_edge) >= ids.size
    return bool(most_are_shades and not is_noise)


def require_form(path: Path, image: ImageFile.ImageFile) -> None:
    """Refuse an image, not decoded yet, in any form but those of masks: a PNG of ids, or of colours of ids."""
    if image.mode == "P":
        first_colour = (image.getpalette() or [])[:3]
        is_mask = first_colour == [0, 0, 0] or 0 in clear_indices(path, image)
    else:
        is_grey_of_8_bits = image.mode == "L" and image.tile[0][3] == "L"  # Pillow scales 2 and 4 bits
        is_mask = (image.mode in ("RGB", "RGBA", "1") or is_grey_of_8_bits) and "transparency" not in image.info
    if image.format != "PNG" or not is_mask:
        raise DataError(
            f"{path}: not a mask: a PNG of ids (indexed, or grey of 8 bits or 1, 0 black) or of few colours on black"
        )


def clear_indices(path: Path, image: ImageFile.ImageFile) -> list[int]:
    """Return the indices of an image's palette that are transparent.

    Raises:
        DataError: if one is half transparent.
    """
    transparency = image.info.get("transparency", b"") if image.mode == "P" else b""
    # a number is the index of the one transparent colour
    opacity = bytes([255] * transparency + [0]) if isinstance(transparency, int) else transparency
    if set(opacity) - {0, 255}:
        raise DataError(f"{path}: not a mask: it is half transparent in places; save it without transparency")
    return [index for index, value in enumerate(opacity) if value == 0]


def colours_in(path: Path) -> tuple[int, ...]:
    """Return the colours of an RGB mask, ascending, each as 0xRRGGBB; none for a mask of ids.

    Raises:
        DecodingError: if the file is damaged or cannot be decoded.
        DataError: if it is no mask, or has many colours.
    """
    values, _ = _values_and_palette(path)
    return tuple(np.unique(values).tolist()) if values.dtype == np.uint32 else ()


def ids_of_colours(colours_of_masks: Iterable[Collection[int]], source: object) -> dict[int, int]:
    """Number the colours of a video's masks but black, the background: colour, 0xRRGGBB → id, as `add_colours` does.

    Colours of later masks do not change those of the first.

    Args:
        colours_of_masks: colours of each mask in the order of the frames.
        source: the masks, for the message.

    Raises:
        DataError: if no mask has a black pixel, unless all are colours of DAVIS: the background is one of them.

    Example:
        >>> ids_of_colours([[0, 0x008000, 0x800000]], "v")
        {32768: 2, 8388608: 1}
        >>> ids_of_colours([[0, 0xFFFFFF, 0xFF0000], [0x00FF00]], "v")
        {16711680: 1, 16777215: 2, 65280: 3}
    """
    ids: dict[int, int] = {}
    has_black = False
    for colours in colours_of_masks:
        has_black = has_black or 0 in colours
        add_colours(ids, dict.fromkeys(sorted(colours), source))
    require_background(ids, has_black, source)
    return ids


def add_colours(ids: dict[int, int], source_of: Mapping[int, object], taken: Collection[int] = ()) -> None:
    """Give ids to colours that have none, but black.

    A colour of DAVIS's palette gets its index there. After these, in order, others get the smallest free number, and so
    does one whose index is taken by another colour.

    Args:
        ids: colour, 0xRRGGBB → id; the colours are added.
        source_of: colour → its mask, for the message.
        taken: further ids that are not free.

    Raises:
        DataError: if all 254 ids are taken.
    """
    davis = ids_in_davis()
    for colour in sorted(source_of, key=lambda colour: colour not in davis):
        if colour in ids or colour == 0:
            continue
        number = davis.get(colour)
        if number is None or number in ids.values():
            number = free_number({*taken, *ids.values()}, source_of[colour])
        ids[colour] = number


def require_background(colours: Collection[int], has_background: bool, source: object) -> None:
    """Refuse masks in colours without a background, unless all are colours of DAVIS: one of them is the background.

    Raises:
        DataError: naming `source` and the colours, 0xRRGGBB.
    """
    if not has_background and not set(colours) <= ids_in_davis().keys():
        shown = ", ".join(f"#{colour:06x}" for colour in colours)
        raise DataError(f"{source}: no pixel is black, the background of masks in colours ({shown}): paint it black")


def free_number(taken: Collection[int], source: object) -> int:
    """Return the smallest id that is not taken; raise `DataError` if all 254 are."""
    free = set(range(1, VOID)).difference(taken)
    if not free:
        raise DataError(f"{source}: more than {VOID - 1} objects, the most ids of a mask")
    return min(free)


def ids_of_palette(path: Path) -> dict[int, int]:
    """Return the ids of the colours in which predictions may show the ids of an indexed or grey mask.

    Colours of its palette have their index. Without a palette they are those of DAVIS, and a grey of value v is id v.
    """
    _, palette = _values_and_palette(path)
    if not np.ptp(palette, axis=1).any():
        return {value * 0x010101: value for value in range(1, 256)} | ids_in_davis()
    ids: dict[int, int] = {}
    for index, colour in enumerate(_as_numbers(palette).tolist()):
        ids.setdefault(colour, index)
    return ids


def ids_in_davis() -> dict[int, int]:
    """Return the colours of DAVIS's palette but black, 0xRRGGBB → index."""
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
    """Return RGB or RGBA colours (…, 3 or 4) as 0xRRGGBB, (…)."""
    red, green, blue = np.moveaxis(colours[..., :3].astype(np.uint32), -1, 0)
    packed: NDArray[np.uint32] = (red << 16) + (green << 8) + blue
    return packed


def _colour_numbers(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return the colours of an RGB or RGBA image as 0xRRGGBB, (H, W); transparent pixels are black."""
    opacity = pixels[..., 3:]
    if ((opacity > 0) & (opacity < 255)).any():
        raise DataError(f"{path}: not a mask: it is half transparent in places; save it without transparency")
    packed = _as_numbers(pixels)
    packed[(opacity == 0).any(-1)] = 0
    present = len(np.unique(packed))
    if present > MOST_COLOURS:
        raise DataError(
            f"{path}: {present} colours are a picture, or a mask with smoothed edges, not the ids of a mask"
        )
    return packed


def write_ids(path: Path, ids: NDArray[np.uint8], palette: NDArray[np.uint8]) -> None:
    """Write ids `(H, W)` as an indexed PNG, atomically.

    Args:
        path: the file; its folder exists.
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

    Example:
        >>> davis_palette()[:4].tolist()
        [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    index = np.arange(256)[:, None]
    channel = np.arange(3)[None]
    palette = np.zeros((256, 3), np.uint8)
    for level in range(3):
        bits = (index >> (3 * level + channel)) & 1
        palette += (bits << (7 - level)).astype(np.uint8)
    return palette


def pixel_counts(ids: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the number of pixels of each value, (256,); a tenth of the time of `np.unique`."""
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
    """Refuse a mask that introduces objects if 255 has more pixels than all ids: it is an object then, not void.

    Args:
        source: the mask, for the message.
        ids: (H, W) uint8.
    """
    counts = pixel_counts(ids)
    of_objects = int(counts[1:VOID].sum())
    if 0 < of_objects < counts[VOID]:
        raise DataError(
            f"{source}: value 255 means void (not scored), but has {counts[VOID]} pixels, more than the {of_objects} "
            "of all objects; if 255 is an object, give it an id of 1 to 254"
        )
