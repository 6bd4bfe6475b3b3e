"""TAP-Vid in its released layouts, rewritten without pickle, or as a user's own videos with CSV files."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..reading.arrays import PickledArray, read_npz, read_pickle
from ..reading.container import VIDEO_SUFFIXES
from ..reading.errors import DataError, DecodingError
from ..reading.guards import read_text
from ..reading.images import AGAIN, decode_picture, decoded_size, opened_picture, require_size
from ..reading.source import natural_order, open_video
from .records import FrameSequence, Reader

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENTRY_KEYS = ("video", "points", "occluded")
COLUMNS = ("track", "frame", "x", "y", "occluded")

EXPECTED = (
    "expected a file of TAP-Vid (tapvid_davis.pkl, tapvid_rgb_stacking.pkl) or a folder of shards (0000_of_0010.pkl, "
    "robotap_split0.pkl), of .npz files (vidcorr unpickle), or of videos each with a .csv of its name"
)


Frames = Callable[[int], "NDArray[np.uint8]"]
"""Number of a frame → the frame, (H, W, 3) uint8 RGB, decoded when it is asked for; an error where its size differs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PointSequence(FrameSequence):
    """A video with points that are followed through it.

    Args:
        points: (N, T, 2) x, y as fractions of the picture: 0 is the left or upper edge of the first pixel, 1 the right
            or lower edge of the last. Hidden points may lie anywhere, NaN included.
        occluded: (N, T) bool, True where a point is hidden.
        pictures: the frames.
        tracks: names of the points; numbers where the data set has no names.
        masks: masks of the object that the points lie on, one for each frame, above 0 where it is; none where not
            known.
    """

    frames: tuple[Path, ...] = ()
    points: NDArray[Any]
    occluded: NDArray[np.bool_]
    pictures: Frames
    tracks: tuple[str, ...] = ()
    masks: tuple[Path, ...] = ()

    @property
    def num_frames(self) -> int:
        """Number of frames that are annotated, which are all that are read."""
        return int(self.occluded.shape[1])

    def frame(self, t: int) -> Tensor:
        """Return frame number `t` (zero-based): uint8 RGB (3, H, W).

        Raises:
            DecodingError: if the frame is truncated or no picture, or has another size than the others.
        """
        return torch.from_numpy(np.ascontiguousarray(self.pictures(t).transpose(2, 0, 1)))

    def area(self, t: int) -> float:
        """Return the area of the object in frame `t`, pixels of the frame; a mask of another size is scaled.

        Raises:
            DecodingError: if the mask is missing, truncated or no picture.
        """
        with opened_picture(self.masks[t], "mask") as image:
            pixels = np.asarray(image)
        covered = (pixels[..., :3] > 0).any(-1) if pixels.ndim == 3 else pixels > 0
        return float(covered.sum()) * self.size[0] * self.size[1] / covered.size

    def stored_frames(self) -> NDArray[Any]:
        """Return all frames as they are stored: uint8 (T, H, W, 3), or JPEG bytes (T,) padded to the longest."""
        if isinstance(self.pictures, _JpegFrames):
            return np.array([self.pictures.encoded(t) for t in range(self.num_frames)])
        return np.stack([self.pictures(t) for t in range(self.num_frames)])


class TapVid(Reader[PointSequence]):
    """The videos of a TAP-Vid set, with their tracks.

    Reads the released pickles of TAP-Vid-DAVIS, RGB-Stacking, Kinetics and RoboTAP without running anything that they
    hold, see `read_pickle`; what `vidcorr unpickle` made of them; or a folder of videos (files, or folders of frames)
    each with a CSV of the same name next to it. Frames stay on disk until they are asked for, one at a time.

    A video of a released set that is not named there is called by its number, `007`, and by its shard,
    `0003_of_0010-007`. A CSV has the columns `track,frame,x,y,occluded`: x and y in raster pixels of the video's own
    size (0.5 is the centre of the first pixel; both may be empty where occluded is 1), frames counted from 0. Frames
    without any line are left out of the sequence; in the others every track must have one.
    Paper: Doersch et al., TAP-Vid (NeurIPS 2022); Vecerik et al., RoboTAP (ICRA 2024).

    Args:
        root: the file, or the folder.

    Raises:
        DataError: one line naming the file and the video: nothing of these layouts, a damaged or hostile file, a
            missing key, arrays of another type or shape than TAP-Vid's, points in pixels, a truncated JPEG.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser()
        self._sequences = tuple(sequence for file in _files(self.root) for sequence in _sequences(file, self.root))
        names = [sequence.name for sequence in self._sequences]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(f"{self.root}: two videos are called {twice[0]}; give the file or folder of one data set")


def _files(root: Path) -> list[Path]:
    """Pickles, npz files or CSVs of a data set, in natural order."""
    if root.is_file():
        if root.suffix.lower() not in (".pkl", ".npz"):
            raise DataError(f"{root}: {EXPECTED}")
        return [root]
    if not root.is_dir():
        raise DataError(f"{root}: no such file or folder; {EXPECTED}")
    kinds = {
        suffix: sorted(
            (path for path in root.iterdir() if path.suffix.lower() == suffix and path.name[0] != "."),
            key=lambda path: natural_order(path.name),
        )
        for suffix in (".pkl", ".npz", ".csv")
    }
    found = [suffix for suffix, files in kinds.items() if files]
    if not found:
        raise DataError(f"{root}: nothing of TAP-Vid here; {EXPECTED}")
    if len(found) > 1:
        raise DataError(f"{root}: holds {' and '.join(found)} files; put those of one kind into a separate folder")
    return kinds[found[0]]


def _sequences(file: Path, root: Path) -> Iterator[PointSequence]:
    if file.suffix.lower() == ".csv":
        yield _from_csv(file)
        return
    if file.suffix.lower() == ".npz":
        yield _from_element(file, file.stem, read_npz(file), lambda: _latest_npz(file)["video"])
        return
    content = read_pickle(file)
    if not isinstance(content, dict | list) or not content:
        raise DataError(f"{file}: holds no videos; {EXPECTED}")
    if isinstance(content, dict) and set(ENTRY_KEYS) <= set(content):
        content = [content]
    if isinstance(content, list):
        shard = "" if root == file or file.stem.startswith("tapvid_") else f"{file.stem}-"
        content = {f"{shard}{number:03d}": element for number, element in enumerate(content)}
    for name, element in content.items():
        yield _from_element(file, _checked_name(file, name), element)


@lru_cache(maxsize=1)
def _latest_npz(file: Path) -> dict[str, NDArray[Any]]:
    """Keep one file of a set open: each mapped one costs a descriptor."""
    return read_npz(file)


def _checked_name(file: Path, name: Any) -> str:
    name = name if isinstance(name, str) else str(name) if isinstance(name, int) else ""
    if not name or name in (".", "..") or any(letter in "/\\:\0\n\r" for letter in name) or len(name.encode()) > 100:
        raise DataError(f"{file}: a video is called {name!r:.60}, which cannot be a file's name")
    return name


def _from_element(file: Path, name: str, element: Any, again: Callable[[], Any] | None = None) -> PointSequence:
    """Check the three arrays of one video; `file` and `name` go into messages.

    With `again`, the video is not kept but given by it whenever a frame is asked for.
    """
    where = f"{file}, {name}"
    if not isinstance(element, dict) or (missing := [key for key in ENTRY_KEYS if key not in element]):
        lacking = ", ".join(missing) if isinstance(element, dict) else "video, points and occluded"
        raise DataError(f"{where}: has no {lacking}; a video of TAP-Vid is a dictionary of video, points and occluded")
    points, occluded = (_plain(element[key]) for key in ("points", "occluded"))
    if not isinstance(points, np.ndarray) or not isinstance(occluded, np.ndarray):
        raise DataError(f"{where}: points or occluded is not an array; get the file again")
    if occluded.dtype.kind != "b" or len(occluded.shape) != 2:
        raise DataError(
            f"{where}: occluded is {occluded.shape} {occluded.dtype}; expected (tracks, frames) bool, True where hidden"
        )
    if points.dtype.kind != "f" or points.shape != (*occluded.shape, 2):
        raise DataError(
            f"{where}: points are {points.shape} {points.dtype}, occluded is {occluded.shape}; expected (tracks, "
            "frames, 2) of float for the same tracks and frames"
        )
    frames, length, size = _frames(where, _plain(element["video"]), again)
    tracks, count = occluded.shape
    if length != count or not tracks or not count:
        raise DataError(f"{where}: {tracks} tracks of {count} frames for a video of {length}; get the file again")
    positions, hidden = points.copy(), occluded.astype(bool)
    _check_positions(where, positions, hidden, size)
    names = tuple(map(str, range(tracks)))
    return PointSequence(name=name, size=size, points=positions, occluded=hidden, pictures=frames, tracks=names)


def _plain(value: Any) -> Any:
    return value.array if isinstance(value, PickledArray) else value


def _check_positions(where: str, positions: NDArray[Any], hidden: NDArray[np.bool_], size: tuple[int, int]) -> None:
    """Check that visible points lie in the picture, or within a pixel of it (rounding, Kinetics' half pixel)."""
    margin = 1 / np.array(size[::-1])
    seen = positions[~hidden]
    outside = ~((seen >= -margin) & (seen <= 1 + margin)).all(axis=1)
    if outside.any():
        x, y = seen[outside.argmax()]
        raise DataError(
            f"{where}: {outside.sum()} of {len(seen)} visible points lie outside the picture, the first at x {x:g}, y "
            f"{y:g}; expected fractions of the picture's width and height, not pixels"
        )


def _frames(where: str, video: Any, again: Callable[[], Any] | None) -> tuple[Frames, int, tuple[int, int]]:
    """The frames of a video, their number and their size."""
    kept = again or (lambda: video)
    if isinstance(video, np.ndarray) and video.dtype == np.uint8 and video.ndim == 4:
        length, height, width, channels = video.shape
        if channels == 3 and height and width:
            return (lambda t: np.asarray(kept()[t])), length, (height, width)
    is_array = isinstance(video, np.ndarray) and video.dtype.kind == "S" and video.ndim == 1
    is_list = isinstance(video, list) and all(isinstance(item, bytes | memoryview) for item in video)
    if (is_array or is_list) and len(video):
        frames = _JpegFrames(where, video, kept)
        return frames, len(video), frames.size
    told = f"{video.shape} {video.dtype}" if isinstance(video, np.ndarray) else type(video).__name__
    raise DataError(f"{where}: video is {told}; expected (frames, height, width, 3) uint8, or JPEG bytes of each frame")


class _JpegFrames:
    """Frames as JPEG bytes: an array padded with zeros to the longest, or a list; `kept` gives it."""

    def __init__(self, where: str, video: Any, kept: Callable[[], Any]) -> None:
        self.where, self.kept = where, kept
        for t in range(len(video)):
            content = bytes(video[t])
            if content[:2] == b"\xff\xd8" and b"\xff\xd9" not in content[-1024:]:
                raise DecodingError(f"{where}, frame {t}", f"truncated JPEG; {AGAIN}")
        self.size = decoded_size(f"{where}, frame 0", bytes(video[0]))

    def __call__(self, t: int) -> NDArray[np.uint8]:
        where = f"{self.where}, frame {t}"
        picture = decode_picture(np.frombuffer(self.encoded(t), np.uint8), where)
        require_size(where, picture.shape, self.size)
        return picture

    def encoded(self, t: int) -> bytes:
        """Return the JPEG of frame `t`."""
        return bytes(self.kept()[t])


class _VideoFrames:
    """Frames of a video file or folder by number; frames that are asked for in order are decoded once."""

    def __init__(self, path: Path, numbers: Sequence[int]) -> None:
        self.path, self.numbers = path, numbers
        self._video: Generator[NDArray[np.uint8], None, None] | None = None
        self._next = 0
        height, width = self._read(0).shape[:2]
        self._close()
        self.size = height, width

    def __call__(self, t: int) -> NDArray[np.uint8]:
        picture = self._read(t)
        require_size(self.path, picture.shape, self.size, self.numbers[t])
        return picture

    def _read(self, t: int) -> NDArray[np.uint8]:
        wanted = self.numbers[t]
        if self._video is None or wanted < self._next:
            self._close()
            self._video, self._next = self._open(), 0
        picture = None
        while self._next <= wanted:
            picture = next(self._video, None)
            self._next += 1
        if picture is None:
            raise DecodingError(self.path, f"has no frame {wanted}, which its CSV annotates")
        if t == len(self.numbers) - 1:
            self._close()
        return picture

    def _close(self) -> None:
        """Close the file, so that a set of many videos holds one at a time."""
        if self._video is not None:
            self._video.close()
            self._video = None

    def _open(self) -> Generator[NDArray[np.uint8], None, None]:
        with open_video(self.path, table=False) as video:
            yield from video.frames()


def _from_csv(file: Path) -> PointSequence:
    """A user's video and the CSV next to it."""
    beside = [path for path in file.parent.iterdir() if path.stem == file.stem and path != file]
    videos = [path for path in beside if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES]
    if file.with_suffix("").is_dir() and file.with_suffix("") not in videos:
        videos.append(file.with_suffix(""))
    if len(videos) != 1:
        raise DataError(
            f"{file}: {len(videos)} videos of the same name; expected one, {file.stem}.mp4 or a folder of frames "
            f"{file.stem}"
        )
    rows = _rows(file)
    names = tuple(dict.fromkeys(track for track, _ in rows))
    frames = tuple(sorted({frame for _, frame in rows}))
    lacking = next(((track, frame) for track in names for frame in frames if (track, frame) not in rows), None)
    if lacking:
        raise DataError(
            f"{file}: track {lacking[0]} has no line for frame {lacking[1]}, others have; write it, with occluded 1 "
            "where the point is hidden"
        )
    pictures = _VideoFrames(videos[0], frames)
    values = np.array([[rows[track, frame] for frame in frames] for track in names])
    positions, hidden = values[..., :2] / np.array(pictures.size[::-1]), values[..., 2] == 1
    _check_positions(f"{file}, {file.stem}", positions, hidden, pictures.size)
    name = _checked_name(file, file.stem)
    return PointSequence(
        name=name, size=pictures.size, points=positions, occluded=hidden, pictures=pictures, tracks=names
    )


def _rows(file: Path) -> dict[tuple[str, int], tuple[float, float, int]]:
    """(track, frame) → x, y, occluded."""
    reader = csv.DictReader(read_text(file).splitlines())
    try:
        columns, lines = list(reader.fieldnames or ()), list(reader)
    except csv.Error as error:
        raise DataError(f"{file}: is not a CSV file ({error})") from error
    if sorted(columns) != sorted(COLUMNS):
        raise DataError(f"{file}: the first line must name the columns {','.join(COLUMNS)}")
    rows: dict[tuple[str, int], tuple[float, float, int]] = {}
    for number, row in enumerate(lines, start=2):
        try:
            hidden = {"0": 0, "1": 1, "false": 0, "true": 1}[row["occluded"].strip().lower()]
            key = row["track"].strip(), int(row["frame"])
            x, y = (float(row[axis]) if row[axis].strip() or not hidden else math.nan for axis in ("x", "y"))
            if key[1] < 0 or (not hidden and not math.isfinite(x + y)):
                raise ValueError
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{file}, line {number}: expected {','.join(COLUMNS)} with numbers and occluded 0 or 1"
            ) from error
        if key in rows:
            raise DataError(f"{file}, line {number}: track {key[0]} has two lines for frame {key[1]}")
        rows[key] = x, y, hidden
    if not rows:
        raise DataError(f"{file}: no tracks; write a line {','.join(COLUMNS)} for each point of each frame")
    return rows
