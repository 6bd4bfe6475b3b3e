"""Sources of training videos: files and folders of frames, in a stable order."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .addresses import file_name, is_address, names_below, read_address, store_of, user_place
from .annotations import annotation_folders
from .container import VIDEO_SUFFIXES
from .decoding import VideoFile
from .files import DataError, read_bytes, user_path
from .folders import IMAGE_SUFFIXES, frame_names, is_data, is_photo, names_in, natural_order, refuse_other_pictures
from .image_files import image_size, read_image

_VIDEOS = " ".join(sorted(VIDEO_SUFFIXES))
LABELLED = re.compile(r"(.+)[ ,](-?[0-9]{1,18})")
"""Line of a list: a path, and a label of up to 18 digits, which fits into int64."""
RESULTS = ({"prediction.json"}, {"results.json", "report.html"}, {"run.json", "config.yaml"})
"""Files of vidcorr by which a folder of results is known, which holds no videos for a training."""
FRAME_RATE = 24.0
"""Frames per second of a folder of images, and of a video file without a rate."""


class SourceEntry(NamedTuple):
    """An entry of a source: a video, or a single image for `ImageClipDataModule`.

    Attributes:
        file: path or address of the video file, or path of the folder that directly holds the frames, or of the image
            file. It is text: 240,000 objects of `Path` would take seconds to make and to sort.
        label: class number from a list file.
    """

    file: str
    label: int | None = None


class Listing(NamedTuple):
    """The videos or images of a source, and the annotations and results beside them, which are neither."""

    entries: tuple[SourceEntry, ...]
    annotations: tuple[Path, ...] = ()

    def left_out(self) -> str:
        """Return a sentence with the number of annotations and results that are left out."""
        return f"{len(self.annotations)} annotations or results are left out, such as {min(self.annotations)}"


class FrameFolder(AbstractContextManager["FrameFolder"]):
    """A folder of images as a video, in the order of `list_images`, with the interface of `VideoFile`.

    Args:
        path: folder that directly holds jpg or png files.

    Attributes:
        names: file names of the images, in order.
        num_frames: number of images, at least 2.

    Raises:
        DataError: if the folder holds fewer than two images or names of several patterns, or `list_images` refuses it.
    """

    frame_rate = FRAME_RATE

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.names = frame_names(os.fspath(path), os.stat(path).st_mtime_ns)  # cached until the folder changes
        self.num_frames = len(self.names)

    def __exit__(self, *error: object) -> None:
        """Nothing is open."""

    def frames(self, start: int = 0) -> Iterator[np.ndarray]:
        """Iterate over the images from index `start` on, (H, W, 3) uint8 RGB.

        Raises:
            DecodingError: naming the image that cannot be read, or differs in size from the folder's first image.
        """
        first_size = image_size(self._file(0))
        return (read_image(self._file(i), size=first_size) for i in range(start, self.num_frames))

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Return an image (H, W, 3) uint8 RGB for each index; of one beyond the end the last image, by `_file`.

        Args:
            indices: zero-based, in any order, repeats allowed.

        Raises:
            DecodingError: naming the image that cannot be read, or differs in size from the folder's first image.
            ValueError: for an index below 0.
        """
        if min(indices, default=0) < 0:
            raise ValueError(f"need frame indices of 0 or more, got {list(indices)}")
        first_size = image_size(self._file(0))
        frames = {i: read_image(self._file(i), size=first_size) for i in sorted(set(indices))}
        return [frames[i] for i in indices]

    def notes(self) -> list[str]:
        """Return a sentence for the user if the first image has 16 bits and uses less than half of the levels.

        An image of 16 bits is read by its upper 8 bits, so few grey levels would be left.
        """
        import cv2

        image = cv2.imdecode(np.frombuffer(read_bytes(self._file(0)), np.uint8), cv2.IMREAD_UNCHANGED)
        if image is None or image.dtype != np.uint16 or (top := int(image.max())) >= 2**15:
            return []
        return [f"the first image, of 16 bits, ends at {top}: {top // 256 + 1} of 256 levels are read: scale"]

    def _file(self, index: int) -> str:
        """Return the path of the image with this index; beyond the end, as in a film, the path of the last image."""
        return os.path.join(self.path, self.names[min(index, self.num_frames - 1)])


OpenedVideo = VideoFile | FrameFolder


def open_video(path: str | os.PathLike[str], timeout: float = 60.0, table: bool = True) -> OpenedVideo:
    """Open a video file or a folder of frames: context managers with `num_frames`, `read(indices)` and `frames()`.

    Args:
        path: video file or its address, or folder that directly holds the frames.
        timeout: seconds allowed for opening or reading a file.
        table: read the times of all frames first, which `read` needs to seek; `frames` needs no table.

    Raises:
        DataError: if the path is neither a video file nor a folder of frames.
    """
    return FrameFolder(path) if os.path.isdir(path) else VideoFile(path, timeout, table)


def list_videos(source: str | os.PathLike[str], strict: bool = True) -> Listing:
    """List the videos of a source without opening them.

    The frames of a folder are not counted either: 240,000 folders on a shared disk take minutes. A folder of one frame,
    or of separate images, is refused when a sample is read from it.

    Args:
        source: folder, list file or video file, or its address. A folder is searched for video files and for folders
            that directly hold images; a folder of images without video files is a video, unless it holds annotations
            (`annotation_folders`). Links are followed; no folder is entered twice.
            A list (.txt) has a path or an address per line, absolute or relative to the list, and may have a class
            number after a space. Below an address only video files are found.
        strict: check that listed files exist, and that the first folder of frames is a video.

    Returns:
        The videos: of a folder in natural order of their paths, of a list in its order; and the folders of annotations
        and of results of vidcorr that a folder holds. In a list, every line is a video.

    Raises:
        DataError: if there is no video, a line names a missing file or no video, a folder of frames has a video in a
            folder below it, or the package for a scheme is not installed.
    """
    place = user_place(source)
    annotations: tuple[Path, ...] = ()
    if os.path.isdir(place):
        entries, annotations = _videos_below(Path(place))
    elif is_video(place) and (is_address(place) or os.path.isfile(place)):
        return Listing((SourceEntry(place),))
    elif is_address(place) and not file_name(place).endswith(".txt"):
        return _videos_at(place)
    else:
        entries = tuple(_read_list(place))
    files = [entry.file for entry in entries if not is_address(entry.file)]
    folders = [file for file in files if not is_video(file)]
    if strict and not os.path.isdir(place):  # a list, which may name what does not exist
        wrong = [file for file in files if not os.path.lexists(file)]
        wrong += [folder for folder in folders if not os.path.isdir(folder)]
        if wrong:
            raise DataError(f"{place}: {wrong[0]} is no folder of frames and no video file ({_VIDEOS})")
    if strict and folders:
        FrameFolder(folders[0])  # refuses a folder that is no video
    return Listing(entries, annotations)


def list_single_images(source: str | os.PathLike[str]) -> Listing:
    """List the single images of a source, for example of a folder per class, without opening them.

    Args:
        source: folder, searched for images of any depth; or a list (.txt) as for `list_videos`.

    Returns:
        The images: of a folder in natural order of their paths, of a list in its order; and the folders of annotations
        and masks (`dog_mask.png` beside `dog.jpg`) that a folder holds.

    Raises:
        DataError: if the source is neither a folder nor a list, or a line of a list names no image.
    """
    root = user_path(source)
    if root.is_dir():
        images_of = {folder: list(filter(is_photo, files)) for folder, files in _folders(root, set())}
        annotations = annotation_folders(root, images_of)
        paths: list[str] = []
        for folder in images_of.keys() - annotations:
            masks = {f"{os.path.splitext(name)[0]}_mask" for name in images_of[folder]}  # dog_mask.png beside dog.jpg
            files = [os.path.join(folder, name) for name in images_of[folder]]
            paths += [file for file in files if Path(file).stem not in masks]
            annotations |= {Path(file) for file in files if Path(file).stem in masks}
        return Listing(tuple(_in_natural_order(paths)), tuple(annotations))
    entries = tuple(_read_list(user_place(source)))
    for entry in entries:
        # a clip of a video would be no views of one image
        if is_address(entry.file) or not is_photo(os.path.basename(entry.file)):
            raise DataError(f"{source}: {entry.file} is no image on a disk")
    return Listing(entries)


def hashed_rank(seed: int, name: str) -> bytes:
    """Return a key to sort names by, which depends on the seed and the name only."""
    return hashlib.blake2b(f"{seed} {name}".encode(errors="surrogateescape")).digest()


def _videos_below(root: Path) -> Listing:
    """List the video files and the folders of frames below a folder.

    Images beside video files are no frames.

    Raises:
        DataError: if there is no video, or a video lies below a folder of frames.
    """
    paths: list[str] = []
    frames_of: dict[Path, list[str]] = {}  # folder without video files → names of its images
    results: set[Path] = set()
    for folder, files in _folders(root, set()):  # every folder from the root down
        if any(names <= set(files) for names in RESULTS):
            results.add(folder)
        if results and not results.isdisjoint((folder, *folder.parents)):
            continue
        videos = [os.path.join(folder, name) for name in files if is_video(name)]
        images = [name for name in files if name.lower().endswith(IMAGE_SUFFIXES)]
        paths += videos
        if images and not videos:
            frames_of[folder] = images
    annotations = annotation_folders(root, frames_of)
    frame_folders = frames_of.keys() - annotations
    annotations |= results
    paths += map(str, frame_folders)
    if not paths:
        if annotations:
            held = f"holds annotations or results alone, such as {min(annotations)}; give the folder of the frames"
            raise DataError(f"{root}: {held}")
        for folder, files in _folders(root, set()):
            refuse_other_pictures(folder, files)  # frames in another format get an error of their own
        raise DataError(f"{root}: no folders of frames and no video files here ({_VIDEOS})")
    path_in_folder = {os.path.dirname(path): path for path in paths}  # a path of each folder: its parents are the same
    for folder_of_path, path in path_in_folder.items():
        above = frame_folders & {Path(folder_of_path), *Path(folder_of_path).parents}
        if above:  # masks, or an old copy
            raise DataError(f"{min(above)}: holds frames, and the video {path} lies below it")
    return Listing(tuple(_in_natural_order(paths)), tuple(annotations))


def _in_natural_order(paths: Sequence[str]) -> list[SourceEntry]:
    return list(map(SourceEntry, sorted(paths, key=natural_order)))


def _folders(folder: Path, seen: set[str]) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder below a folder, itself first, with the names of its files; links are followed.

    Args:
        seen: real paths of the folders that were visited; they are not entered again. The set is changed.
    """
    place = os.path.realpath(folder)
    if place in seen:
        return
    seen.add(place)
    folders, files = names_in(folder)
    yield folder, files
    for name in folders:
        yield from _folders(folder / name, seen)


def _videos_at(address: str) -> Listing:
    """List the video files below an address, but those of vidcorr's results; raise DataError if there is none."""
    names = names_below(address)
    known, folders = set(names), set(map(os.path.dirname, names))
    results = [f for f in folders if any(all(os.path.join(f, name) in known for name in marks) for marks in RESULTS)]
    below = tuple(os.path.join(folder, "") for folder in results)
    videos = [name for name in names if is_video(name) and all(map(is_data, name.split("/")))]
    videos = [os.path.join(address, name) for name in videos if not name.startswith(below)]
    if not videos:
        raise DataError(f"{address}: no video files are listed here ({_VIDEOS}); give a list (.txt) of addresses")
    return Listing(tuple(_in_natural_order(videos)), tuple(map(Path, results)))


def folder_of(place: str) -> str:
    """Return a folder, or the folder of a list or a video, with a separator at its end; "" for the working directory.

    Args:
        place: path or address; an address is a folder's unless it has a suffix of lists or videos.
    """
    place = place.partition("?")[0] if is_address(place) else place
    is_file = place.lower().endswith((".txt", *VIDEO_SUFFIXES)) if is_address(place) else os.path.isfile(place)
    folder = os.path.dirname(place) if is_file else place
    return os.path.join(folder, "") if folder not in ("", ".") else ""


def _read_list(place: str) -> list[SourceEntry]:
    """Read a list (.txt) of paths or addresses: all of them have a class number, or none has.

    Raises:
        DataError: for another file, an empty list, labels on some lines alone, or a scheme without its package.
    """
    if not file_name(place).endswith(".txt"):
        exists = is_address(place) or os.path.exists(place)
        raise DataError(f"{place}: {'not a folder or a list (.txt) of paths' if exists else 'no such file or folder'}")
    content = read_address(place, 600.0) if is_address(place) else read_bytes(place)
    # "surrogateescape" keeps file names that are no UTF-8
    lines = map(str.strip, content.decode("utf-8-sig", "surrogateescape").splitlines())
    folder = folder_of(place)
    entries = [_entry(line, folder) for line in lines if line]
    for address in {entry.file.partition("://")[0]: entry.file for entry in entries if is_address(entry.file)}.values():
        store_of(address)  # refuses a scheme without its package
    if not entries:
        raise DataError(f"{place}: the list is empty")
    labelled = sum(entry.label is not None for entry in entries)
    if labelled not in (0, len(entries)):
        raise DataError(f"{place}: {labelled} of {len(entries)} lines have a label; give all lines a label, or none")
    return entries


def _entry(line: str, folder: str) -> SourceEntry:
    """Read a line of a list: a path, or a path and a label behind a space or a comma.

    A line that ends in a number is a path alone if it names a folder that exists, such as `clip 3`.

    Args:
        folder: the list's folder with a separator at its end; "" for the working directory.
    """
    match = LABELLED.fullmatch(line)
    if match is not None:
        path = match[1].rstrip(" ,")
        # a number behind a video file is a label; behind another path, unless the whole line is a path
        if is_video(path) or not os.path.exists(_joined(folder, line)):
            return SourceEntry(_joined(folder, path), int(match[2]))
    return SourceEntry(_joined(folder, line))


def _joined(folder: str, path: str) -> str:
    """Return a path below a folder as `Path` writes it, in a tenth of the time; another place stays as it is."""
    if is_address(path):
        return path
    is_plain = is_address(folder) or not re.search(r"^\.|/$|//|/\.", path)
    return os.path.join(folder, path) if is_plain and os.sep == "/" else str(Path(folder, path))


def is_video(name: str) -> bool:
    """Return whether a name, a path or an address has a suffix of video files and is data (`is_data`).

    Example:
        >>> is_video("clips/A.MP4"), is_video("clips/._a.mp4"), is_video("clips/a.jpg")
        (True, False, False)
    """
    name = file_name(name)
    return name.lower().endswith(VIDEO_SUFFIXES) and is_data(name)
