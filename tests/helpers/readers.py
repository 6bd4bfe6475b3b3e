"""Every reader of a folder of data, over a small generated data set: what a test of people's files walks."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.imagenet import images_of_classes
from vidcorr.datasets import Badja, Davis, Jhmdb, Otb, TapVid, Vip, Vos, YoutubeVos
from vidcorr.datasets.generated import (
    write_badja,
    write_davis,
    write_got10k,
    write_jhmdb,
    write_otb,
    write_tap_vid,
    write_vip,
    write_youtube_vos,
)
from vidcorr.datasets.generated.writers import write_frames
from vidcorr.datasets.got10k import list_sequences, read_annotation
from vidcorr.videos.folders import list_folders
from vidcorr.videos.source import FrameFolder, list_videos

FRAMES = 12
"""Frames of a video: more than ten, so that names without zeros have another order as text."""
Contents = list[Any]


def write_classes(root: Path) -> Path:
    """Write a folder of images per class."""
    for name in ("cat", "dog"):
        write_frames(root / name, np.zeros((FRAMES, 8, 8, 3), np.uint8))
    return root


def contents(root: Path, read: Callable[[Path], Any]) -> Contents:
    """Return name, frames, masks and labels of each sequence that a reader gives."""
    found: Contents = []
    for sequence in read(root):
        frames = [frame.read_bytes() for frame in sequence.frames]
        frames = frames or [sequence.frame(t).numpy().tobytes() for t in range(sequence.num_frames)]
        files = getattr(sequence, "masks", ())
        numbered = files.items() if isinstance(files, Mapping) else enumerate(files)
        masks = [(t, mask.read_bytes()) for t, mask in numbered]
        labels = [getattr(sequence, name).tolist() for name in ("points", "boxes") if hasattr(sequence, name)]
        found.append([sequence.name, frames, masks, labels])
    return found


def of_videos(root: Path) -> Contents:
    """Return what a training source holds: each video's folder and frames."""
    videos = [entry.path for entry in list_videos(root)]
    return [[path.name, [image.tobytes() for image in FrameFolder(path).frames()]] for path in videos]


def of_got10k(root: Path) -> Contents:
    """Return the frames and boxes of GOT-10k's sequences."""
    annotations = [read_annotation(folder) for folder in list_sequences(root, "train")]
    return [[[frame.read_bytes() for frame in frames], boxes.tolist()] for frames, boxes, _ in annotations]


SIZE = (32, 32)
READERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Contents]]] = {
    "Davis": (lambda root: write_davis(root, 1, frames=FRAMES, size=SIZE), lambda root: contents(root, Davis)),
    "Vos": (
        lambda root: write_davis(root, 1, frames=FRAMES, size=SIZE),
        lambda root: contents(root, partial(Vos, frames="JPEGImages/480p", masks="Annotations/480p")),
    ),
    "YoutubeVos": (
        lambda root: write_youtube_vos(root, 1, valid=1, frames=2 * FRAMES, size=SIZE),
        lambda root: contents(root, partial(YoutubeVos, split="train")),
    ),
    "Vip": (lambda root: write_vip(root, 1, frames=FRAMES, size=SIZE), lambda root: contents(root, Vip)),
    "Jhmdb": (lambda root: write_jhmdb(root, 1, frames=FRAMES, size=SIZE), lambda root: contents(root, Jhmdb)),
    "Otb": (
        lambda root: write_otb(root, 1, frames=FRAMES, size=SIZE),
        lambda root: contents(root, partial(Otb, version=None)),
    ),
    "Badja": (lambda root: write_badja(root, 1, frames=FRAMES, size=SIZE), lambda root: contents(root, Badja)),
    "TapVid": (lambda root: write_tap_vid(root, 1, frames=FRAMES, size=SIZE), lambda root: contents(root, TapVid)),
    "GOT-10k": (lambda root: write_got10k(root, 1, frames=FRAMES, size=SIZE), of_got10k),
    "training videos": (lambda root: write_davis(root, 1, frames=FRAMES, size=SIZE) / "JPEGImages", of_videos),
    "classes of images": (write_classes, lambda root: [images_of_classes(root, sorted(list_folders(root)))]),
}
"""Reader → what writes a data set for it, and what it reads there."""
