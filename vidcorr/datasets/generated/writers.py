"""Synthetic videos on disk: mp4 files for training, benchmark layouts for evaluation."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ...videos.files import DataError, remove, unfinished, write_ids
from ...videos.mask_files import davis_palette
from ...videos.mp4 import Mp4Writer
from .scene import render_video, video_tracks

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARKER = "synthetic.json"
GENERATION = 2
"""Part of every marker; raise it when the same arguments give other images."""


SEPARATORS = (",", "\t", " ")
UNSEEN = 1_000_000
"""Index of the first benchmark video, far beyond any training video."""


@dataclass(frozen=True)
class Scenes:
    """Arguments of all writers: which videos are rendered, and how.

    Args:
        seed: seed of the set.
        first: index of the first video; disjoint ranges of indices have different scenes.
        frames: frames per video.
        size: (height, width), pixels; mp4 files lose an odd last row or column.
        sprites: fewest and most sprites per video.
        camouflage: see `render_video`; below 1 the sprites are easier to distinguish from the background.
    """

    seed: int = 0
    first: int = 0
    frames: int = 48
    size: tuple[int, int] = (256, 256)
    sprites: tuple[int, int] = (2, 4)
    camouflage: float = 1.0

    def render(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Render video `index` of the set: frames (T, H, W, 3) uint8 RGB and masks (T, H, W) uint8."""
        return render_video(self.seed, self.first + index, self.frames, self.size, self.sprites, self.camouflage)


def write_videos(root: str | Path, count: int, key_frame_every: int = 12, **scenes: Any) -> Path:
    """Write `count` H.264 videos `root/00000.mp4`, …; the same arguments and encoder version give the same bytes.

    Args:
        root: folder to make. An earlier generated folder is kept if its arguments are the same, else replaced.
        count: number of videos.
        key_frame_every: frames between key frames.
        scenes: arguments of `Scenes`.

    Returns:
        root.

    Raises:
        DataError: if root holds files that were not generated.
    """
    of = Scenes(**scenes)

    def write(folder: Path, i: int) -> None:
        write_mp4(folder / f"{i:05d}.mp4", of.render(i)[0], key_frame_every=key_frame_every)

    return generate(root, "videos", of, count, write, key_frame_every=key_frame_every)


def write_davis(root: str | Path, count: int, **scenes: Any) -> Path:
    """Write `count` sequences in DAVIS-2017's layout: JPEG frames, indexed PNG masks, ImageSets/2017/val.txt.

    The folders are called 480p for every size. Arguments and errors as in `write_videos`.
    """
    of = Scenes(**scenes)
    names = [f"synthetic-{i:03d}" for i in range(count)]

    def write(folder: Path, i: int) -> None:
        video, masks = of.render(i)
        write_frames(folder / "JPEGImages" / "480p" / names[i], video)
        write_masks(folder / "Annotations" / "480p" / names[i], dict(enumerate(masks)))

    return generate(root, "davis", of, count, write, lists={"ImageSets/2017/val.txt": names})


def write_otb(root: str | Path, count: int, **scenes: Any) -> Path:
    """Write `count` videos in OTB's layout, for `Otb(root, version=None)`; the target is the frontmost sprite.

    As in OTB, commas, tabs or spaces separate the numbers in groundtruth_rect.txt. Every third video has two targets.
    Arguments and errors as in `write_videos`; videos have at least two sprites.
    """
    of = Scenes(**scenes)
    shown = replace(of, sprites=(max(of.sprites[0], 2), max(of.sprites[1], 2)))

    def write(folder: Path, i: int) -> None:
        video, masks = shown.render(i)
        sequence_folder = folder / f"Synthetic{i:03d}"
        write_frames(sequence_folder / "img", video, (f"{t + 1:04d}.jpg" for t in range(of.frames)))
        *behind, front = np.unique(masks[0]).tolist()
        targets = {".1": front, ".2": behind[-1]} if i % 3 == 2 and behind[-1] else {"": front}
        for suffix, number in targets.items():
            lines = [SEPARATORS[i % 3].join(str(int(x)) for x in box) for box in boxes_of(masks, number)]
            write_text(sequence_folder / f"groundtruth_rect{suffix}.txt", lines)

    return generate(root, "otb", of, count, write)


def write_got10k(root: str | Path, count: int, valid: int = 0, **scenes: Any) -> Path:
    """Write `count` training and `valid` validation videos in GOT-10k's layout; the target is the frontmost sprite.

    Other arguments and errors as in `write_videos`.
    """
    of = Scenes(**scenes)
    names = [f"GOT-10k_Train_{i + 1:06d}" for i in range(count)]
    names += [f"GOT-10k_Val_{i + 1:06d}" for i in range(valid)]

    def write(folder: Path, i: int) -> None:
        video, masks = of.render(i)
        sequence_folder = folder / ("train" if i < count else "val") / names[i]
        write_frames(sequence_folder, video, (f"{t + 1:08d}.jpg" for t in range(of.frames)))
        front = masks[0].max()
        boxes, seen = boxes_of(masks, front), (masks == front).any((1, 2))
        write_text(sequence_folder / "groundtruth.txt", (",".join(f"{x:.4f}" for x in box) for box in boxes))
        write_text(sequence_folder / "cover.label", (str(8 * is_seen) for is_seen in seen.tolist()))

    lists = {"train/list.txt": names[:count]} | ({"val/list.txt": names[count:]} if valid else {})
    return generate(root, "got10k", of, count + valid, write, lists=lists, count=count, valid=valid)


def write_tap_vid(root: str | Path, count: int, frames: int = 24, tracks: int = 24, **scenes: Any) -> Path:
    """Write `count` videos with exact tracks as `root/tapvid_davis.pkl`, in the layout of TAP-Vid-DAVIS.

    A track starts at a pixel of a random frame, in turn on the background and on the sprites, and follows the surface
    through motion, rotation, bending and change of size. A point is hidden while another sprite covers its pixel, and
    outside the image.

    Args:
        tracks: tracks per video.

    Other arguments and errors as in `write_videos`.
    """
    of = Scenes(frames=frames, **scenes)
    content: dict[str, dict[str, NDArray[np.generic]]] = {f"synthetic-{i:03d}": {} for i in range(count)}

    def write(folder: Path, i: int) -> None:
        video, masks = of.render(i)
        points, occluded = video_tracks(of.seed, of.first + i, masks, of.sprites, tracks)
        content[f"synthetic-{i:03d}"].update(video=video, points=points, occluded=occluded)

    def finish(folder: Path) -> None:
        (folder / "tapvid_davis.pkl").write_bytes(pickle.dumps(content, 4))

    return generate(root, "tap_vid", of, count, write, finish, tracks=tracks)


def boxes_of(masks: NDArray[np.uint8], number: int) -> NDArray[np.float64]:
    """Return the tightest box around an id in every frame: (T, 4) x, y, width, height, one-based.

    While the id is hidden its last box stays; frame 0 must show it.
    """
    boxes = np.zeros((len(masks), 4))
    for t, mask in enumerate(masks):
        x, y, width, height = cv2.boundingRect((mask == number).astype(np.uint8))
        boxes[t] = (x + 1, y + 1, width, height) if width else boxes[t - 1]
    return boxes


def write_mp4(path: Path, video: NDArray[np.uint8], rate: int = 24, key_frame_every: int = 12) -> None:
    """Encode (T, H, W, 3) uint8 RGB as H.264 (yuv420p, crf 20); the same images give the same bytes."""
    with closing(Mp4Writer(path, rate, key_frame_every, crf="20", preset="veryfast")) as writer:
        for image in video:
            writer.add(image)


def write_frames(folder: Path, video: NDArray[np.uint8], names: Iterable[str] | None = None) -> None:
    """Write (T, H, W, 3) uint8 RGB as images, by default 00000.jpg, 00001.jpg, …"""
    folder.mkdir(parents=True, exist_ok=True)
    names = names if names is not None else (f"{t:05d}.jpg" for t in range(len(video)))
    for name, image in zip(names, video, strict=True):
        options = [cv2.IMWRITE_JPEG_QUALITY, 93] if name.endswith(".jpg") else []
        if not cv2.imwrite(str(folder / name), image[..., ::-1], options):
            raise DataError(f"{folder / name}: cannot be written; check space and permissions")


def write_masks(folder: Path, masks: Mapping[int, NDArray[np.uint8]] | Mapping[str, NDArray[np.uint8]]) -> None:
    """Write (H, W) uint8 ids as indexed PNGs with the DAVIS palette; the keys are frame indices or file stems."""
    folder.mkdir(parents=True)
    palette = davis_palette()
    for key, mask in masks.items():
        write_ids(folder / (f"{key:05d}.png" if isinstance(key, int) else f"{key}.png"), mask, palette)


def write_text(path: Path, lines: Iterable[str]) -> None:
    """Write lines to a file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def generate(
    root: str | Path,
    kind: str,
    of: Scenes,
    videos: int,
    write: Callable[[Path, int], None],
    finish: Callable[[Path], None] = lambda folder: None,
    lists: Mapping[str, Iterable[str]] | None = None,
    **parameters: int,
) -> Path:
    """Make a set of videos in a temporary folder and move it to `root` when it is complete.

    A marker file holds all parameters. A folder with the same marker is kept, with another marker replaced, and without
    a marker refused.

    Args:
        root: folder of the set.
        kind: kind of the set.
        of: parameters of the videos.
        videos: number of videos.
        write: (folder, index of the video) writes a video; called by several threads.
        finish: (folder) writes the other files common to all videos.
        lists: path of a list file in the set → its lines.
        parameters: other parameters of the set; `count` is the number of videos by default.

    Returns:
        root, with `~` expanded.

    Raises:
        DataError: if root is not empty and was not generated.
    """
    root = Path(root).expanduser()
    marked = {"kind": kind, "generation": GENERATION, "count": videos, **asdict(of), **parameters}
    marker = json.dumps(marked, sort_keys=True, indent=1)
    if root.is_dir() and any(root.iterdir()):
        if not (root / MARKER).is_file():
            raise DataError(f"{root}: holds files that were not generated here; give another folder or empty it")
        if (root / MARKER).read_text() == marker:
            return root
    root.parent.mkdir(parents=True, exist_ok=True)
    try:
        with unfinished(root) as folder:
            folder.mkdir()
            with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
                list(pool.map(lambda i: write(folder, i), range(videos)))
            finish(folder)
            for path, lines in (lists or {}).items():
                write_text(folder / path, lines)
            (folder / MARKER).write_text(marker)
            if (root / MARKER).is_file() and (root / MARKER).read_text() != marker:
                remove(root)  # its marker says that it was generated
    except OSError:  # another process was faster
        if not (root / MARKER).is_file() or (root / MARKER).read_text() != marker:
            raise
    return root
