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
    with open_image(path, read_whole(path)) as image:
        require_form(path, image)
        palette = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
        pixels = np.array(image)
        clear = clear_indices(path, image)
    if clear:
        pixels[np.isin(pixels, clear)] = 0
    if pixels.ndim == 3:
        packed = _colour_numbers(path, pixels)
        numbers = ids_of_colours([np.unique(packed).tolist()], path) if colours is None else colours()
        return _ids_of_colour_numbers(path, packed, numbers)
    ids: NDArray[np.uint8] = pixels.astype(np.uint8, copy=False)  # booleans of 1 bit
    if not np.ptp(palette, axis=1).any() and has_smoothed_edges(ids):
        raise DataError(f"{path}: most grey values are no ids but smoothed edges; resize masks by nearest pixel")
    if order is not None:
        _add_order(path, palette, ids, order)
    return ids


def _add_order(path: Path, palette: NDArray[np.uint8], ids: NDArray[np.uint8], order: dict[int, int]) -> None:
    """Add the colours of an indexed mask that its pixels use, colour → index; refuse one that has another index."""
    numbers = _as_numbers(palette).tolist()
    for index in object_ids(ids):
        colour = numbers[index] if index < len(numbers) else 0
        is_of_one = len(set(colour.to_bytes(3, "big"))) > 1 and numbers.count(colour) == 1
        if is_of_one and order.setdefault(colour, index) != index:
            raise DataError(
                f"{path}: colour #{colour:06x} has index {index}, and {order[colour]} in another mask of the video: "
                "save all with one palette, or in RGB"
            )


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
    """Refuse an image, not decoded yet, in any form but those of masks."""
    if not _has_form_of_mask(path, image):
        raise DataError(
            f"{path}: not a mask: a PNG of ids (indexed, or grey of 8 bits or 1, 0 black) or of few colours on black"
        )


def _has_form_of_mask(path: Path, image: ImageFile.ImageFile) -> bool:
    """Return whether an image is a PNG whose pixels can be ids or colours of ids."""
    if image.format != "PNG":
        return False
    if image.mode == "P":
        first_colour = (image.getpalette() or [])[:3]
        return first_colour == [0, 0, 0] or 0 in clear_indices(path, image)
    if "transparency" in image.info:
        return False
    is_grey_of_8_bits = image.mode == "L" and image.tile[0][3] == "L"  # Pillow scales 2 and 4 bits
    return is_in_colours(image) or image.mode == "1" or is_grey_of_8_bits


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


def is_in_colours(image: ImageFile.ImageFile) -> bool:
    """Return True if an image, not decoded yet, stores colours, not ids."""
    return image.mode in ("RGB", "RGBA")


def colours_in(path: Path) -> tuple[int, ...]:
    """Return the colours of an RGB mask, ascending, each as 0xRRGGBB; none for a mask of ids.

    Raises:
        DecodingError: if the file is damaged or cannot be decoded.
        DataError: if it is no mask, or has many colours.
    """
    with open_image(path, read_whole(path)) as image:
        require_form(path, image)
        if not is_in_colours(image):
            return ()
        return tuple(np.unique(_colour_numbers(path, np.array(image))).tolist())


def ids_of_colours(colours_of_masks: Iterable[Collection[int]], source: object) -> dict[int, int]:
    """Number the colours of a video's masks but black, the background: colour, 0xRRGGBB → id.

    If DAVIS's palette has all colours of the first mask, each colour of the palette has its index there. Others are
    numbered from 1 as they appear, within a mask sorted: colours of later masks do not change those of the first.

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
    in_order: dict[int, None] = {}
    first: set[int] = set()
    has_black = False
    for colours in colours_of_masks:
        has_black = has_black or 0 in colours
        objects = sorted(set(colours) - {0})
        in_order |= dict.fromkeys(objects)
        first = first or set(objects)
    davis = ids_in_davis()
    is_davis = first <= davis.keys()
    require_background(in_order, has_black or is_davis, source)
    ids = {colour: davis[colour] for colour in in_order if colour in davis} if is_davis else {}
    for colour in in_order:
        if colour not in ids:
            ids[colour] = free_number(ids.values(), source)
    return ids


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
    with open_image(path) as image:
        palette = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
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


def _ids_of_colour_numbers(path: Path, packed: NDArray[np.uint32], numbers: Mapping[int, int]) -> NDArray[np.uint8]:
    """Return the ids of packed colours, (H, W); 0 for black."""
    ids = np.zeros(packed.shape, np.uint8)
    for colour in np.unique(packed[packed > 0]).tolist():
        if colour not in numbers:
            known = described(numbers) if len(numbers) <= MOST_COLOURS else "those of a palette"
            raise DataError(f"{path}: colour #{colour:06x} is none of the annotations' ({known})")
        ids[packed == colour] = numbers[colour]
    return ids


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
