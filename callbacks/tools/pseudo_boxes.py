"""Make tracking pairs from unlabelled videos: drawn boxes, carried by label propagation, in GOT-10k's layout."""

import argparse
import json
import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from datamodules.got10k import read_sequence
from datamodules.prompted_video import FrameStream
from datamodules.reading.errors import DataError
from datamodules.reading.files import ProgressReport, unfinished, write_atomically
from datamodules.reading.guards import read_json
from datamodules.reading.source import list_videos
from lightning_modules.backbones import build_feature_extractor
from lightning_modules.backbones.extractor import MIN_CELLS
from lightning_modules.checkpoints import allow_named

from .. import signals
from ..prediction.follow import propagate_masks
from ..prediction.unfinished import identify_network
from ..tracking.view import stride_of

FULLY_VISIBLE = 8
"""GOT-10k's visible part of a target that nothing hides; 0 is a hidden one."""
SIDES = (0.2, 0.45)
"""Sides of a drawn box, as fractions of the frame's short side."""
GROWTH = 2.0
"""Factor by which a mask's area may grow or shrink before its box counts as lost."""
FILLED = 0.4
"""Least part of a box that its mask fills; below, the mask is scattered."""
TRIMMED = 0.02
"""Part of a mask's pixels that lies outside its box on each side, so that strays do not widen it."""


MADE_FROM = "pseudo_boxes.json"
"""File in the output that says what it was made from, so that a repeated call adds nothing of another kind."""


class Sequences(NamedTuple):
    """Outcome of `pseudo_boxes`.

    Attributes:
        written: names in `output/train/list.txt`.
        without_pairs: those of them with fewer than two usable boxes, which training replaces.
        left_out: videos that could not be read.
    """

    written: list[str]
    without_pairs: list[str]
    left_out: list[Path]


def pseudo_boxes(
    extractor: nn.Module,
    source: str | Path,
    output: str | Path,
    videos: int | None = None,
    frames: int = 16,
    short_side: int = 240,
    seed: int = 0,
) -> Sequences:
    """Draw a box in the first frame of each video, follow it, and write frames and boxes in GOT-10k's layout.

    Boxes are drawn anywhere, and many contain background only; a frame whose mask has scattered, or whose area has more
    than doubled or halved, is marked as hidden (`cover.label` 0), so that `Got10kDataModule` does not learn from it.
    Videos in `output/train` already are skipped, so an interrupted call resumes; one with other settings is refused.

    Args:
        extractor: features that carry the boxes, see `build_feature_extractor`.
        source: folder or list of videos, see `list_videos`.
        output: root for `Got10kDataModule`, outside of the source.
        videos: number of videos to use, the first ones; None takes all.
        frames: number of frames from the start of each video, as far as it has them.
        short_side: the extractor sees frames reduced to this, pixels.
        seed: seed of the drawn boxes.

    Raises:
        DataError: if there is no such source, none of its videos can be read, or the output is of another make.
        ValueError: if `videos`, `frames` or `seed` is too small.
        Stopped: between two frames, if a signal asks for it.

    Warns:
        Of a video that cannot be read, has a single frame or is too small for the features: it is left out.
    """
    if frames < 2 or (videos is not None and videos < 1):
        raise ValueError(f"pseudo-boxes needs 1 video and 2 frames of each at least, got {videos} and {frames}")
    if seed < 0:
        raise ValueError(f"pseudo-boxes: seed must be 0 or more, got {seed}")
    entries = list_videos(source)[:videos]
    root = Path(os.path.abspath(Path(source).expanduser()))
    if root.is_dir() and Path(os.path.abspath(output)).is_relative_to(root):
        raise DataError(f"{output}: lies in the source, whose videos would then include it; give a folder outside")
    base = root if root.is_dir() else root.parent
    settings = {"frames": frames, "short_side": short_side, "seed": seed, "network": identify_network(extractor)}
    _claim(Path(output), settings, [os.path.relpath(entry.path, base) for entry in entries])
    folder = Path(output) / "train"
    folder.mkdir(exist_ok=True)
    names = {f"{number:06d}": entry.path for number, entry in enumerate(entries)}
    with signals.deferred(), ProgressReport("pseudo-boxes", len(entries), "videos") as progress:
        for number, (name, path) in enumerate(names.items()):
            if not (folder / name).exists():
                try:
                    _make(extractor, path, folder / name, frames, short_side, np.random.default_rng((seed, number)))
                except DataError as error:
                    warnings.warn(f"left out: {error}", stacklevel=2)
            progress.advance(to=number + 1)
            signals.check()
    written = [name for name in names if (folder / name).exists()]
    if not written:
        raise DataError(f"{source}: none of {len(entries)} videos can be read")
    write_atomically(folder / "list.txt", "".join(f"{name}\n" for name in written))
    without = [name for name in written if len(read_sequence(folder / name)[2]) < 2]
    return Sequences(written, without, [path for name, path in names.items() if name not in written])


def _claim(output: Path, settings: dict[str, Any], videos: list[str]) -> None:
    """Record what the output is made from, or check that it agrees with the record; it may hold more or fewer videos.

    Raises:
        DataError: if it does not, or the folder holds sequences without a record.
    """
    path, remedy = output / MADE_FROM, "give another folder, or remove this one"
    wanted = {**settings, "videos": videos}
    if (output / "train").is_dir() and any((output / "train").iterdir()):
        if not path.is_file():
            raise DataError(f"{output / 'train'}: holds what pseudo-boxes did not make; {remedy}")
        there = read_json(path, remedy)
        if not isinstance(there, dict) or set(there) != set(wanted) or not isinstance(there["videos"], list):
            raise DataError(f"{path}: is damaged; {remedy}")
        other = [name for name, value in settings.items() if there[name] != value]
        if any(before != now for before, now in zip(there["videos"], videos, strict=False)):
            other.append("videos")
        if other:
            raise DataError(f"{output}: was made from something else ({', '.join(other)}); {remedy}")
        wanted["videos"] = max(videos, there["videos"], key=len)
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(wanted, indent=1) + "\n")


def _make(
    extractor: nn.Module, video: Path, folder: Path, frames: int, short_side: int, generator: np.random.Generator
) -> None:
    """Write the sequence of one video.

    Raises:
        DataError: if the video cannot be read, has one frame only, or is too small for the features.
    """
    stream = FrameStream(video)
    least = MIN_CELLS * stride_of(extractor)
    if min(stream.size) < least:
        height, width = stream.size
        raise DataError(f"{video}: is {width} x {height} px; both sides must have {least} for these features")
    pictures = list(islice(stream, frames))
    if len(pictures) < 2:
        raise DataError(f"{video}: has one frame only, a pair needs 2")
    boxes, cover = follow_box(extractor, pictures, draw_box(stream.size, generator), short_side)
    with unfinished(folder) as temporary:
        temporary.mkdir()
        _write(pictures, boxes, cover, temporary)


def draw_box(size: tuple[int, int], generator: np.random.Generator) -> tuple[int, int, int, int]:
    """Draw x, y, width and height of a box inside a frame of size (H, W), whole pixels."""
    height, width = size
    w, h = (int(min(size) * fraction) for fraction in generator.uniform(*SIDES, size=2))
    return int(generator.integers(width - w + 1)), int(generator.integers(height - h + 1)), w, h


def follow_box(
    extractor: nn.Module, frames: Sequence[Tensor], box: tuple[int, int, int, int], short_side: int = 240
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Follow a box by label propagation.

    Args:
        extractor: see `build_feature_extractor`.
        frames: uint8 RGB `(3, H, W)` each.
        box: x, y, width, height in the first frame, pixels from 0.
        short_side: see `pseudo_boxes`.

    Returns:
        Boxes (T, 4), and which of them hold the target (T,): 8 or 0, as in GOT-10k's `cover.label`.
    """
    x, y, w, h = box
    mask = np.zeros(frames[0].shape[-2:], np.uint8)
    mask[y : y + h, x : x + w] = 1
    masks = (ids.numpy() for _, ids in propagate_masks(extractor, frames, mask, short_side=short_side))
    boxes = [box_of(mask) for mask in masks]
    areas = np.array([w * h for _, _, w, h, _ in boxes], np.float64)
    filled = np.array([part for *_, part in boxes])
    kept = (areas >= areas[0] / GROWTH) & (areas <= areas[0] * GROWTH) & (filled >= FILLED)
    return np.array([corners for *corners, _ in boxes], np.float64), np.where(kept, FULLY_VISIBLE, 0)


def box_of(mask: NDArray[np.uint8]) -> tuple[float, float, float, float, float]:
    """Return x, y, width and height of the box around a mask's pixels without strays, and the part that they fill."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0, 0.0
    (left, right), (top, bottom) = (np.quantile(coordinates, (TRIMMED, 1 - TRIMMED)) for coordinates in (columns, rows))
    width, height = right - left + 1, bottom - top + 1
    return left, top, width, height, len(rows) / (width * height)


def _write(frames: Sequence[Tensor], boxes: NDArray[np.float64], cover: NDArray[np.int64], path: Path) -> None:
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame.permute(1, 2, 0).numpy()).save(path / f"{number:08d}.jpg", quality=95)
    from_one = boxes + np.array([1, 1, 0, 0])  # GOT-10k counts pixels from 1
    np.savetxt(path / "groundtruth.txt", from_one, fmt="%.2f", delimiter=",")
    np.savetxt(path / "cover.label", cover, fmt="%d")


def command(args: Sequence[str]) -> None:
    """Run `vidcorr pseudo-boxes` with its arguments; a user's mistake raises a one-line ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr pseudo-boxes", description=__doc__)
    parser.add_argument("source", help="folder of videos, or a .txt or .csv list of them")
    parser.add_argument("output", help="folder to write, the root of Got10kDataModule")
    parser.add_argument("--model", required=True, help="checkpoint or backbone whose features carry the boxes")
    parser.add_argument("--stage", help="stage of the features (default: the backbone's own)")
    parser.add_argument("--stride", type=int, help="pixels per feature cell")
    parser.add_argument("--videos", type=int, metavar="N", help="use only the first N videos")
    parser.add_argument("--frames", type=int, default=16, metavar="N", help="frames per video (default: 16)")
    parser.add_argument(
        "--short-side", type=int, default=240, metavar="PX", help="short side of the model's input (default: 240)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random boxes (default: 0)")
    given = vars(parser.parse_args(allow_named(list(args))))
    extractor = build_feature_extractor(given.pop("model"), stage=given.pop("stage"), stride=given.pop("stride"))
    try:
        found = pseudo_boxes(extractor, **given)
    except signals.Stopped:
        print("pseudo-boxes: interrupted; run the same command again to resume", file=sys.stderr)
        raise
    notes = [f"{len(found.written)} sequences"]
    if found.without_pairs:
        notes.append(f"{len(found.without_pairs)} of them without two usable boxes, which training replaces by others")
    if found.left_out:
        notes.append(f"{len(found.left_out)} videos left out")
    output = given["output"]
    print(f"{output}: {', '.join(notes)}; train with --data Got10kDataModule --data.root {shlex.quote(output)}")
