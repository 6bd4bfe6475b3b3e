"""Pairs of pictures of rooms, with depth and cameras: ScanNet-1500."""

import functools
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..functional.propagation.resizing import resize_images
from ..protocols import SurfaceProtocol
from ..videos.files import DataError, errors_at, read_text
from ..videos.images import read_image, require_size
from .arrays import read_npz
from .navi import SurfacePair, View, read_depth
from .records import require_files


def read_scannet(root: str | Path) -> list[SurfacePair]:
    """Read the pairs of ScanNet-1500, in the order of the list: test.npz, intrinsics.npz, `sceneRRRR_SS/`.

    Args:
        root: folder `scannet_test_1500`; a scene has color/<n>.jpg, depth/<n>.png and pose/<n>.txt.

    Raises:
        DataError: one line naming the file: a missing one, or one of another form.
    """
    root = Path(root).expanduser()
    pairs_file = root / "test.npz"
    cameras_file = root / "intrinsics.npz"
    listed = read_npz(pairs_file)
    cameras = read_npz(cameras_file)
    pose_of = functools.cache(read_pose)
    pairs: list[SurfacePair] = []
    with errors_at(f"{pairs_file}: is not the list of ScanNet-1500", TypeError):
        for room, take, *frames in listed["name"].tolist():  # a row: the scene's two numbers, those of two frames
            scene = f"scene{room:04d}_{take:02d}"
            files = [root / scene / "color" / f"{frame}.jpg" for frame in frames]
            depths = [root / scene / "depth" / f"{frame}.png" for frame in frames]
            pose_files = [root / scene / "pose" / f"{frame}.txt" for frame in frames]
            first, second = map(pose_of, pose_files)  # from the cameras to the room
            with errors_at(cameras_file):
                camera = np.asarray(cameras[scene], np.float64)
            require_files([*files, *depths], f"named in {pairs_file}")
            pairs.append(
                SurfacePair(
                    name="-".join(map(str, frames)),
                    category=scene,
                    files=tuple(files),
                    depths=tuple(depths),
                    cameras=(camera, camera),  # a scene has one
                    pose=np.linalg.inv(second) @ first,  # from the first camera to the second
                    sources=(pairs_file, cameras_file, *pose_files, *depths),
                )
            )
    if not pairs:
        raise DataError(f"{pairs_file}: the list is empty")
    return pairs


def read_pose(path: Path) -> NDArray[np.float64]:
    """Read a pose from a text of four lines: `(4, 4)`, from the camera to the room, metres.

    Raises:
        DataError: if the file cannot be read or holds other than 16 numbers.
    """
    with errors_at(f"{path}: is not a pose"):
        return np.array(read_text(path).split(), np.float64).reshape(4, 4)


def scannet_view(pair: SurfacePair, which: int, protocol: SurfaceProtocol) -> View:
    """Return a picture of ScanNet, stretched to the network's input, and the surface at the cells of the grid.

    A cell is `grid_step` pixels wide. Its depth is that of its first pixel, its ray that of its middle, as in the code
    of Probe3D.

    Args:
        pair: a pair of `read_scannet`.
        which: 0 or 1.
        protocol: `input_size`, `grid_step`.

    Raises:
        DecodingError: if a file cannot be decoded, or the depth has another size than the input.
    """
    picture = torch.from_numpy(read_image(pair.files[which])).permute(2, 0, 1)
    image = resize_images(picture[None], protocol.input_size, "pillow-bilinear")[0]
    millimetres = read_depth(pair.depths[which])
    require_size(pair.depths[which], millimetres.shape, protocol.input_size)
    pixels = protocol.first_pixels  # slice of the first pixel of each cell along a side
    depth = torch.from_numpy(millimetres[pixels, pixels].astype(np.float32)) / 1000
    step = protocol.grid_step
    y = (torch.arange(depth.shape[0], dtype=torch.float32) + 0.5) * step  # middles of the cells, pixels
    x = (torch.arange(depth.shape[1], dtype=torch.float32) + 0.5) * step
    camera = torch.from_numpy(pair.cameras[which])  # (3, 3) float64, from points to pixels
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    rays = camera.inverse() @ torch.stack([columns, rows, torch.ones_like(rows)]).double().flatten(1)
    points = rays.float().unflatten(1, depth.shape) * depth  # x, y, z (3, h, w), metres; rays have z = 1
    return View(image, points, camera)
