"""Names in a folder: which names are data, and the order of frames."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from .files import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
"""Suffixes of frames and masks, in small letters."""
PHOTO_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Suffixes of single images, torchvision's."""
LEFT_BY_PROGRAMS = frozenset(
    {
        "__macosx", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "@eadir", "@recycle",
        "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin", "recycler", "system volume information",
        "lost+found", "__pycache__", "@tmp", "picasa.ini", "network trash folder", "temporary items",
    }
)  # fmt: skip
"""Files and folders that systems, file servers and archives leave behind, in small letters."""
NUMBER_AT_END = re.compile(r"(|.*[^0-9.])(-?[0-9]+(?:[.][0-9]+)?)")
"""Name that ends in a number: the part before it, and the number, negative only if it is the whole name."""


def is_data(name: str) -> bool:
    """Return True if a file or folder of this name is data, not hidden and not left behind by another program.

    All readers of folders use this rule. A name that begins with a dot is hidden.

    Example:
        >>> [name for name in ("00000.png", "._00000.png", ".git", "__MACOSX", "Thumbs.db") if is_data(name)]
        ['00000.png']
    """
    return not name.startswith(".") and name.lower() not in LEFT_BY_PROGRAMS


def is_photo(name: str) -> bool:
    """Return True for the file name of a single image, which may be of more kinds than a frame."""
    return is_data(name) and name.lower().endswith(PHOTO_SUFFIXES)


def list_data(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the files and folders of a folder that are data, in natural order.

    Raises:
        OSError: if the folder cannot be listed.
    """
    names = sorted(filter(is_data, os.listdir(folder)), key=natural_order)
    return [Path(folder, name) for name in names]


def list_folders(folder: str | os.PathLike[str]) -> list[str]:
    """Return the names of the folders in a folder that are data, in natural order.

    Raises:
        OSError: if the folder cannot be listed.
    """
    return [path.name for path in list_data(folder) if path.is_dir()]


def is_image_name(name: str) -> bool:
    """Return True if a file of this name is a frame or a mask: a JPEG or PNG that `is_data`."""
    return is_data(name) and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def list_images(folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return a folder's JPEG and PNG files in the order of the numbers in their names.

    The order of frames and masks everywhere: 2.jpg comes before 10.jpg. Files that are not data are left out.

    Returns:
        The files; () if the folder does not exist.

    Raises:
        DataError: naming two files of the same stem (`00000.jpg` and `00000.png`), or of the same number in other
            spellings (`1.png` and `01.png`), or names with decimal fractions of different lengths (`0.5.png` and
            `0.25.png`) or negative numbers, whose order has two readings.
    """
    if not os.path.isdir(folder):
        return ()
    names = sorted(filter(is_image_name, os.listdir(folder)))
    order = {file: natural_order(file.stem) for file in map(Path(folder).joinpath, names)}
    files = sorted(order, key=order.__getitem__)
    for before, after in pairwise(files):
        if before.stem == after.stem:
            raise DataError(
                f"{folder}: {before.name} and {after.name} have the same stem; remove one or move it elsewhere"
            )
        if order[before] == order[after]:
            kinds = sorted({before.suffix.lower(), after.suffix.lower()})
            several = f" of several kinds ({', '.join(kinds)})" if len(kinds) > 1 else ""
            raise DataError(
                f"{folder}: {before.name} and {after.name} are files{several} of the same number, so their order is "
                "unclear; remove one, or pad all numbers with zeros to one length"
            )
    _refuse_decimals(folder, files)
    return tuple(files)


def _refuse_decimals(folder: str | os.PathLike[str], files: Sequence[Path]) -> None:
    """Refuse names that end in decimal fractions or are negative numbers, if their values have another order."""
    values: dict[Path, float] = {}
    prefixes: set[str] = set()
    for file in files:
        match = NUMBER_AT_END.fullmatch(file.stem)
        if match is None:
            return
        prefixes.add(match[1])
        values[file] = float(match[2])
    if len(prefixes) > 1:
        return
    by_value = sorted(files, key=values.__getitem__)
    for file, expected in zip(files, by_value, strict=True):
        if file != expected:
            raise DataError(
                f"{folder}: the order of {file.name} and {expected.name} is unclear; number the frames from 0, or pad "
                "the digits after the point with zeros to one length"
            )


def natural_order(name: str) -> list[Any]:
    """Return a sorting key that compares runs of digits as numbers.

    Example:
        >>> sorted(["10", "2", "img10", "img9"], key=natural_order)
        ['2', '10', 'img9', 'img10']
    """
    parts: list[Any] = re.split(r"(\d+)", name)  # digits of any script
    for place in range(1, len(parts), 2):
        parts[place] = int(parts[place])
    return parts
