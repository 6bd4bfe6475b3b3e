"""Shared parts of the writers of generated videos: the choice of videos, their folder, and the files in it."""

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...videos.files import DataError, unfinished, user_path
from ...videos.folders import list_data
from ...videos.masks import davis_palette, write_ids
from ...videos.mp4 import Mp4Writer
from .scene import Scenes

MARKER = "synthetic.json"
GENERATION = 3
"""Part of every marker; raise it when the same arguments give other images."""
OPENCV = int(cv2.__version__.split(".")[0])
"""Release that draws. From 5 on the same arguments give the same images, those of published runs; by 4 other ones."""
FIRST_BENCHMARK_VIDEO = 1_000_000
"""Index of the first benchmark video, far beyond any training video."""


def is_made(root: Path, marker: str) -> bool:
    """Return whether a folder holds the set that a marker describes."""
    path = root / MARKER
    return path.is_file() and path.read_text(encoding="utf-8", errors="replace") == marker


def layout(**defaults: Any) -> Callable[[Callable[..., None]], Callable[..., Path]]:
    """Return a decorator that turns `write(folder, scenes, count, **own)` into `writer(root, count, **arguments)`.

    The writer takes the arguments of `Scenes` and the further arguments of `write`. It makes the set in a temporary
    folder, and moves the folder to `root` when it is complete. A marker file holds all arguments: a `root` with the
    same marker is kept, another is refused unless it is empty.
    """

    def decorated(write: Callable[..., None]) -> Callable[..., Path]:

        def write_set(root: str | Path, count: int, **arguments: Any) -> Path:
            root = user_path(root)
            own_arguments = {name: arguments.pop(name) for name in signature(write).parameters if name in arguments}
            scenes = Scenes(**defaults | arguments)
            # the marker's text: everything that decides the files of the set
            content = {"kind": write.__name__, "generation": GENERATION, "count": count}
            content |= asdict(scenes) | own_arguments
            # OpenCV 4 warps and blurs to other pixels than later releases: another set
            if OPENCV < 5:
                content["opencv"] = OPENCV
            marker = json.dumps(content, sort_keys=True, indent=1)
            if not is_made(root, marker):
                _make(root, marker, lambda folder: write(folder, scenes, count, **own_arguments))
            return root

        write_set.__name__ = write.__name__
        write_set.__doc__ = write.__doc__
        return write_set

    return decorated


def _make(root: Path, marker: str, write: Callable[[Path], None]) -> None:
    """Make a set in a temporary folder, and move it to `root`; raise `DataError` if `root` holds anything."""
    if (root / MARKER).is_file() or list_data(root):
        raise DataError(f"{root}: holds other files or another generated set; give another folder or empty it")
    root.parent.mkdir(parents=True, exist_ok=True)
    try:
        with unfinished(root) as folder:
            folder.mkdir()
            write(folder)
            (folder / MARKER).write_text(marker)
    except OSError:
        # else another process has made it meanwhile
        if not is_made(root, marker):
            raise


def write_mp4(path: Path, video: NDArray[np.uint8], rate: int = 24) -> None:
    """Encode (T, H, W, 3) uint8 RGB as H.264 (yuv420p, crf 20); the same images give the same bytes."""
    # `g`: a frame of 12 can be decoded without the frames before it
    with closing(Mp4Writer(path, rate, g="12", crf="20", preset="veryfast")) as writer:
        for image in video:
            writer.add(image)


def write_frames(folder: Path, video: NDArray[np.uint8], names: Iterable[str] | None = None) -> None:
    """Write (T, H, W, 3) uint8 RGB as images, by default 00000.jpg, 00001.jpg, …"""
    folder.mkdir(parents=True, exist_ok=True)
    if names is None:
        names = numbered("{:05d}.jpg", range(len(video)))
    for name, image in zip(names, video, strict=True):
        options = [cv2.IMWRITE_JPEG_QUALITY, 93] if name.endswith(".jpg") else []
        # OpenCV takes BGR
        _, content = cv2.imencode(Path(name).suffix, image[..., ::-1], options)
        (folder / name).write_bytes(content.tobytes())


def write_masks(folder: Path, masks: Mapping[int, NDArray[np.uint8]] | Mapping[str, NDArray[np.uint8]]) -> None:
    """Write (H, W) uint8 ids as indexed PNGs with the DAVIS palette; the keys are frame indices or file stems."""
    folder.mkdir(parents=True)
    palette = davis_palette()
    for key, mask in masks.items():
        stem = f"{key:05d}" if isinstance(key, int) else key
        write_ids(folder / f"{stem}.png", mask, palette)


def numbered(pattern: str, numbers: Iterable[int]) -> list[str]:
    """Return names with numbers in the place of `{}`: `frame-{:03d}` gives frame-000, frame-001, …"""
    return list(map(pattern.format, numbers))


def write_text(path: Path, lines: Iterable[str]) -> None:
    """Write a file of lines, and the folder it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def boxes_of(masks: NDArray[Any], number: int) -> NDArray[np.float64]:
    """Return the tightest box around an id in every frame: (T, 4) x, y, width, height, one-based.

    In a frame without the id the box is that of the frame before. Frame 0 must show the id.
    """
    boxes = np.zeros((len(masks), 4))
    for t, mask in enumerate(masks):
        x, y, width, height = cv2.boundingRect((mask == number).astype(np.uint8))
        boxes[t] = boxes[t - 1]
        if width:
            boxes[t] = (x + 1, y + 1, width, height)
    return boxes


def lines_of(boxes: NDArray[Any], separator: str, pattern: str = "{}") -> list[str]:
    """Return a line of text per box (T, 4); `pattern` formats each number, `separator` stands between them."""
    return [separator.join(map(pattern.format, box)) for box in boxes.tolist()]
