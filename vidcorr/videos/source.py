"""Sources of training videos: files and folders of frames, in a stable order."""

import hashlib
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .container import VIDEO_SUFFIXES
from .decoding import VideoFile
from .files import PAGES, DataError, list_lines
from .folders import IMAGE_SUFFIXES, PHOTO_SUFFIXES, is_data, is_image_name, is_photo, list_images, natural_order
from .images import image_size, read_image, require_size

FRAME_RATE = 24.0
"""Frames per second of a folder of images, and of a video file without a rate."""
WORDNET_NAME = re.compile(r"n[0-9]{8}_[0-9]+")
UNREAD_VIDEOS = (".apng", ".avif", ".dv", ".gif", ".mj2", ".ogm", ".rm", ".rmvb", ".swf")
"""Suffixes of moving pictures that are not read: a source warns of them."""
FOLDERS_LOOKED_AT = 32
"""Folders of images in which a few headers are read, to tell frames of videos from separate images."""


@dataclass(frozen=True)
class VideoEntry:
    """A video of a source.

    Attributes:
        path: video file, or folder that directly holds the frames.
        label: class number from a list file.
    """

    path: Path
    label: int | None = None


class FrameFolder(AbstractContextManager["FrameFolder"]):
    """A folder of images as a video, in natural order (2.jpg before 10.jpg), with the interface of `VideoFile`.

    Args:
        path: folder that directly holds jpg or png files.

    Attributes:
        stems: file names of the images without their suffix, in order.
        num_frames: number of images, at least 2.

    Raises:
        DataError: if the folder holds fewer than two images, images of several kinds, or two images of the same stem.
    """

    frame_rate = FRAME_RATE
    truncation = ""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._files = list_images(path)
        self.stems = [file.stem for file in self._files]
        self.num_frames = len(self._files)
        kinds = {file.suffix.lower().replace("jpeg", "jpg") for file in self._files}
        if len(kinds) > 1:
            raise DataError(f"{path}: frames of several kinds ({', '.join(sorted(kinds))}); keep one kind per folder")
        if self.num_frames < 2:
            raise DataError(f"{path}: {self.num_frames} frame(s); a folder of frames needs at least 2")

    def __exit__(self, *error: object) -> None:
        return None

    def frames(self, start: int = 0, every: int = 1) -> Iterator[np.ndarray]:
        """Iterate over the images in order, as `VideoFile.frames` does."""
        return map(read_image, self._files[start::every])

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Read images by index, as `VideoFile.read` does.

        Raises:
            DecodingError: naming the image that cannot be read, or differs in size from the folder's first image.
        """
        first_size = image_size(self._files[0])
        frames: dict[int, np.ndarray] = {}
        for i in sorted(set(indices)):
            file = self._files[min(i, self.num_frames - 1)]
            frames[i] = read_image(file)
            require_size(file, frames[i].shape, first_size)
        return [frames[i] for i in indices]

    def require_one_size(self) -> None:
        """Compare the sizes in the headers of all images.

        Raises:
            DecodingError: naming an image that cannot be read, or differs in size from the first image.
        """
        first_size = image_size(self._files[0])
        for file in self._files:
            require_size(file, image_size(file), first_size)


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


def list_videos(source: str | os.PathLike[str], strict: bool = True) -> tuple[VideoEntry, ...]:
    """List the videos of a source without opening them.

    Args:
        source: folder or list file. A folder is searched for video files and for folders that directly hold images; a
            folder of images without video files is a video. Links are followed; no folder is entered twice. A list
            (.txt, .csv) has a path per line, absolute or relative to the list, with an optional class number after a
            space, a tab or a comma. Empty lines and lines that start with # are left out.
        strict: check that listed files exist and that folders of frames hold at least two images of the same kind.

    Returns:
        The videos: of a folder in natural order of their paths, of a list in its order.

    Raises:
        DataError: if there is no video, or a line names a missing file or no video; the message quotes three lines.

    Warns:
        About folders that cannot be listed, and about videos and frames of kinds that are not read, such as GIF.

    Example:
        A line `clips/my dog.mp4 3` is the file `my dog.mp4` with class 3.
    """
    root = Path(source).expanduser()
    if root.is_dir():
        entries = _list_folder(root, strict)
    else:
        entries = _list_file(_list_of(root, "videos"), _require_video if strict else None)
    _require_frames(root, [entry.path for entry in entries if entry.path.is_dir()])
    return tuple(entries)


def list_images_of(source: str | os.PathLike[str]) -> tuple[VideoEntry, ...]:
    """List the single images of a source, for example of a folder per class, without opening them.

    Args:
        source: folder, searched for images of any depth; or a list (.txt, .csv) with a path per line, absolute or
            relative to the list, and an optional class number.

    Returns:
        The images: of a folder in natural order of their paths, of a list in its order.

    Raises:
        DataError: if there is no image, or a line names a missing file or no image.
    """
    root = Path(source).expanduser()
    if not root.is_dir():
        return tuple(_list_file(_list_of(root, "images"), _require_image))
    paths: list[Path] = []
    for folder, files in _folders(root):
        paths += [Path(folder, name) for name in files if is_photo(name)]
    if not paths:
        raise DataError(f"{root}: no images here; expected {' '.join(PHOTO_SUFFIXES)} files")
    return tuple(_in_natural_order(paths))


def _list_of(path: Path, things: str) -> Path:
    """Return the path of a list file, if it is one.

    Raises:
        DataError: if the path does not exist, or has another suffix.
    """
    if not path.exists():
        raise DataError(f"{path}: no such folder or list file; {PAGES}")
    if path.suffix.lower() not in {".txt", ".csv"}:
        raise DataError(f"{path}: a source is a folder of {things}, or a list of them in a .txt or .csv file")
    return path


def _require_frames(source: Path, folders: Sequence[Path]) -> None:
    """Refuse folders of separate images, for example a folder per class, which would be taken for videos.

    Frames of a video have numbered names of one pattern and one size. Sizes are read from a few headers of a few
    folders.

    Raises:
        DataError: naming a folder and the remedy.
    """
    step = max(1, len(folders) // FOLDERS_LOOKED_AT)
    for folder in folders[::step]:
        files = list_images(folder)
        patterns = {re.sub("[0-9]+", "#", file.stem) for file in files}
        reason = ""
        if len(patterns) > max(1, len(files) // 4):
            reason = f"names of {len(patterns)} patterns, such as {files[0].name} and {files[-1].name}"
        elif files and WORDNET_NAME.fullmatch(files[0].stem):
            reason = f"ImageNet's names, such as {files[0].name}"
        else:
            looked_at = files[:: max(1, len(files) // 6)]
            sizes = set(map(_size_or_none, looked_at)) - {None}
            if len(sizes) > 2:
                reason = f"images of {len(sizes)} or more sizes"
        if reason:
            raise DataError(
                f"{source}: {folder} holds {reason}: separate images, not the frames of a video; train on images with "
                "--data ImageClipDataModule, or name frames by their number and leave other images out"
            )


def _size_or_none(file: Path) -> tuple[int, int] | None:
    """Return the size in an image's header; None for a broken image, which is named when it is read."""
    try:
        return image_size(file)
    except DataError:
        return None


def hashed_rank(seed: int, name: str) -> bytes:
    """Return a key to sort names by, which depends on the seed and the name only."""
    return hashlib.blake2b(f"{seed} {name}".encode(errors="surrogateescape")).digest()


def _list_folder(root: Path, strict: bool) -> list[VideoEntry]:
    paths: list[Path] = []
    unread: Counter[str] = Counter()
    for folder, files in _folders(root):
        videos = [Path(folder, name) for name in files if _is_video(name)]
        if not videos and any(map(is_image_name, files)):
            videos = [Path(folder)]
        paths += videos
        unread += _unread_kinds(files, is_video=bool(videos))
    told = ", ".join(f"{count} {suffix}" for suffix, count in sorted(unread.items()))
    if not paths:
        kinds = " ".join(sorted(VIDEO_SUFFIXES))
        found = f" but {told}" if told else ""
        raise DataError(f"{root}: no videos here{found}; expected {kinds} files or folders of jpg or png frames")
    if told:
        warnings.warn(f"{root}: {told} left out, not read here; convert them, for example by ffmpeg", stacklevel=4)
    _refuse_folders_beside_frames(paths)
    for path in paths:
        if strict and path.is_dir():
            FrameFolder(path)
    return _in_natural_order(paths)


def _unread_kinds(files: Iterable[str], is_video: bool) -> Counter[str]:
    """Count the files of a folder that may be videos or frames but are not read, by their suffix.

    Args:
        files: names.
        is_video: the folder is a video or holds video files, so that its pictures may be thumbnails.
    """
    kinds = set(UNREAD_VIDEOS)
    if not is_video:
        kinds |= set(PHOTO_SUFFIXES) - IMAGE_SUFFIXES
    suffixes = [os.path.splitext(name)[1].lower() for name in files if is_data(name)]
    return Counter(suffix for suffix in suffixes if suffix in kinds)


def _in_natural_order(paths: Sequence[Path]) -> list[VideoEntry]:
    return list(map(VideoEntry, sorted(paths, key=lambda path: natural_order(path.as_posix()))))


def _refuse_folders_beside_frames(paths: Sequence[Path]) -> None:
    """Refuse a folder that holds frames, and a video in a folder below: the latter may be masks or an old copy.

    Raises:
        DataError: naming the video below.
    """
    folders = {path for path in paths if path.is_dir()}
    for path in paths:
        for above in path.parents:
            if above in folders and len(list_images(above)) > 1:
                raise DataError(
                    f"{above}: holds frames, and the video {path} lies below it; move one of them elsewhere"
                )


def _folders(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Visit every folder that is data once, with its file names; links are followed."""

    def warn(error: OSError) -> None:
        warnings.warn(f"{error.filename}: left out, cannot be listed ({error.strerror})", stacklevel=5)

    seen: set[str] = set()
    for folder, folders, files in os.walk(root, onerror=warn, followlinks=True):
        folders[:] = sorted(filter(is_data, folders))
        place = os.path.realpath(folder)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        yield folder, sorted(files)


def _list_file(path: Path, require: Callable[[Path], None] | None) -> list[VideoEntry]:
    """Read a list; `require` refuses a path, None takes every path."""
    entries: list[VideoEntry] = []
    wrong: list[str] = []
    for number, line in list_lines(path, errors="surrogateescape"):
        try:
            entries.append(_entry(line, path.parent, require))
        except DataError as error:
            wrong.append(f"line {number}: {error}")
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise DataError(f"{path}: {'; '.join(wrong[:3])}{more}")
    if not entries:
        raise DataError(f"{path}: the list is empty; write one path per line")
    labelled = sum(entry.label is not None for entry in entries)
    if labelled not in (0, len(entries)):
        raise DataError(f"{path}: {labelled} of {len(entries)} lines have a label; give all lines a label, or none")
    return entries


def list_line(path: str, label: int | None) -> str:
    """Return a line of a list file for `list_videos`; start relative paths with `./`, as `#` starts a comment."""
    return path if label is None else f"{path} {label}"


def fits_in_list(path: str) -> bool:
    """Return whether a line of a list file can hold a path: it has no line break, and no space at its ends."""
    return path.strip().splitlines() == [path]


def _entry(line: str, folder: Path, require: Callable[[Path], None] | None) -> VideoEntry:
    """Read a line as a path if the file exists, else as a path and a label."""
    label = None
    path = folder / line
    if not os.path.exists(path):
        match = re.fullmatch(r"(.+?)\s*[\s,;]\s*(-?[0-9]{1,18})", line)
        if match:
            path = folder / match[1].strip("\"'")
            label = int(match[2])
        else:
            path = folder / line.strip("\"'").rstrip(",")
    if require is not None:
        if not os.path.exists(path):
            raise DataError(f"no such file {path}")
        require(path)
    return VideoEntry(path, label)


def _require_video(path: Path) -> None:
    """Refuse a path that is neither a video by its name nor a folder of frames."""
    if path.is_dir():
        FrameFolder(path)
    elif not _is_video(path.name):
        raise DataError(f"{path} is not a video by its name; known suffixes are {' '.join(sorted(VIDEO_SUFFIXES))}")


def _require_image(path: Path) -> None:
    """Refuse a path that is not an image by its name."""
    if not is_photo(path.name):
        raise DataError(f"{path} is not an image by its name; known suffixes are {' '.join(PHOTO_SUFFIXES)}")


def _is_video(name: str) -> bool:
    return is_data(name) and os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES
