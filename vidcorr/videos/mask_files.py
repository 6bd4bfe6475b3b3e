"""Masks of object ids: one reader for indexed, grey, 1-bit and painted images, and the refusal of smoothed edges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from .files import DataError, read_bytes
from .images import KINDS, open_image, read_whole, refuse_lost_bits
from .palettes import davis_palette, ids_by_palette, packed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

VOID = 255
"""Pixel value of void; scored as background, as by DAVIS's official code in the semi-supervised task."""
MOST_COLOURS = 32
"""Largest number of colours of a painted mask without the background; more colours mean smoothed edges."""
MODES = ("P", "L", "1", "LA", "RGB", "RGBA", "I;16", "I;16B", "I")
"""Pillow's modes of images that can hold a mask."""
PLAIN_MODES = ("P", "L", "1")
"""Modes of indexed, 8-bit grey and 1-bit images, which hold ids whatever their pixels."""
OPAQUE = 128
"""Smallest alpha of a pixel that is not transparent."""
FEWEST_LEVELS = 4
"""Number of grey levels from which a majority of smoothed levels, not of smoothed pixels, is enough."""
ORIENTATION = 0x0112
"""EXIF tag that tells a viewer to turn or mirror an image."""
EXPECTED = "expected an indexed or 8-bit grey PNG whose values are object ids"
PNG = "save it as an indexed or 8-bit grey PNG whose values are object ids"


Colour = tuple[int, int, int]
"""Red, green and blue."""


@dataclass(frozen=True, eq=False)
class MaskImage:
    """A decoded mask.

    Attributes:
        ids: (H, W) uint8: object ids, 0 is background. White of a grey or 1-bit image is 255.
        palette: (256, 3) uint8 RGB by id.
        form: "ids" of an indexed or grey image; "grey" of an RGB image in greys; "palette" of an RGB image in the
            colours of a known palette, or all black; "brightness" of an RGB image in other colours, whose ids number
            the colours from dark to light, so that they mean nothing in other images.
        has_palette: the image has a palette of its own.
        is_reduced: this palette lists only colours that occur, as a program leaves it that counts the colours of a
            picture; the order of such colours may mean nothing.
    """

    ids: NDArray[np.uint8]
    palette: NDArray[np.uint8]
    form: Literal["ids", "grey", "palette", "brightness"] = "ids"
    has_palette: bool = False
    is_reduced: bool = False


def read_mask(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Decode a mask of a data set: (H, W) uint8 ids.

    The one reader of masks, of annotations and predictions alike:

    - Indexed PNG: the indices. A transparent index is background.
    - Grey and 1-bit PNG, with or without alpha: the values; white is 255. Transparent pixels are background.
    - RGB or RGBA in the colours of DAVIS, PASCAL VOC or YouTube-VOS: the indices of the colours.
    - 16-bit grey: the values, if they are at most 255. 2-bit and 4-bit grey: black and white alone.

    Args:
        path: the PNG.
        size: (height, width) of the result, resized by nearest pixel; None: as stored.

    Raises:
        DecodingError: if the file is damaged or cannot be decoded.
        DataError: if the file is a JPEG, an orientation tag turns it, its edges are smoothed, its colours belong to no
            known palette, or its values have two readings.
    """
    return decode_mask(path, size).ids


def decode_mask(path: Path, size: tuple[int, int] | None = None) -> MaskImage:
    """Decode a mask of a data set as `read_mask`, with the form of the image."""
    mask = _decode(path, read_whole(path), KINDS)
    if mask.form == "brightness":
        raise DataError(f"{path}: the colours are not those of DAVIS, PASCAL VOC or YouTube-VOS; {PNG}")
    if mask.is_reduced:
        _refuse_another_order(path, mask)
    if size is None or size == mask.ids.shape:
        return mask
    from PIL import Image

    resized = Image.fromarray(mask.ids).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return replace(mask, ids=np.array(resized, dtype=np.uint8))


def read_mask_image(path: Path) -> MaskImage:
    """Decode the mask of a prompt, an image of any format.

    As `read_mask`, but greys of an RGB image and colours of no known palette are numbered from dark to light, and the
    background must be black or transparent.

    Raises:
        DecodingError: if the file is damaged or cannot be decoded.
        DataError: if the file is a JPEG, an orientation tag turns it, its edges are smoothed, no pixel is background,
            or two unknown colours are equally bright.
    """
    content = read_bytes(path)
    with open_image(path, content, formats=None) as image:
        image.verify()
    mask = _decode(path, content, None)
    if not mask.has_palette and mask.ids.min(initial=VOID) > 0:
        raise DataError(f"{path}: no pixel of the mask is black, the background's colour; paint the background black")
    if mask.form != "grey":
        return mask
    _, numbers = np.unique(mask.ids, return_inverse=True)
    return replace(mask, ids=numbers.reshape(mask.ids.shape).astype(np.uint8))


def check_mask_mode(path: Path, image: Image.Image) -> None:
    """Refuse an image that cannot hold a mask.

    Args:
        path: the file.
        image: the opened file; before it is decoded, tags behind the pixels of a PNG are not seen.

    Raises:
        DataError: for a JPEG, since compression changes the values, an unknown mode, or a tag that turns the image.
    """
    if image.format in ("JPEG", "MPO"):
        raise DataError(f"{path}: a JPEG does not keep the values of a mask; save it as a PNG")
    if image.mode not in MODES:
        raise DataError(f"{path}: mask of mode {image.mode}; {EXPECTED}")
    if "exif" in image.info and image.getexif().get(ORIENTATION, 1) != 1:
        raise DataError(f"{path}: an orientation tag (EXIF) turns this mask; save it upright, without the tag")


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


def covered(path: Path) -> NDArray[np.bool_]:
    """Decode the pixels of a mask that are not background, bool (H, W), whatever their values.

    Raises:
        DecodingError: if the file is missing, damaged or no image.
        DataError: if the file is a JPEG, or an orientation tag turns it.
    """
    with open_image(path, read_whole(path)) as image:
        image.load()
        check_mask_mode(path, image)
        if image.mode in ("RGB", "RGBA"):
            return np.asarray(_opaque(np.array(image.convert("RGBA"))).any(axis=-1))
        values = np.array(image) if image.mode == "P" else _grey_levels(path, image)
        return np.asarray(values > 0)


def _decode(path: Path, content: bytes, formats: tuple[str, ...] | None) -> MaskImage:
    """Decode a mask from the bytes of an image of the permitted formats (Pillow's names; None: all)."""
    with open_image(path, content, formats) as image:
        image.load()
        check_mask_mode(path, image)
        if image.mode == "P":
            return _indexed(path, image)
        if image.mode in ("RGB", "RGBA"):
            rgba = np.array(image.convert("RGBA"))
            refuse_lost_bits(path, content, rgba, PNG)
            _refuse_unseen(path, rgba)
            return _painted(path, rgba)
        levels = _grey_levels(path, image)
        refuse_lost_bits(path, content, levels, PNG)
        if image.mode == "LA":
            _refuse_unseen(path, np.array(image))
    _refuse_smoothed(path, levels)
    return MaskImage(levels, davis_palette())


def _refuse_unseen(path: Path, image: NDArray[np.uint8]) -> None:
    """Refuse a mask with alpha in which nothing is both opaque and not black, though its pixels differ.

    Its objects may be black, or half transparent. An image of a single colour is an empty mask.

    Args:
        path: the file, for the message.
        image: (H, W, 2) or (H, W, 4), alpha last.
    """
    is_seen = (image[..., -1] >= OPAQUE) & image[..., :-1].any(axis=-1)
    if not is_seen.any() and (image != image[0, 0]).any():
        raise DataError(
            f"{path}: holds nothing but black and transparent pixels, of which any may be the object; {PNG}"
        )


def colour_of_ids(mask: MaskImage) -> dict[int, Colour]:
    """Return id → colour of the ids in a mask, without black, white and greys."""
    colours: dict[int, Colour] = {}
    for number in object_ids(mask.ids):
        red, green, blue = mask.palette[number].tolist()
        if not red == green == blue:
            colours[number] = red, green, blue
    return colours


def _refuse_another_order(path: Path, mask: MaskImage) -> None:
    """Refuse an indexed mask whose colours are those of a known palette in another order.

    Programs that reduce an RGB mask to its colours number them anew. Indices and colours then name other objects.
    """
    indices = np.flatnonzero(pixel_counts(mask.ids))
    colours = mask.palette[indices]
    known = ids_by_palette(packed(colours))
    is_grey = not np.ptp(colours, axis=1).any()
    if known is None or is_grey or (known[0] == indices).all():
        return
    place = int((known[0] != indices).argmax())
    raise DataError(
        f"{path}: index {indices[place]} has the colour of id {known[0][place]} of DAVIS, PASCAL VOC or YouTube-VOS, "
        "as if a program had sorted the colours; save it as RGB, or as an indexed PNG with the whole palette"
    )


def _grey_levels(path: Path, image: Image.Image) -> NDArray[np.uint8]:
    """Return the values of a grey image (H, W) uint8; transparent pixels are 0, white of a 1-bit image is 255."""
    if image.mode == "LA":
        levels, alpha = np.moveaxis(np.array(image), -1, 0)
        return np.where(alpha < OPAQUE, 0, levels).astype(np.uint8)
    if image.mode.startswith("I"):
        wide = np.array(image).astype(np.int64)
        transparent = image.info.get("transparency")
        if isinstance(transparent, int):
            wide[wide == transparent] = 0
        if set(np.unique(wide).tolist()) == {0, 65535}:
            wide = np.where(wide > 0, VOID, 0)
        if wide.min(initial=0) < 0 or wide.max(initial=0) > VOID:
            raise DataError(f"{path}: mask of mode {image.mode}; {EXPECTED}, got values up to {wide.max()}")
        return wide.astype(np.uint8)
    levels = np.array(image.convert("L"), dtype=np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        value = VOID * transparent if image.mode == "1" else transparent
        levels[levels == value] = 0
    return levels


def _indexed(path: Path, image: Image.Image) -> MaskImage:
    """Return the ids of an indexed image: its indices, or the ids of its colours if index 0 is not the background."""
    indices = np.array(image, dtype=np.uint8)
    colours, alpha, count = _colour_table(image)
    used = np.flatnonzero(pixel_counts(indices))
    transparent = used[alpha[used] < OPAQUE]
    if len(transparent) == len(used) > 1:
        raise DataError(f"{path}: all its colours are transparent; save it without transparency")
    zero_is_background = not colours[0].any() or alpha[0] < OPAQUE
    listed = used[used < count]
    has_other_black = bool((~colours[listed].any(axis=1)).any())
    zero_is_object = used[0] == 0 and not zero_is_background
    is_moved = zero_is_object if len(transparent) else has_other_black and not zero_is_background
    if is_moved:
        return _painted(path, np.concatenate([colours, alpha[:, None]], axis=1)[indices])
    if len(listed) > 2 and not np.ptp(colours[listed], axis=1).any():
        _refuse_smoothed(path, colours[:, 0][indices])
    new_index = np.arange(256, dtype=np.uint8)
    new_index[transparent] = 0
    coloured = np.flatnonzero(colours[:count].any(axis=1))
    is_reduced = not len(transparent) and np.isin(coloured, used).all()
    return MaskImage(new_index[indices], colours, has_palette=True, is_reduced=bool(is_reduced))


def _colour_table(image: Image.Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8], int]:
    """Return the colours (256, 3) and alphas (256,) of an indexed image, and the number of listed colours."""
    colours = np.zeros((256, 3), np.uint8)
    listed = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    colours[: len(listed)] = listed
    alpha = np.full(256, 255, np.uint8)
    transparency = image.info.get("transparency", b"")
    if isinstance(transparency, int):
        alpha[transparency] = 0
    else:
        alpha[: len(transparency)] = list(transparency)
    return colours, alpha, len(listed)


def _opaque(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the colours (H, W, 3) of an RGBA image; transparent pixels are black."""
    return np.where(image[..., 3:] < OPAQUE, 0, image[..., :3]).astype(np.uint8)


def _painted(path: Path, image: NDArray[np.uint8]) -> MaskImage:
    """Return the ids of an RGBA image (H, W, 4): of its greys, of a known palette's colours, or by brightness."""
    rgb = _opaque(image)
    numbers, first, places = np.unique(packed(rgb), return_index=True, return_inverse=True)
    colours = rgb.reshape(-1, 3)[first]
    places = places.reshape(rgb.shape[:2])
    is_grey = not np.ptp(colours, axis=1).any()
    if is_grey and set(colours[:, 0].tolist()) - {0, 128}:  # 128 alone is object 7 of DAVIS and VOC
        _refuse_smoothed(path, rgb[..., 0])
        return MaskImage(rgb[..., 0], davis_palette(), form="grey")
    known = ids_by_palette(numbers)
    if known is not None:
        ids, palette = known
        return MaskImage(ids[places], palette, form="palette")
    if len(numbers) > MOST_COLOURS + 1:
        raise DataError(
            f"{path}: {len(numbers)} colours; a painted mask has flat colours, at most {MOST_COLOURS} besides black: "
            "save it as a PNG without smoothed edges"
        )
    return _by_brightness(path, colours, places)


def _by_brightness(path: Path, colours: NDArray[np.uint8], places: NDArray[np.int64]) -> MaskImage:
    """Number colours (N, 3) from dark to light; black is 0. `places`: (H, W) index of each pixel's colour."""
    brightness = colours.astype(np.int64) @ np.array([299, 587, 114])  # thousandths of Rec. 601's luma
    _refuse_smoothed(path, (brightness // 1000).astype(np.uint8)[places])
    from_dark = np.argsort(brightness)
    for darker, lighter in pairwise(from_dark):
        if brightness[darker] == brightness[lighter]:
            pair = " and ".join(str(tuple(colours[place].tolist())) for place in sorted((darker, lighter)))
            raise DataError(f"{path}: the colours {pair} are equally bright, so their order is unclear; {PNG}")
    first_id = 0 if brightness[from_dark[0]] == 0 else 1
    ids = np.empty(len(colours), np.uint8)
    ids[from_dark] = np.arange(first_id, first_id + len(colours))
    palette = davis_palette()
    palette[ids] = colours
    return MaskImage(ids[places], palette, form="brightness")


def _refuse_smoothed(path: Path, levels: NDArray[np.uint8]) -> None:
    """Refuse a mask of grey levels whose edges were smoothed: levels that lie between their neighbours are no ids.

    Ids have areas. A level of a smoothed edge has both a darker and a lighter neighbour at most of its pixels.

    Args:
        path: the file, for the message.
        levels: (H, W) grey levels.
    """
    import cv2

    counts = pixel_counts(levels)
    present = np.flatnonzero(counts[1:VOID]) + 1
    if not len(present) or present[-1] <= MOST_COLOURS:
        return
    neighbourhood = np.ones((3, 3), np.uint8)
    is_lighter = levels > cv2.erode(levels, neighbourhood)
    is_darker = levels < cv2.dilate(levels, neighbourhood)
    between = np.bincount(levels[is_lighter & is_darker], minlength=256)
    most_pixels = between[present].sum() > counts[present].sum() / 2
    most_levels = (between[present] > counts[present] / 2).mean() > 0.5
    if most_pixels or (most_levels and len(present) >= FEWEST_LEVELS):
        raise DataError(
            f"{path}: {np.count_nonzero(counts)} colours; a painted mask has flat colours, but most of these lie "
            "between their neighbours, as at smoothed edges: resize masks by nearest pixel, and save them as PNGs"
        )
