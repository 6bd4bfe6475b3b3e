"""TAP-Vid in its released layouts, or rewritten without pickle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..videos.arrays import read_npz, read_pickle
from ..videos.files import DataError, plain_name
from ..videos.folders import list_data
from ..videos.images import image_size, open_image, read_image, read_whole, require_size
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
SET_SUFFIXES = (".pkl", ".npz")

EXPECTED = (
    "expected a file of TAP-Vid (tapvid_davis.pkl, tapvid_rgb_stacking.pkl), or a folder of shards (0000_of_0010.pkl, "
    "robotap_split0.pkl) or of .npz files (vidcorr unpickle)"
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
    """

    frames: tuple[Path, ...] = ()
    points: NDArray[Any]
    occluded: NDArray[np.bool_]
    images: Callable[[int], NDArray[np.uint8]] | None = None
    jpegs: Callable[[], Sequence[bytes]] | None = None
    tracks: tuple[str, ...] = ()
    masks: tuple[Path, ...] = ()

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
        with open_image(self.masks[t], read_whole(self.masks[t])) as image:
            values = np.array(image)
        is_object = values > 0 if values.ndim == 2 else values[..., :3].any(axis=-1)
        return float(is_object.sum()) * self.size[0] * self.size[1] / is_object.size

    def stored_frames(self) -> NDArray[Any]:
        """Return all frames as stored: uint8 (T, H, W, 3), or JPEG bytes (T,) padded to the longest."""
        if self.jpegs is not None:
            return np.array(list(map(bytes, self.jpegs())))
        frames = [self.frame(t).permute(1, 2, 0).numpy() for t in range(self.num_frames)]
        return np.stack(frames)


class TapVid(Reader[PointSequence]):
    """The videos of a TAP-Vid set, with their tracks.

    Reads the released pickles of TAP-Vid-DAVIS, RGB-Stacking, Kinetics and RoboTAP without executing them, or the
    output of `vidcorr unpickle`, whose frames are read on demand.

    Videos without a name in a released set are called by their number, `007`, and in a shard by shard and number,
    `0003_of_0010-007`.
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
                raise DataError(f"{self.root}: two videos are called {sequence.name}")
            names.add(sequence.name)


def read_sets(root: Path) -> Iterator[PointSequence]:
    """Yield the videos of a TAP-Vid set, file by file.

    Args:
        root: a pickle, or a folder of pickles or of .npz files.

    Raises:
        DataError: for an unknown layout or a damaged file.
    """
    for file in _files(root):
        yield from _sequences(file, root)


def _files(root: Path) -> list[Path]:
    """Return the pickles or npz files of a data set, in natural order."""
    if not root.exists():
        raise DataError(f"{root}: no such file or folder; {EXPECTED}")
    inside = list_data(root) if root.is_dir() else [root]
    files = [path for path in inside if path.suffix.lower() in SET_SUFFIXES]
    kinds = sorted({path.suffix.lower() for path in files})
    if not kinds:
        raise DataError(f"{root}: holds no data of TAP-Vid; {EXPECTED}")
    if len(kinds) > 1:  # two sets would be scored as one
        raise DataError(f"{root}: holds {' and '.join(kinds)} files")
    return files


def _sequences(file: Path, root: Path) -> Iterator[PointSequence]:
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
        raise DataError(f"{where}: {tracks} tracks of {count} frames for a video of {length}")
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
    size = image_size(f"{where}, frame 0", bytes(video[0]))

    def decode(t: int) -> NDArray[np.uint8]:
        image = read_image(f"{where}, frame {t}", bytes(kept()[t]))
        require_size(f"{where}, frame {t}", image.shape, size)
        return image

    return {"images": decode, "jpegs": kept}, len(video), size
