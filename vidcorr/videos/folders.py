"""Names in a folder: which names are data, and the order of frames."""

import os
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from .files import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".jpe", ".png")
"""Suffixes of frames and masks, in small letters."""
PHOTO_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Suffixes of single images, torchvision's."""
OTHER_SUFFIXES: tuple[str, ...] = (".arw", ".avif", ".cr2", ".dcm", ".dng", ".exr", ".gif", ".heic", ".heif", ".jp2")
OTHER_SUFFIXES += (".jxl", ".mha", ".nef", ".nii", ".nii.gz", ".tga", ".zarr")
"""Suffixes of further pictures, and of containers of medicine and film, which are named where no frames are found."""
_DIGITS = str.maketrans("0123456789", "#" * 10)


def is_data(name: str) -> bool:
    """Return True if a file or folder of this name is data: not hidden, and not macOS's `__MACOSX`.

    All readers of folders use this rule. A name that begins with a dot is hidden.

    Example:
        >>> [name for name in ("00000.png", "._00000.png", ".git", "__MACOSX") if is_data(name)]
        ['00000.png']
    """
    return not name.startswith(".") and name != "__MACOSX"


def is_photo(name: str) -> bool:
    """Return True for the file name of a single image, which may be of more kinds than a frame.

    Example:
        >>> is_photo("dog.WEBP"), is_photo(".dog.jpg")
        (True, False)
    """
    return is_data(name) and name.lower().endswith(PHOTO_SUFFIXES)


def names_in(folder: str | os.PathLike[str]) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files in a folder that are data, sorted as text.

    A link is what it points to; a broken link with a suffix is a file, which fails when it is read. Pipes, sockets and
    devices are no data: reading them may never end. A folder that does not exist holds nothing.

    Raises:
        DataError: for a broken link without a suffix, which would be a folder that is missing without a word.
        OSError: if the folder exists and cannot be listed.
    """
    folders: list[str] = []
    files: list[str] = []
    if not os.path.isdir(folder):
        return folders, files
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_data(entry.name):
                continue
            target = Path(entry) if entry.is_symlink() else entry  # an entry raises for links in a circle
            if target.is_dir():
                folders.append(entry.name)
            elif target.is_file() or not os.path.exists(entry):
                if entry.is_symlink() and not target.is_file() and not os.path.splitext(entry.name)[1]:
                    raise DataError(f"{entry.path}: a link to {os.readlink(entry)}, which does not exist")
                files.append(entry.name)
    return sorted(folders), sorted(files)


def list_data(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the files and folders in a folder, in natural order, without hidden ones and `__MACOSX`.

    The list is empty if the folder does not exist.

    Raises:
        OSError: if the folder exists and cannot be listed.
    """
    folders, files = names_in(folder)
    return [Path(folder, name) for name in sorted(folders + files, key=natural_order)]


def list_folders(folder: str | os.PathLike[str]) -> list[str]:
    """Return the names of the folders in a folder, in natural order, without hidden ones and `__MACOSX`.

    The list is empty if the folder does not exist.

    Raises:
        OSError: if the folder exists and cannot be listed.
    """
    folders, _ = names_in(folder)
    return sorted(folders, key=natural_order)


def list_images(folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return a folder's frames or masks, sorted by their names: JPEG or PNG files of one extension.

    Returns:
        The files; () if the folder does not exist.

    Raises:
        DataError: naming a picture of another format if none is a JPEG or PNG; a copy (`00003 (1).png` beside
            `00003.png`); two files of different extensions; or two whose order differs as text and by number (9, 10).
    """
    return tuple(Path(folder, name) for name in sorted_image_names(folder))


def sorted_image_names(folder: str | os.PathLike[str]) -> list[str]:
    """Return the names of a folder's frames or masks, sorted; `list_images` returns the same files as paths.

    Raises:
        DataError: naming a picture of another format if none is a JPEG or PNG; or for files that are no single series:
            a copy, two extensions, or an order that differs as text and by number.
    """
    folders, listed = names_in(folder)
    names = [name for name in listed if name.lower().endswith(IMAGE_SUFFIXES)]
    if not names:
        refuse_other_pictures(folder, () if folders else listed)
    patterns = {name.translate(_DIGITS) for name in names}  # each digit becomes "#"
    # names that differ only in digits at the same places are a series, unless a minus turns their order
    if len(patterns) != 1 or names[0].startswith("-"):
        _require_one_series(folder, [Path(folder, name) for name in names])
    return names


def _require_one_series(folder: str | os.PathLike[str], files: Sequence[Path]) -> None:
    """Raise `DataError` for a copy of a file, two extensions, or an order that differs as text and by number."""
    stems = {file.stem for file in files}
    for file in files:
        original = re.sub(r"( \([0-9]+\)| copy)$", "", file.stem)
        if original != file.stem and original in stems:
            raise DataError(f"{file}: a copy of {original}{file.suffix}; remove it")
    for file in files:
        if file.suffix != files[0].suffix:
            raise DataError(f"{folder}: files of two extensions ({files[0].name}, {file.name})")
    files_by_number = sorted(files, key=lambda file: _numeric_order(file.stem))
    for file, by_number in zip(files, files_by_number, strict=True):
        if file != by_number:
            told = f"the order of {file.name} and {by_number.name} as text and by number differs"
            raise DataError(f"{folder}: {told}; pad the numbers with zeros to one length")


def refuse_other_pictures(folder: str | os.PathLike[str], names: Iterable[str]) -> None:
    """Raise `DataError` if a folder without frames, or one of its files, has the name of pictures in another format."""
    for name in ("", *names):
        path = Path(folder, name)
        if path.name.lower().endswith(PHOTO_SUFFIXES + OTHER_SUFFIXES):
            raise DataError(f"{path}: frames and masks are .jpg, .jpeg or .png files; convert it, frames into a folder")


def _require_order(folder: str | os.PathLike[str], names: Sequence[str]) -> None:
    """Refuse names of images that give a video's frames no order.

    Two forms of names give an order: all names have the same text but for their digits (`12-59-00`); or all have the
    same beginning, followed by a number that no other name has (`v_0001_jpg.rf.5a0c`).

    Raises:
        DataError: naming two of the files.
    """
    stems = [os.path.splitext(name)[0] for name in names]
    # the forms in their order
    if len({re.sub("[0-9]+", "#", stem) for stem in stems}) > 1 and len(set(_numbers_in(stems))) < len(stems):
        others = f"{names[0]} and {names[-1]} have no order by number"
        raise DataError(f"{folder}: {others}: separate images, not the frames of a video")


def frame_numbers(names: Sequence[str]) -> Sequence[int]:
    """Return the numbers of a video's frames: those in their names if they ascend, else positions from 0.

    Example:
        >>> frame_numbers(["v_0001.jpg", "v_0011.jpg"]), frame_numbers(["12-59.jpg", "13-00.jpg", "13-01.jpg"])
        ([1, 11], range(0, 3))
    """
    numbers = _numbers_in([os.path.splitext(name)[0] for name in names])
    is_ascending = all(earlier < later for earlier, later in pairwise(numbers))
    return numbers if is_ascending and len(numbers) == len(names) else range(len(names))


def _numbers_in(stems: Sequence[str]) -> list[int]:
    """Return the number of each name behind their common beginning, of the names that have one."""
    start = os.path.commonprefix(stems).rstrip("0123456789")  # noqa: RUF071 - of names, not of paths
    return [int(number[0]) for stem in stems if (number := re.match("[0-9]+", stem[len(start) :]))]


def list_frames(folder: Path) -> tuple[Path, ...]:
    """Return the frames of a sequence, sorted by their names: JPEG or PNG files of one extension.

    Raises:
        DataError: if the folder does not exist, has fewer than two frames, or their names give no order; and for the
            same faults as `list_images`.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    # the names are cached until the folder changes
    return tuple(folder / name for name in frame_names(os.fspath(folder), os.stat(folder).st_mtime_ns))


@lru_cache(4096)
def frame_names(folder: str, modified_ns: int) -> tuple[str, ...]:
    """Return the names of a video's frames, sorted; a folder is listed again only if it has changed since.

    Args:
        modified_ns: time of the folder's last change; another time makes a new entry in the cache.

    Raises:
        DataError: if there are fewer than two frames, or their names give no order; and for the same faults as
            `list_images`.
    """
    names = sorted_image_names(folder)
    if len(names) < 2:
        raise DataError(f"{folder}: {len(names)} frame(s); a video needs at least 2")
    _require_order(folder, names)
    return tuple(names)


def _numeric_order(stem: str) -> list[Any]:
    """Return a sorting key: of a number, such as -2 or -1.5, its value; of another name the key of `natural_order`."""
    if re.fullmatch(r"-?[0-9]+([.][0-9]+)?", stem):
        return ["", float(stem)]  # the form of `natural_order`: text, number, text, …
    return natural_order(stem)


def natural_order(name: str) -> list[Any]:
    """Return a sorting key that compares runs of digits as numbers."""
    parts: list[Any] = re.split(r"(\d+)", name)  # text, digits (of any script), text, …
    for place in range(1, len(parts), 2):
        parts[place] = int(parts[place])
    return parts
