"""Make tracking pairs from unlabelled videos: drawn boxes, carried by label propagation, in GOT-10k's layout."""

import argparse
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from datamodules.progress_report import ProgressReport
from datamodules.prompted_video import FrameStream
from datamodules.reading.atomic_writing import unfinished, write_atomically
from datamodules.reading.source import list_videos
from lightning_modules.backbones import build_feature_extractor
from lightning_modules.checkpoints import allow_named

from .. import signals
from ..prediction.follow import propagate_masks

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


def pseudo_boxes(
    extractor: nn.Module,
    source: str | Path,
    output: str | Path,
    videos: int | None = None,
    frames: int = 16,
    short_side: int = 240,
    seed: int = 0,
) -> int:
    """Draw a box in the first frame of each video, follow it, and write frames and boxes in GOT-10k's layout.

    Boxes are drawn anywhere, and many contain background only; a frame whose mask has scattered, or whose area has more
    than doubled or halved, is marked as hidden (`cover.label` 0), so that `Got10kDataModule` does not learn from it.
    Videos in `output/train` already are skipped, so an interrupted call resumes.

    Args:
        extractor: features that carry the boxes, see `build_feature_extractor`.
        source: folder or list of videos, see `list_videos`.
        output: root for `Got10kDataModule`.
        videos: number of videos to use, the first ones; None takes all.
        frames: number of frames from the start of each video.
        short_side: the extractor sees frames reduced to this, pixels.
        seed: seed of the drawn boxes.

    Returns:
        Number of sequences in `output/train`.

    Raises:
        DataError: if there is no such source, or a video cannot be read.
        ValueError: if `videos` or `frames` is too small.
        Stopped: between two frames, if a signal asks for it.
    """
    if frames < 2 or (videos is not None and videos < 1):
        raise ValueError(f"pseudo-boxes needs 1 video and 2 frames of each at least, got {videos} and {frames}")
    folder = Path(output) / "train"
    folder.mkdir(parents=True, exist_ok=True)
    entries = list_videos(source)[:videos]
    names = [f"{number:06d}" for number in range(len(entries))]
    with signals.deferred(), ProgressReport("pseudo-boxes", len(entries), "videos") as progress:
        for number, (entry, name) in enumerate(zip(entries, names, strict=True)):
            if not (folder / name).exists():
                stream = FrameStream(entry.path)
                box = draw_box(stream.size, np.random.default_rng((seed, number)))
                pictures = list(islice(stream, frames))
                boxes, cover = follow_box(extractor, pictures, box, short_side)
                with unfinished(folder / name) as temporary:
                    temporary.mkdir()
                    _write(pictures, boxes, cover, temporary)
            progress.advance(to=number + 1)
            signals.check()
    write_atomically(folder / "list.txt", "".join(f"{name}\n" for name in names))
    return len(names)


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
    count = pseudo_boxes(extractor, **given)
    print(f"{given['output']}: {count} sequences; train with --data Got10kDataModule --data.root {given['output']}")
