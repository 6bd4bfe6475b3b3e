"""TAP-Vid in its released layouts, or rewritten without pickle."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..videos.files import WRONG_JSON, DataError, errors_at, user_path
from ..videos.folders import list_data
from ..videos.image_files import image_size, read_image
from .arrays import read_npz, read_pickle
from .lists import plain_name
from .sequences import FrameSequence

DAVIS_VIDEOS = (
    "bike-packing blackswan bmx-trees breakdance camel car-roundabout car-shadow cows dance-twirl dog dogs-jump "
    "drift-chicane drift-straight goat gold-fish horsejump-high india judo kite-surf lab-coat libby loading "
    "mbike-trick motocross-jump paragliding-launch parkour pigs scooter-black shooting soapbox"
)
"""Names of the videos of TAP-Vid-DAVIS, which are those of DAVIS-2017 val."""


EXPECTED = "expected a .pkl of TAP-Vid, the folder of its shards, or a folder of .npz files, one per video"
FORM = (
    "is not a video of TAP-Vid: video (frames, height, width, 3) uint8 or a JPEG per frame, points (tracks, frames, 2) "
    "float, occluded (tracks, frames) bool"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class PointSequence(FrameSequence):
    """A video with tracks of points.

    Args:
        frames: image files in time order; empty if `stored` gives the frames.
        points: (N, T, 2) x, y as fractions of the image: 0 is the left or upper edge of the first pixel, 1 the right
            or lower edge of the last. Hidden points may lie anywhere, NaN included.
        occluded: (N, T) bool, True for hidden points.
        stored: returns the frames as stored: (T, H, W, 3) uint8 RGB, or the JPEGs of all frames.
        tracks: names of the points; numbers if the data set has no names.
    """

    frames: tuple[Path, ...] = ()
    points: NDArray[Any]
    occluded: NDArray[np.bool_]
    stored: Callable[[], Any] = tuple
    tracks: tuple[str, ...] = ()

    @property
    def num_frames(self) -> int:
        """Number of annotated frames; other frames are not read."""
        return int(self.occluded.shape[1])

    def frame(self, t: int) -> Tensor:
        """Return the frame with index `t`, from the files or from `stored()`: uint8 RGB (3, H, W)."""
        if self.frames:
            return super().frame(t)
        image = self.stored()[t]
        if not isinstance(image, np.ndarray):
            where = f"{self.sources[0]}, {self.name}, frame {t}"
            image = read_image(where, bytes(image), self.size)
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def TapVid(root: str | Path) -> list[PointSequence]:
    """Read the videos of a TAP-Vid set, with their tracks.

    Layout: the released pickles of TAP-Vid-DAVIS, RGB-Stacking, Kinetics and RoboTAP without executing them, or a
    folder of `.npz` files, one per video, whose frames are read on demand.

    Videos without a name in a released set are called by their number, `007`, and in a shard by shard and number,
    `0003_of_0010-007`.
    Paper: Doersch et al., TAP-Vid (NeurIPS 2022); Vecerik et al., RoboTAP (ICRA 2024).

    Args:
        root: the file, or the folder.

    Raises:
        DataError: for an unknown layout, a damaged or hostile file, a missing key, arrays of the wrong type or shape,
            points in pixels, or a truncated JPEG. The message is one line that names the file and the video.
    """
    root = user_path(root)
    inside = list_data(root) if root.is_dir() else [root]
    files = [path for path in inside if path.suffix.lower() in (".pkl", ".npz")]
    suffixes = {path.suffix.lower() for path in files}
    # no set, or two, which would be scored as one
    if len(suffixes) != 1:
        raise DataError(f"{root}: {EXPECTED}")
    sequences: list[PointSequence] = []
    for file in files:
        sequences += _sequences(file, root)
    return sequences


def _sequences(file: Path, root: Path) -> Iterator[PointSequence]:
    if file.suffix.lower() == ".npz":
        # its frames are read again when they are used: those of all files may not fit in memory
        yield _from_element(file, file.stem, read_npz(file), lambda: _latest_npz(file)["video"])
        return
    content = read_pickle(file)
    if not isinstance(content, dict | list):
        raise DataError(f"{file}: {EXPECTED}")
    if isinstance(content, list):
        # videos of several shards need the shard's name too; a released set is one file, `tapvid_….pkl`
        shard = "" if root == file or file.stem.startswith("tapvid_") else f"{file.stem}-"
        content = {f"{shard}{number:03d}": element for number, element in enumerate(content)}
    for name, element in content.items():
        plain = str(name) if isinstance(name, str | int) else ""
        # another name is refused as not plain
        yield _from_element(file, plain, element)


@lru_cache(maxsize=1)
def _latest_npz(file: Path) -> dict[str, NDArray[Any]]:
    """Read a file of a set; only the latest file stays in memory, since all may not fit."""
    return read_npz(file)


def _from_element(file: Path, name: str, element: Any, read_frames: Callable[[], Any] | None = None) -> PointSequence:
    """Check the three arrays of a video, and return the video."""
    where = f"{file}, {plain_name(name, file)}"
    # `element` may be no mapping, or lack a key
    with errors_at(f"{where}: {FORM}", *WRONG_JSON):
        video = element["video"]
        points = element["points"]
        occluded = element["occluded"]
    # kinds of arrays: u unsigned, S bytes, b booleans, f floats
    has_pixels = _is_array(video, "u", 4) and video.dtype == np.uint8 and video.shape[3] == 3
    is_list_of_jpegs = isinstance(video, list) and all(isinstance(item, bytes) for item in video)
    has_jpegs = is_list_of_jpegs or _is_array(video, "S", 1)
    has_tracks = _is_array(occluded, "b", 2) and occluded.size > 0 and _is_array(points, "f", 3)
    has_form = (has_pixels or has_jpegs) and has_tracks
    if not has_form or occluded.shape[1] != len(video) or points.shape != (*occluded.shape, 2):
        raise DataError(f"{where}: {FORM}")
    size = video.shape[1:3] if has_pixels else image_size(f"{where}, frame 0", bytes(video[0]))
    _check_positions(where, points, occluded, size)
    return PointSequence(
        name=name,
        size=size,
        points=points.copy(),
        occluded=occluded.copy(),
        tracks=tuple(map(str, range(len(points)))),
        sources=(file,),
        stored=read_frames or (lambda: video),
    )


def _is_array(value: object, kind: str, axes: int) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == kind and value.ndim == axes


def _check_positions(where: str, positions: NDArray[Any], hidden: NDArray[np.bool_], size: tuple[int, int]) -> None:
    """Raise `DataError` unless visible points lie in the image, or within a pixel of it (rounding, Kinetics)."""
    margin = 1 / np.array(size[::-1])
    seen = positions[~hidden]
    if not ((seen >= -margin) & (seen <= 1 + margin)).all():
        raise DataError(f"{where}: visible points lie outside the image; expected fractions of its width and height")
