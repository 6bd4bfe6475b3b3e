"""Sources of training videos: files and folders of frames, in a stable order."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .annotations import annotation_folders
from .container import VIDEO_SUFFIXES
from .decoding import VideoFile
from .files import DataError, list_lines
from .folders import (
    IMAGE_SUFFIXES,
    image_names,
    is_data,
    is_photo,
    names_in,
    natural_order,
    refuse_other_pictures,
    require_order,
)
from .images import image_size, largest_of_16_bits, read_image, require_size

_VIDEOS = " ".join(sorted(VIDEO_SUFFIXES))
FRAME_RATE = 24.0
"""Frames per second of a folder of images, and of a video file without a rate."""


@dataclass(frozen=True)
class SourceEntry:
    """An entry of a source: a video, or a single image for `ImageClipDataModule`.

    Attributes:
        path: video file, folder that directly holds the frames, or image file.
        label: class number from a list file.
    """

    path: Path
    label: int | None = None


class Listing(NamedTuple):
    """The videos or images of a source, and the folders of annotations beside them, which are neither."""

    entries: tuple[SourceEntry, ...]
    annotations: tuple[Path, ...] = ()

    def left_out(self) -> str:
        """Return in words how many folders of annotations are left out; empty if there are none."""
        if not self.annotations:
            return ""
        return f"{len(self.annotations)} folders of annotations are left out, such as {min(self.annotations)}"


class FrameFolder(AbstractContextManager["FrameFolder"]):
    """A folder of images as a video, in the order of `list_images`, with the interface of `VideoFile`.

    Args:
        path: folder that directly holds jpg or png files.

    Attributes:
        num_frames: number of images, at least 2.

    Raises:
        DataError: if the folder holds fewer than two images or names of several patterns, or `list_images` refuses it.
    """

    frame_rate = FRAME_RATE

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._names = _frames_of(os.fspath(path), os.stat(path).st_mtime_ns)
        self.num_frames = len(self._names)

    def __exit__(self, *error: object) -> None:
        return None

    @property
    def stems(self) -> list[str]:
        """File names of the images without their suffix, in order."""
        return [os.path.splitext(name)[0] for name in self._names]

    def frames(self, start: int = 0) -> Iterator[np.ndarray]:
        """Iterate over the images in order, as `VideoFile.frames` does."""
        return map(read_image, map(self._file, range(start, self.num_frames)))

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Read images by index, as `VideoFile.read` does.

        Raises:
            DecodingError: naming the image that cannot be read, or differs in size from the folder's first image.
        """
        first_size = image_size(self._file(0))
        frames: dict[int, np.ndarray] = {}
        for i in sorted(set(indices)):
            frames[i] = read_image(self._file(i), size=first_size)
        return [frames[i] for i in indices]

    def notes(self) -> list[str]:
        """Return what the frames are not: of as many levels as their files have; one is decoded."""
        largest = largest_of_16_bits(self._file(0))
        if largest is None or largest >= 2**15:
            return []
        return [f"16-bit images up to {largest} alone are read as {largest // 256 + 1} of 256 levels: scale them"]

    def require_one_size(self) -> None:
        """Compare the sizes in the headers of all images.

        Raises:
            DecodingError: naming an image that cannot be read, or differs in size from the first image.
        """
        first_size = image_size(self._file(0))
        for file in map(self._file, range(self.num_frames)):
            require_size(file, image_size(file), first_size)

    def _file(self, index: int) -> str:
        """Return the path of an image; beyond the end, of the last."""
        return os.path.join(self.path, self._names[min(index, self.num_frames - 1)])


@lru_cache(4096)
def _frames_of(folder: str, changed: int) -> tuple[str, ...]:
    """Return the names of a video's frames, listed once per process and state of the folder.

    Raises:
        DataError: as `FrameFolder`.
    """
    names = image_names(folder)
    if len(names) < 2:
        raise DataError(f"{folder}: {len(names)} frame(s); a folder of frames needs at least 2")
    require_order(folder, names)
    return tuple(names)


OpenedVideo = VideoFile | FrameFolder


def open_video(path: str | os.PathLike[str], timeout: float = 60.0, table: bool = True) -> OpenedVideo:
    """Open a video file or a folder of frames: context managers with `num_frames`, `read(indices)` and `frames()`.

    Args:
        path: video file, or folder that directly holds the frames.
        timeout: seconds allowed for opening or reading a file.
        table: read the times of all frames first, which `read` needs to seek; `frames` needs no table.

    Raises:
        DataError: if the path is neither.
    """
    return FrameFolder(path) if os.path.isdir(path) else VideoFile(path, timeout, table)


def list_videos(source: str | os.PathLike[str], strict: bool = True) -> Listing:
    """List the videos of a source without opening them.

    Nor are the frames of a folder counted: 240,000 folders on a shared disk take minutes. A sample that meets a folder
    of one frame, or of separate images, names it.

    Args:
        source: folder, list file or video file. A folder is searched for video files and for folders that directly hold
            images; a folder of images without video files is a video, unless it holds annotations
            (`annotation_folders`). Links are followed; no folder is entered twice.
            A list (.txt) has a path per line, absolute or relative to the list, and may have a class number after a
            space.
        strict: check that listed files exist, and that the first folder of frames is a video.

    Returns:
        The videos: of a folder in natural order of their paths, of a list in its order; and the folders of annotations
        that a folder holds. A list says itself what is a video.

    Raises:
        DataError: if there is no video, a line names a missing file or no video, or a video lies below frames.

    Example:
        A line `clips/my dog.mp4 3` is the file `my dog.mp4` with class 3.
    """
    root = Path(source).expanduser()
    annotations: tuple[Path, ...] = ()
    if root.is_dir():
        entries, annotations = _videos_below(root)
    elif _is_video(root.name) and root.is_file():
        return Listing((SourceEntry(root),))
    else:
        entries = tuple(_read_list(root))
        for entry in entries if strict else ():
            is_file = _is_video(entry.path.name) and os.path.lexists(entry.path)
            if not is_file and not entry.path.is_dir():
                raise DataError(f"{root}: {entry.path} is no folder of frames and no video file ({_VIDEOS})")
    first_folder = next((entry.path for entry in entries if not _is_video(entry.path.name)), None)
    if strict and first_folder is not None:
        FrameFolder(first_folder)  # refuses a folder that is no video
    return Listing(entries, annotations)


def list_single_images(source: str | os.PathLike[str]) -> Listing:
    """List the single images of a source, for example of a folder per class, without opening them.

    Args:
        source: folder, searched for images of any depth; or a list (.txt) as for `list_videos`.

    Returns:
        The images: of a folder in natural order of their paths, of a list in its order; and the folders of annotations
        that a folder holds.

    Raises:
        DataError: if the source is neither, or a line of a list names no image.
    """
    root = Path(source).expanduser()
    if root.is_dir():
        images_of: dict[Path, list[str]] = {}
        for folder, files in _folders(root, set()):
            images_of[folder] = list(filter(is_photo, files))
        annotations = annotation_folders(root, images_of)
        paths: list[Path] = []
        for folder in images_of.keys() - annotations:
            paths += [Path(folder, name) for name in images_of[folder]]
        return Listing(tuple(_in_natural_order(paths)), tuple(annotations))
    entries = tuple(_read_list(root))
    for entry in entries:
        if not is_photo(entry.path.name):  # a clip of a video would be no views of one image
            raise DataError(f"{root}: {entry.path} is no image")
    return Listing(entries)


def hashed_rank(seed: int, name: str) -> bytes:
    """Return a key to sort names by, which depends on the seed and the name only."""
    return hashlib.blake2b(f"{seed} {name}".encode(errors="surrogateescape")).digest()


def _videos_below(root: Path) -> Listing:
    """Return the video files and the folders of frames below a folder; images beside several videos are no frames."""
    paths: list[Path] = []
    frames_of: dict[Path, list[str]] = {}
    for folder, files in _folders(root, set()):
        videos = [Path(folder, name) for name in files if _is_video(name)]
        images = [name for name in files if name.lower().endswith(IMAGE_SUFFIXES)]
        paths += videos
        if len(videos) == 1:
            _refuse_preview(videos[0], images)
        if images and not videos:
            frames_of[folder] = images
    annotations = annotation_folders(root, frames_of)
    frame_folders = frames_of.keys() - annotations
    paths += frame_folders
    if not paths and annotations:
        raise DataError(f"{root}: holds annotations alone, such as {min(annotations)}; give the folder of the frames")
    if not paths:
        for folder, files in _folders(root, set()):
            refuse_other_pictures(folder, files)
        raise DataError(f"{root}: no folders of frames and no video files here ({_VIDEOS})")
    for path in paths:
        above = frame_folders.intersection(path.parents)
        if above:  # the video below may be masks or an old copy
            raise DataError(f"{min(above)}: holds frames, and the video {path} lies below it")
    return Listing(tuple(_in_natural_order(paths)), tuple(annotations))


def _refuse_preview(video: Path, images: Sequence[str]) -> None:
    """Refuse the one video file of a folder beside the frames of a video; pictures named as the file show it.

    Raises:
        DataError: naming both.
    """
    frames = [name for name in images if not name.startswith(video.stem)]
    numbered = {re.sub("[0-9]+", "#", name) for name in frames}
    if len(frames) > 1 and len(numbered) == 1:
        beside = f"lies beside {len(frames)} images in order, such as {frames[0]}"
        raise DataError(f"{video}: {beside}: which is the video? Move one of them to a folder of its own")


def _in_natural_order(paths: Sequence[Path]) -> list[SourceEntry]:
    return list(map(SourceEntry, sorted(paths, key=lambda path: natural_order(path.as_posix()))))


def _folders(folder: Path, seen: set[str]) -> Iterator[tuple[Path, list[str]]]:
    """Visit each folder that is data once, with the names of its files; links are followed."""
    place = os.path.realpath(folder)
    if place in seen:
        return
    seen.add(place)
    folders, files = names_in(folder)
    yield folder, files
    for name in folders:
        yield from _folders(folder / name, seen)


def _read_list(path: Path) -> list[SourceEntry]:
    """Read a list (.txt) of paths, all with a class number or none."""
    if path.suffix != ".txt":
        raise DataError(f"{path}: not a folder or a list (.txt) of paths")
    entries = [_entry(line, path.parent) for _, line in list_lines(path, errors="surrogateescape")]
    if not entries:
        raise DataError(f"{path}: the list is empty")
    labelled = sum(entry.label is not None for entry in entries)
    if labelled not in (0, len(entries)):
        raise DataError(f"{path}: {labelled} of {len(entries)} lines have a label; give all lines a label, or none")
    return entries


def _entry(line: str, folder: Path) -> SourceEntry:
    """Read a line as a path if the file exists, else as a path and a label behind a space or a comma."""
    match = re.fullmatch(r"(.+)[ ,](-?[0-9]{1,18})", line)  # a label of 18 digits fits into int64
    if match is None or os.path.exists(folder / line):
        return SourceEntry(folder / line)
    return SourceEntry(folder / match[1].rstrip(" ,"), int(match[2]))


def _is_video(name: str) -> bool:
    return is_data(name) and os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES
