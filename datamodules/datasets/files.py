"""Pictures, masks and lists on disk: finding, checking by their headers, reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..reading.errors import DataError, DecodingError
from ..reading.pictures import AGAIN, read_picture
from ..reading.source import IMAGE_SUFFIXES, natural_order

if TYPE_CHECKING:
    from numpy.typing import NDArray


def davis_palette() -> NDArray[np.uint8]:
    """The palette of DAVIS and PASCAL VOC: (256, 3) uint8 RGB.

    Bit 0, 1, 2 of an index fall to red, green, blue from the highest bit down, then bits 3, 4, 5, and so on.

    Example:
        >>> davis_palette()[:4].tolist()
        [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    index = np.arange(256)[:, None]
    channel = np.arange(3)[None]
    bits = [((index >> (3 * level + channel)) & 1) << (7 - level) for level in range(3)]
    return np.asarray(sum(bits), dtype=np.uint8)


def write_ids(path: Path, ids: NDArray[np.uint8], palette: NDArray[np.uint8]) -> None:
    """Write ids `(H, W)` as an indexed PNG.

    Args:
        path: the file; its folder exists.
        ids: index of each pixel.
        palette: `(256, 3)` RGB of each index.
    """
    image = Image.fromarray(ids)
    image.putpalette(palette.ravel().tolist())
    image.save(path, compress_level=1)


def require_folder(path: Path, remedy: str) -> Path:
    """`path` if it is a folder; DataError with the remedy otherwise."""
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; {remedy}")
    return path


def list_pictures(folder: Path) -> tuple[Path, ...]:
    """JPEG and PNG files of a folder in natural order, hidden ones left out; () where there is no such folder."""
    if not folder.is_dir():
        return ()
    found = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != ".")
    return tuple(sorted(found, key=lambda path: natural_order(path.name)))


def read_list(path: Path, remedy: str) -> tuple[str, ...]:
    """Non-empty lines of a list file, stripped, in order, each once.

    Raises:
        DataError: if the file is missing, is not in UTF-8 or has no lines.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such list; {remedy}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: no text in UTF-8 ({error.reason}); save it as UTF-8") from error
    lines = tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not lines:
        raise DataError(f"{path}: the list is empty; put one sequence name on each line")
    return lines


def require_sequences(root: Path, names: Iterable[str], listed_in: object) -> None:
    """DataError that names the first sequence without a folder under `root`, and how many more there are."""
    missing = [name for name in names if not (root / name).is_dir()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(
            f"{root / missing[0]}: sequence listed in {listed_in} has no folder{more}; unpack it or shorten the list"
        )


def picture_header(path: Path) -> tuple[tuple[int, int], str]:
    """((height, width), Pillow mode) of a picture, without decoding it.

    Raises:
        DecodingError: if the file is no picture.
    """
    try:
        with Image.open(path) as image:
            return (image.height, image.width), image.mode
    except (UnidentifiedImageError, OSError) as error:
        raise DecodingError(path, f"not a readable picture ({error}); {AGAIN}") from error


def read_frame(path: Path) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG channel first: (3, H, W) uint8 RGB; see `read_picture`."""
    import cv2

    picture = read_picture(path)
    planes = np.empty((3, *picture.shape[:2]), np.uint8)
    for channel in range(3):
        cv2.extractChannel(picture, channel, planes[channel])
    return planes


def read_mask(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Decode an indexed or 8-bit grey PNG: (H, W) uint8 of palette indices or grey values.

    Args:
        path: the PNG.
        size: (height, width) to bring it to by nearest pixel where it differs; readers refuse such masks unless
            told to tolerate them.

    Raises:
        DecodingError: if the file cannot be decoded.
        DataError: if it holds colours or 16-bit values.
    """
    try:
        with Image.open(path) as image:
            check_mask_mode(path, image.mode)
            if size is None or image.size == size[::-1]:
                return np.array(image, dtype=np.uint8)
            return np.array(image.resize(size[::-1], Image.Resampling.NEAREST), dtype=np.uint8)
    except (OSError, SyntaxError) as error:
        raise DecodingError(path, f"cannot be decoded as a mask ({error}); {AGAIN}") from error


def check_mask_mode(path: Path, mode: str) -> None:
    """DataError unless a picture of this Pillow mode can hold object ids: palette, 8-bit grey or 1 bit."""
    if mode in ("P", "L", "1"):
        return
    if mode.startswith("I"):
        raise DataError(
            f"{path}: 16-bit mask; ids above 254 cannot be followed (255 is void): split the objects over several "
            "sequences and save 8-bit indexed PNGs"
        )
    if mode == "RGB" and _has_palette_colours(path):
        raise DataError(
            f"{path}: RGB mask in the colours of the DAVIS palette; save it as an indexed PNG (mode P), where each "
            "pixel holds the number of its colour in that palette"
        )
    raise DataError(f"{path}: mask of mode {mode}; expected an indexed or 8-bit grey PNG whose values are object ids")


def check_masks(
    masks: Mapping[int, Path],
    frames: tuple[Path, ...],
    tolerance: int = 0,
    remedy: str = "take frames and masks from the same resolution",
) -> None:
    """Check by their headers that masks can hold ids and are as large as their frames.

    Args:
        masks: frame number → mask.
        frames: all frames in time order.
        tolerance: largest difference of height and of width, pixels.
        remedy: what to do about another size.

    Raises:
        DataError: naming the first mask that is not so.
    """
    for t, mask in masks.items():
        (height, width), mode = picture_header(mask)
        check_mask_mode(mask, mode)
        (frame_height, frame_width), _ = picture_header(frames[t])
        if max(abs(height - frame_height), abs(width - frame_width)) > tolerance:
            raise DataError(
                f"{mask}: mask is {width} × {height} px, its frame {frames[t].name} {frame_width} × {frame_height}; "
                f"{remedy}"
            )


def _has_palette_colours(path: Path) -> bool:
    with Image.open(path) as image:
        colours = {colour for _, colour in image.getcolors(maxcolors=256) or []}
    return bool(colours) and colours <= {tuple(colour) for colour in davis_palette().tolist()}
