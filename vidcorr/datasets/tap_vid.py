"""TAP-Vid in its released layouts, rewritten without pickle, or as a user's videos with CSV files."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..videos.arrays import read_npz, read_pickle
from ..videos.container import VIDEO_SUFFIXES
from ..videos.files import DataError, DecodingError, plain_name
from ..videos.folders import list_data, list_images
from ..videos.images import AGAIN, image_size, read_image, require_size
from ..videos.mask_files import covered
from ..videos.source import open_video
from ..videos.tables import as_table, frame_number, is_number, plain_column, read_lines
from .records import FrameSequence, Reader

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAVIS_VIDEOS = (
    "bike-packing blackswan bmx-trees breakdance camel car-roundabout car-shadow cows dance-twirl dog dogs-jump "
    "drift-chicane drift-straight goat gold-fish horsejump-high india judo kite-surf lab-coat libby loading "
    "mbike-trick motocross-jump paragliding-launch parkour pigs scooter-black shooting soapbox"
)
"""Names of the videos of TAP-Vid-DAVIS, which are those of DAVIS-2017 val."""

ENTRY_KEYS = ("video", "points", "occluded")
SET_SUFFIXES = (".pkl", ".npz", ".csv")
COLUMNS = ("track", "frame", "x", "y", "occluded")
HIDDEN = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
"""Cells of the column `occluded` in small letters → 1 for a hidden point."""
PREDICTED = ("frame", "name", "x", "y", "score", "occluded")
"""Columns of `predict`'s points.csv, which counts x and y from the centre of the first pixel."""

EXPECTED = (
    "expected a file of TAP-Vid (tapvid_davis.pkl, tapvid_rgb_stacking.pkl) or a folder of shards (0000_of_0010.pkl, "
    "robotap_split0.pkl), of .npz files (vidcorr unpickle), or of videos beside .csv files of their names"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class PointSequence(FrameSequence):
    """A video with tracks of points.

    Args:
        frames: image files in time order; empty if `images` gives the frames.
        points: (N, T, 2) x, y as fractions of the image: 0 is the left or upper edge of the first pixel, 1 the right
            or lower edge of the last. Hidden points may lie anywhere, NaN included.
        occluded: (N, T) bool, True for hidden points.
        images: frame index → frame (H, W, 3) uint8 RGB; None: read `frames`.
        jpegs: returns the JPEGs of all frames, if they are stored as JPEGs.
        tracks: names of the points; numbers if the data set has no names.
        masks: masks of the object under the points, a file per frame, above 0 on the object; empty if unknown.
        videos: video file or frames that `images` decodes; empty without `images`.
    """

    frames: tuple[Path, ...] = ()
    points: NDArray[Any]
    occluded: NDArray[np.bool_]
    images: Callable[[int], NDArray[np.uint8]] | None = None
    jpegs: Callable[[], Sequence[bytes]] | None = None
    tracks: tuple[str, ...] = ()
    masks: tuple[Path, ...] = ()
    videos: tuple[Path, ...] = ()

    @property
    def num_frames(self) -> int:
        """Number of annotated frames; other frames are not read."""
        return int(self.occluded.shape[1])

    def frame(self, t: int) -> Tensor:
        """Return frame index `t` (zero-based): uint8 RGB (3, H, W).

        Raises:
            DecodingError: if the frame is truncated or no image, or its size differs from the others.
        """
        if self.images is None:
            return super().frame(t)
        return torch.from_numpy(np.ascontiguousarray(self.images(t).transpose(2, 0, 1)))

    def area(self, t: int) -> float:
        """Return the area of the object in frame `t`, pixels of the frame; a mask of another size is scaled.

        Raises:
            DecodingError: if the mask is missing, truncated or no image.
        """
        is_object = covered(self.masks[t])
        return float(is_object.sum()) * self.size[0] * self.size[1] / is_object.size

    def stored_frames(self) -> NDArray[Any]:
        """Return all frames as stored: uint8 (T, H, W, 3), or JPEG bytes (T,) padded to the longest."""
        if self.jpegs is not None:
            return np.array(list(map(bytes, self.jpegs())))
        frames = [self.frame(t).permute(1, 2, 0).numpy() for t in range(self.num_frames)]
        return np.stack(frames)


class TapVid(Reader[PointSequence]):
    """The videos of a TAP-Vid set, with their tracks.

    Reads the released pickles of TAP-Vid-DAVIS, RGB-Stacking, Kinetics and RoboTAP without executing them; the output
    of `vidcorr unpickle`; or a folder of videos (files, or folders of frames) beside CSVs of the same names. A pickle
    is loaded whole; other layouts read frames on demand.

    Videos without a name in a released set are called by their number, `007`, and in a shard by shard and number,
    `0003_of_0010-007`. A CSV has exactly the columns `track,frame,x,y,occluded`: x and y in raster pixels of the video
    (0.5 is the centre of the first pixel; both may be empty if occluded is 1), frames counted from 0. Frames without a
    line are left out of the sequence; a frame with lines needs a line of every track. `predict`'s points.csv, under the
    video's name, is read too.
    Paper: Doersch et al., TAP-Vid (NeurIPS 2022); Vecerik et al., RoboTAP (ICRA 2024).

    Args:
        root: the file, or the folder.

    Raises:
        DataError: for an unknown layout, a damaged or hostile file, a missing key, arrays of the wrong type or shape,
            points in pixels, or a truncated JPEG. The message is one line that names the file and the video.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser()
        self._sequences = tuple(read_sets(self.root))
        names: set[str] = set()
        for sequence in self._sequences:
            if sequence.name in names:
                raise DataError(
                    f"{self.root}: two videos are called {sequence.name}; give the file or folder of one data set"
                )
            names.add(sequence.name)


def read_sets(root: Path) -> Iterator[PointSequence]:
    """Yield the videos of a TAP-Vid set, file by file.

    Args:
        root: a pickle, or a folder of pickles, of .npz files, or of videos beside CSVs.

    Raises:
        DataError: for an unknown layout or a damaged file.
    """
    for file in _files(root):
        yield from _sequences(file, root)


def _files(root: Path) -> list[Path]:
    """Return the pickles, npz files or CSVs of a data set, in natural order."""
    if not root.exists():
        raise DataError(f"{root}: no such file or folder; {EXPECTED}")
    inside = list_data(root) if root.is_dir() else [root]
    files = [path for path in inside if path.suffix.lower() in SET_SUFFIXES]
    kinds = sorted({path.suffix.lower() for path in files})
    if not kinds:
        raise DataError(f"{root}: holds no data of TAP-Vid; {EXPECTED}")
    if len(kinds) > 1:  # two sets would be scored as one
        raise DataError(f"{root}: holds {' and '.join(kinds)} files; put the files of one kind into a separate folder")
    return files


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
    if isinstance(content, list):
        shard = "" if root == file or file.stem.startswith("tapvid_") else f"{file.stem}-"
        content = {f"{shard}{number:03d}": element for number, element in enumerate(content)}
    for name, element in content.items():
        plain = str(name) if isinstance(name, str | int) else ""
        yield _from_element(file, plain, element)


@lru_cache(maxsize=1)
def _latest_npz(file: Path) -> dict[str, NDArray[Any]]:
    """Read a file of a set and keep the last one in memory, since all may not fit."""
    return read_npz(file)


def _from_element(file: Path, name: str, element: Any, again: Callable[[], Any] | None = None) -> PointSequence:
    """Check the three arrays of a video; `file` and `name` go into messages.

    `again` returns the frames when they are used, so that they need not stay in memory.
    """
    where = f"{file}, {plain_name(name, file)}"
    keys = set(element) if isinstance(element, dict) else set()
    missing = [key for key in ENTRY_KEYS if key not in keys]
    if missing:
        raise DataError(f"{where}: has no {', '.join(missing)}; a video of TAP-Vid is a dictionary with all three")
    video = element["video"]
    points = element["points"]
    occluded = element["occluded"]
    tracks, count = occluded.shape if _is_array(occluded, "b", 2) else (0, 0)
    if not tracks or not count or not _is_array(points, "f", 3) or points.shape != (tracks, count, 2):
        raise DataError(
            f"{where}: occluded is {_shape_and_type(occluded)}, points {_shape_and_type(points)}; expected (tracks, "
            "frames) bool, True where hidden, and (tracks, frames, 2) float"
        )
    frames, length, size = _frames(where, video, again or (lambda: video))
    if length != count:
        raise DataError(f"{where}: {tracks} tracks of {count} frames for a video of {length}; get the file again")
    positions = points.copy()
    hidden = occluded.astype(bool)
    _check_positions(where, positions, hidden, size)
    names = tuple(map(str, range(tracks)))
    return PointSequence(
        name=name, size=size, points=positions, occluded=hidden, tracks=names, sources=(file,), **frames
    )


def _is_array(value: object, kind: str, axes: int) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == kind and value.ndim == axes


def _shape_and_type(value: object) -> str:
    return f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


def _check_positions(where: str, positions: NDArray[Any], hidden: NDArray[np.bool_], size: tuple[int, int]) -> None:
    """Check that visible points lie in the image, or within a pixel of it (rounding, Kinetics' half pixel)."""
    margin = 1 / np.array(size[::-1])
    seen = positions[~hidden]
    outside = ~((seen >= -margin) & (seen <= 1 + margin)).all(axis=1)
    if outside.any():
        x, y = seen[outside.argmax()]
        raise DataError(
            f"{where}: {outside.sum()} of {len(seen)} visible points lie outside the image, the first at x {x:g}, y "
            f"{y:g}; expected fractions of the image's width and height, not pixels"
        )


def _frames(where: str, video: Any, kept: Callable[[], Any]) -> tuple[dict[str, Any], int, tuple[int, int]]:
    """Return the fields of a sequence with the frames of a video, the number of frames and their size."""
    if _is_array(video, "u", 4) and video.dtype == np.uint8:
        length, height, width, channels = video.shape
        if channels == 3 and height and width:
            return {"images": lambda t: np.asarray(kept()[t])}, length, (height, width)
    is_list = isinstance(video, list) and all(isinstance(item, bytes) for item in video)
    if not (is_list or _is_array(video, "S", 1)) or not len(video):
        raise DataError(
            f"{where}: video is {_shape_and_type(video)}; expected (frames, height, width, 3) uint8, or JPEG bytes of "
            "each frame"
        )
    for t in range(len(video)):
        jpeg = bytes(video[t])
        if jpeg[:2] == b"\xff\xd8" and b"\xff\xd9" not in jpeg[-1024:]:
            raise DecodingError(f"{where}, frame {t}", f"truncated JPEG; {AGAIN}")
    size = image_size(f"{where}, frame 0", bytes(video[0]))

    def decode(t: int) -> NDArray[np.uint8]:
        image = read_image(f"{where}, frame {t}", bytes(kept()[t]))
        require_size(f"{where}, frame {t}", image.shape, size)
        return image

    return {"images": decode, "jpegs": kept}, len(video), size


class _VideoFrames:
    """Frames of a video file or folder by index; reading in order decodes every frame once.

    The file is closed at its last frame, so that a set of many videos holds a single file open.
    """

    def __init__(self, path: Path, indices: Sequence[int]) -> None:
        self.path = path
        self.indices = indices
        self._frames = self._decode()
        self._next = 0
        with open_video(path, table=False) as video:
            self.size: tuple[int, int] = next(video.frames()).shape[:2]

    def __call__(self, t: int) -> NDArray[np.uint8]:
        if t < self._next:
            self._frames.close()
            self._frames = self._decode()
            self._next = 0
        image = next(islice(self._frames, t - self._next, None), None)
        if image is None:
            raise DecodingError(self.path, f"has no frame {self.indices[t]}, which its CSV annotates")
        self._next = t + 1
        if self._next == len(self.indices):
            self._frames.close()
        require_size(self.path, image.shape, self.size, self.indices[t])
        return image

    def _decode(self) -> Generator[NDArray[np.uint8]]:
        wanted = frozenset(self.indices)
        with open_video(self.path, table=False) as video:
            for index, image in enumerate(video.frames()):
                if index in wanted:
                    yield image


def _from_csv(file: Path) -> PointSequence:
    """Read a user's video with the CSV next to it."""
    videos: list[Path] = []
    for path in list_data(file.parent):
        has_its_name = file.stem in (path.name, path.stem)
        if has_its_name and (path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES):
            videos.append(path)
    if len(videos) != 1:
        raise DataError(
            f"{file}: {len(videos)} videos of the same name; expected one, {file.stem}.mp4 or a folder of frames "
            f"{file.stem}"
        )
    rows = read_track_table(file)
    names = tuple(dict.fromkeys(track for track, _ in rows))
    frames = tuple(sorted({frame for _, frame in rows}))
    for track, frame in product(names, frames):
        if (track, frame) not in rows:
            raise DataError(
                f"{file}: track {track} has no line for frame {frame}, but other tracks have; write it, with occluded "
                "1 if the point is hidden"
            )
    images = _VideoFrames(videos[0], frames)
    cells = [rows[track, frame] for track, frame in product(names, frames)]
    values = np.array(cells).reshape(len(names), len(frames), 3)
    positions = values[..., :2] / np.array(images.size[::-1])
    hidden = values[..., 2] == 1
    _check_positions(f"{file}, {file.stem}", positions, hidden, images.size)
    is_folder = videos[0].is_dir()
    return PointSequence(
        name=file.stem,
        size=images.size,
        points=positions,
        occluded=hidden,
        images=images,
        tracks=names,
        sources=(file,),
        videos=list_images(videos[0]) if is_folder else (videos[0],),
    )


def read_track_table(file: Path) -> dict[tuple[str, int], tuple[float, float, int]]:
    """Read the tracks of a video from a table: an annotation (`track,frame,x,y,occluded`) or `predict`'s points.csv.

    Args:
        file: the table; frames count from 0. In an annotation x and y count from the corner of the first pixel, in
            points.csv from its centre.

    Returns:
        (track, frame) → x, y in raster pixels, and 1 for a hidden point.

    Raises:
        DataError: naming the file and the wrong line.
    """
    lines = read_lines(file)
    columns = sorted(map(plain_column, lines[0].cells)) if lines else []
    is_predicted = columns == sorted(PREDICTED)
    if not (is_predicted or columns == sorted(COLUMNS)) or len(lines) < 2:
        raise DataError(f"{file}, line 1: expected the columns {','.join(COLUMNS)}, then a line per point and frame")
    table = as_table(file, lines)
    name_column = "track"
    expected = ",".join(COLUMNS)
    to_raster = 0.0
    if is_predicted:
        name_column = "name"
        expected = ",".join(PREDICTED)
        to_raster = 0.5
    rows: dict[tuple[str, int], tuple[float, float, int]] = {}
    for number, cells in table.lines:
        row = dict(zip(table.columns, cells, strict=True))
        name = row[name_column]
        frame = frame_number(row["frame"])
        hidden = HIDDEN.get(row["occluded"].lower())
        x = _position(row["x"])
        y = _position(row["y"])
        is_lost = hidden == 0 and not math.isfinite(x + y)
        if frame is None or hidden is None or is_lost or any(map(math.isinf, (x, y))):
            raise DataError(f"{file}, line {number}: expected {expected}: numbers, and occluded 0 or 1")
        if (name, frame) in rows:
            raise DataError(f"{file}, line {number}: track {name} has two lines for frame {row['frame']}")
        rows[name, frame] = x + to_raster, y + to_raster, hidden
    return rows


def _position(text: str) -> float:
    """Return the number in a cell; NaN in an empty cell, infinite for other text."""
    if not text:
        return math.nan
    return float(text) if is_number(text) else math.inf
