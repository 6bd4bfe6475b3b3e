"""Pairs of pictures of an object or a room, with depth and cameras; NAVI's, whose partners are drawn."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..protocols import SurfaceProtocol
from ..videos.files import WRONG_JSON, DataError, errors_at
from ..videos.folders import list_data, list_folders
from ..videos.images import open_image, read_image, require_size
from .lists import read_json
from .records import require_files

SEED = 8
"""Seed of the draw of partners, in the code of Probe3D."""
EVERY = 4
"""Every fourth picture of the list of all objects is the first of a pair."""
DISPARITY = 655_350
"""Depth in millimetres times the value of a pixel in a depth file."""


@dataclass(frozen=True, eq=False)
class SurfacePair:
    """Two pictures of a surface, with depth and cameras.

    Args:
        name: name of the pair in its category.
        category: object (NAVI) or scene (ScanNet).
        files: the pictures.
        depths: their depth files.
        cameras: a camera per picture: of NAVI its focal length, in shorter sides of the picture; of ScanNet its matrix
            (3, 3), pixels.
        pose: `(4, 4)` float64: from the first camera to the second, metres.
        sources: files of list and cameras.
    """

    name: str
    category: str
    files: tuple[Path, ...]
    depths: tuple[Path, ...]
    cameras: tuple[Any, ...]
    pose: NDArray[np.float64]
    sources: tuple[Path, ...]

    @property
    def angle(self) -> float:
        """Rotation between the cameras, degrees."""
        cosine = (np.trace(self.pose[:3, :3]) - 1) / 2
        return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


class View(NamedTuple):
    """A picture as the network sees it, and the surface at the cells of the grid.

    Attributes:
        image: uint8 RGB `(3, H, W)`.
        points: `(3, H / step, W / step)` float32: x, y, z in metres, in the camera; 0 without depth.
        intrinsics: `(3, 3)` float64: from points to pixels of the image, without a principal point for NAVI.
    """

    image: Tensor
    points: Tensor
    intrinsics: Tensor


def read_navi(root: str | Path, protocol: SurfaceProtocol) -> list[SurfacePair]:
    """Read the pairs of NAVI's wild sets, by object and picture: `<object>/{wild_set,multiview_*}/`.

    For each picture a partner is drawn among the pictures of the object that are turned by at most `max_angle`; every
    fourth picture, counted over all objects, gives a pair. An object without wild_set or without multiview_* is left
    out. A picture may be its own partner, as in Probe3D's code, if rounding makes its angle to itself more than 0.

    Args:
        root: folder `navi_v1`, with the downsampled pictures and depths.
        protocol: its `max_angle`, degrees.

    Raises:
        DataError: one line naming the file: a missing one, one of another form, or a picture without partners.
    """
    root = Path(root).expanduser()
    random = np.random.RandomState(SEED)  # for all objects in turn, so pictures that give no pair draw too
    pairs: list[SurfacePair] = []
    num_drawn = 0
    for object_name in sorted(list_folders(root)):
        inside = list_folders(root / object_name)
        if "wild_set" not in inside or not any(part.startswith("multiview_") for part in inside):
            continue
        file = root / object_name / "wild_set" / "annotations.json"
        with errors_at(f"{file}: is not a list of NAVI's cameras", *WRONG_JSON, OSError):
            cameras = _cameras(file)
            names = list(cameras)
            quaternions = [camera["q"] for camera in cameras.values()]
            rotations = rotations_of(torch.tensor(quaternions, dtype=torch.float32))
            partners = drawn_partners(rotations, random, protocol, file)
            for name, partner in zip(names, partners, strict=True):
                if num_drawn % EVERY == 0:
                    pairs.append(_pair(file, cameras, (name, names[partner])))
                num_drawn += 1
    if not pairs:
        raise DataError(f"{root}: holds no object of NAVI, a folder with wild_set and multiview_*")
    return pairs


def _cameras(file: Path) -> dict[str, dict[str, Any]]:
    """Return name of a picture → its camera in an annotations.json, for the pictures of a wild set, by sorted names.

    A camera is as in the file, quaternion `q` and shift `t` from the object to the camera and `focal_length` in pixels;
    it also gets the shorter side of the picture in pixels as `shorter_side`.
    """
    entries = {entry["filename"].split(".")[0]: entry for entry in read_json(file)}
    names: list[str] = []
    for path in list_data(file.parent / "images"):
        if "jpg" in path.name and "_" not in path.name:  # not downsampled_….jpg
            names.append(path.name.split(".")[0])
    cameras: dict[str, dict[str, Any]] = {}
    for name in sorted(names):
        entry = entries[name]
        cameras[name] = entry["camera"] | {"shorter_side": min(entry["image_size"])}
    return cameras


def _pair(file: Path, cameras: Mapping[str, dict[str, Any]], names: tuple[str, str]) -> SurfacePair:
    """Return the pair of two pictures of a wild set.

    Args:
        file: annotations.json of the wild set.
        cameras: the cameras of all pictures, from `_cameras`.
        names: names of the first and of the second picture.
    """
    files = [file.parent / "images" / f"downsampled_{name}.jpg" for name in names]
    depths = [file.parent / "depth" / f"downsampled_{name}.png" for name in names]
    require_files([*files, *depths], "which Probe3D's data_processing/resize_navi.py writes")
    poses = np.tile(np.eye(4), (2, 1, 1))  # of both cameras: from the object to the camera, metres
    focal_lengths: list[float] = []
    for pose, name in zip(poses, names, strict=True):
        camera = cameras[name]
        focal_lengths.append(camera["focal_length"] / camera["shorter_side"])  # in shorter sides of the picture
        # `pose` is a view: this fills `poses`
        pose[:3, :3] = rotations_of(torch.tensor(camera["q"], dtype=torch.float64)).numpy()
        pose[:3, 3] = np.array(camera["t"]) / 1000  # millimetres in the file
    return SurfacePair(
        name="-".join(names),
        category=file.parent.parent.name,
        files=tuple(files),
        depths=tuple(depths),
        cameras=tuple(focal_lengths),
        pose=poses[1] @ np.linalg.inv(poses[0]),  # from the first camera to the second
        sources=(file, *depths),
    )


def rotations_of(quaternions: Tensor) -> Tensor:
    """Return the rotations `(…, 3, 3)` of quaternions w, x, y, z `(…, 4)` of any length.

    Example:
        >>> rotations_of(torch.tensor([1.0, 0.0, 0.0, 1.0])).tolist()  # a quarter turn about z
        [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    w, x, y, z = quaternions.unbind(-1)
    s = 2 / quaternions.square().sum(-1)
    first = [1 - s * (y**2 + z**2), s * (x * y - z * w), s * (x * z + y * w)]
    second = [s * (x * y + z * w), 1 - s * (x**2 + z**2), s * (y * z - x * w)]
    third = [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x**2 + y**2)]
    return torch.stack([*first, *second, *third], dim=-1).unflatten(-1, (3, 3))


def drawn_partners(
    rotations: Tensor, random: np.random.RandomState, protocol: SurfaceProtocol, file: object = "NAVI"
) -> list[int]:
    """Draw a partner for each picture of an object, with equal weights and the draws of torch's `multinomial`.

    Partners are turned by more than 0 and at most `max_angle` degrees. Sums keep the order of Probe3D's code, because
    rounding decides whether a picture's angle to itself is 0.

    Args:
        rotations: `(N, 3, 3)` float32, from the object to the cameras.
        random: the generator, which all objects share.
        protocol: its `max_angle`, degrees.
        file: file of the cameras, for the message.

    Returns:
        The index of the partner of each picture.

    Raises:
        DataError: if no picture is within `max_angle` of a picture.
    """
    partners: list[int] = []
    for rotation in rotations:
        products = rotation * rotations  # the trace of rotation @ other.T, for each other, is 1 + 2 cos(angle)
        diagonal = products[..., 0] + products[..., 1] + products[..., 2]
        trace = diagonal[:, 0] + diagonal[:, 1] + diagonal[:, 2]
        angles = (0.5 * trace - 0.5).clamp(-1, 1).acos() * 180 / np.pi
        weights = ((angles > 0) & (angles <= protocol.max_angle)).numpy().astype(np.float32)
        if not weights.any():
            raise DataError(f"{file}: picture {len(partners)} has no partner within {protocol.max_angle:g} degrees")
        waits = np.fromiter(_exponentials(random, len(weights)), np.float32)
        partners.append(int(np.argmax(weights / waits)))  # so `multinomial` draws: the shortest weighted wait wins
    return partners


def _exponentials(random: np.random.RandomState, count: int) -> Iterator[float]:
    """Yield `count` exponentially distributed numbers, -log of a uniform number, as torch draws them from 2.13 on."""
    for high, low in random.randint(0, 2**32, (count, 2), np.uint32).tolist():
        uniform = ((high << 32 | low) & (2**53 - 1)) / 2**53  # the bits of a double's fraction
        yield -math.log1p(-uniform)


def read_depth(path: Path) -> NDArray[np.uint16]:
    """Read a 16-bit PNG of one channel: `(H, W)` uint16.

    Raises:
        DecodingError: if it cannot be decoded.
    """
    with open_image(path) as image:
        return np.asarray(image).astype(np.uint16)


def navi_view(pair: SurfacePair, which: int, protocol: SurfaceProtocol) -> View:
    """Return a picture of NAVI, cut to the square around the object's depth.

    The shorter side is brought to the input's side, the middle square cut out, and the square around its pixels with
    depth (`square_around`) enlarged to the input. All pixels are the nearest, as in Probe3D. The intrinsics of the view
    have no principal point.

    Args:
        pair: a pair of `read_navi`.
        which: 0 or 1.
        protocol: `input_size`, `grid_step`.

    Raises:
        DecodingError: if a file cannot be decoded, or the two differ in size.
        DataError: for a depth file without depth.
    """
    side = protocol.input_size[0]
    picture = torch.from_numpy(read_image(pair.files[which])).permute(2, 0, 1)
    disparity = torch.from_numpy(read_depth(pair.depths[which]).astype(np.float32))
    height, width = disparity.shape
    require_size(pair.files[which], picture.shape[1:], disparity.shape)
    middle_rows = _pixels_of_middle(height, min(height, width), side)
    middle_columns = _pixels_of_middle(width, min(height, width), side)
    middle = disparity[middle_rows[:, None], middle_columns]
    depth = torch.where(middle > 0, DISPARITY / 1000 / middle, 0)  # (side, side), metres; 0: unknown
    top, left, length = square_around(depth > 0)
    if not length:
        raise DataError(f"{pair.depths[which]}: shows no surface in its middle square")
    nearest = torch.from_numpy((np.arange(side) * (1 / (side / length))).astype(int))  # rounded as by OpenCV
    rows = top + nearest  # of the middle square, by pixel of the image
    columns = left + nearest
    image = picture[:, middle_rows[rows][:, None], middle_columns[columns]]
    focal = pair.cameras[which] * side  # from shorter sides of the picture to pixels of the middle square
    y = rows[protocol.first_pixels]  # of the grid's cells: a cell takes its first pixel
    x = columns[protocol.first_pixels]
    z = depth[y[:, None], x]
    centre = side / 2 - 0.5
    points = torch.stack([z * (x.float() - centre) / focal, z * (y.float() - centre)[:, None] / focal, z])
    focal_of_image = focal * side / length  # the square of side `length` is enlarged to `side`
    return View(image, points, torch.diag(torch.tensor([focal_of_image, focal_of_image, 1], dtype=torch.float64)))


def _pixels_of_middle(length: int, shorter: int, side: int) -> Tensor:
    """Return which pixels along a side of the picture the middle square shows: an index per pixel of the square.

    Args:
        length: pixels along this side of the picture.
        shorter: pixels along the picture's shorter side, which is resized to `side`.
        side: side of the middle square, pixels.

    Example:
        >>> _pixels_of_middle(length=8, shorter=4, side=4).tolist()
        [2, 3, 4, 5]
    """
    # `int` and `round` as in torchvision's Resize and CenterCrop
    resized = side if length == shorter else int(side * length / shorter)
    pixels = torch.arange(length, dtype=torch.float32)
    index = F.interpolate(pixels[None, None], size=resized, mode="nearest")[0, 0].long()  # torch's nearest pixel
    begin = round((resized - side) / 2)
    return index[begin : begin + side]


def square_around(shown: Tensor) -> tuple[int, int, int]:
    """Return top, left and side of a square around the true pixels of `(S, S)`; 0, 0, 0 if none is true.

    It is that of Probe3D's code. It is as long as the longer direction, whose last row or column of true pixels is
    left out. In the shorter direction it is widened equally on both sides. If it would then leave the picture, it is
    widened before the first pixel, but not beyond the picture's edge; the rest is added behind.

    Example:
        >>> shown = torch.zeros(10, 10, dtype=torch.bool)
        >>> square_around(shown)
        (0, 0, 0)
        >>> shown[:7, 5:8] = True
        >>> square_around(shown)  # widened by 2 columns on both sides
        (0, 3, 6)
        >>> square_around(shown.roll((1, 1), (0, 1)))  # it ends with the picture
        (1, 4, 6)
        >>> square_around(shown.roll((1, 2), (0, 1)))  # it would leave the picture: widened by 4 columns before
        (1, 3, 6)
    """
    if not shown.any():
        return 0, 0, 0
    places = shown.nonzero()
    first = places.amin(0)
    extent = places.amax(0) - first  # (2,) rows and columns, one less than the true pixels span
    length = int(extent.max())
    pad = length - extent
    begin = first - pad // 2
    if (begin < 0).any() or (begin + length > len(shown)).any():
        begin = (first - pad).clamp(min=0)
    top, left = begin.tolist()
    return top, left, length
