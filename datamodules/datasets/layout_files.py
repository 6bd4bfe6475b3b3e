"""Frames and lists of a benchmark's layout: finding and reading them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..reading.errors import DataError
from ..reading.guards import plain_name, read_json, read_text
from ..reading.source import list_images


def require_folder(path: Path, remedy: str) -> Path:
    """Return `path` if it is a folder.

    Raises:
        DataError: with the remedy, if it is not.
    """
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; {remedy}")
    return path


def list_frames(folder: Path) -> tuple[Path, ...]:
    """Return the images of a sequence, as `list_images`.

    Raises:
        DataError: if there are fewer than two.
    """
    frames = list_images(folder)
    if len(frames) < 2:
        raise DataError(f"{folder}: {len(frames)} frames; a sequence needs at least 2")
    return frames


def match_masks(folder: Path, frames: Sequence[Path]) -> dict[int, Path]:
    """Return frame number → mask, of the masks of a folder that are named after their frames.

    Raises:
        DataError: if a mask has no frame.
    """
    number = {frame.stem: t for t, frame in enumerate(frames)}
    found = list_images(folder)
    if stray := [mask for mask in found if mask.stem not in number]:
        raise DataError(f"{stray[0]}: mask without its frame in {frames[0].parent}; add the frame or remove the mask")
    return {number[mask.stem]: mask for mask in found}


def require_all_masks(folder: Path, masks: Mapping[int, Path], frames: Sequence[Path], remedy: str) -> None:
    """Check that every frame has a mask.

    Raises:
        DataError: naming the first frame without one.
    """
    if missing := [frame.name for t, frame in enumerate(frames) if t not in masks]:
        raise DataError(
            f"{folder}: {len(masks)} masks for {len(frames)} frames, the first without one is {missing[0]}; {remedy}"
        )


def read_list(path: Path, remedy: str) -> tuple[str, ...]:
    """Return the non-empty lines of a list file, stripped, in order, each once.

    Raises:
        DataError: if the file is missing, is not in UTF-8 or has no lines.
    """
    if not path.exists() or path.is_dir():
        raise DataError(f"{path}: no such list; {remedy}")
    lines = tuple(dict.fromkeys(line.strip() for line in read_text(path).splitlines() if line.strip()))
    if not lines:
        raise DataError(f"{path}: the list is empty; put one sequence name on each line")
    return lines


def read_names(path: Path, remedy: str) -> tuple[str, ...]:
    """Return the names of a list file, each of which must be the plain name of an entry of one folder.

    Raises:
        DataError: as `read_list` and `plain_name`.
    """
    return tuple(plain_name(line, path) for line in read_list(path, remedy))


def read_videos(path: Path) -> dict[str, Any]:
    """Return the videos of a metadata file, `{"videos": {<video>: {"objects": …}}}`.

    Raises:
        DataError: if it is not such a file.
    """
    content = read_json(path)
    videos = content.get("videos") if isinstance(content, dict) else None
    if not isinstance(videos, dict) or not all("objects" in dict(entry) for entry in videos.values()):
        raise DataError(f"{path}: not a metadata file; expected videos, each with its objects")
    return videos


def require_sequences(root: Path, names: Iterable[str], listed_in: object) -> None:
    """Check that every sequence of a list has a folder.

    Raises:
        DataError: naming the first one without a folder under `root`, and how many more there are.
    """
    missing = [name for name in names if not (root / name).is_dir()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(
            f"{root / missing[0]}: sequence listed in {listed_in} has no folder{more}; unpack it or shorten the list"
        )
