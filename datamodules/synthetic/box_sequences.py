"""Synthetic sequences with a box in every frame, in the layouts of OTB and GOT-10k."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .writers import Scenes, generate, write_frames, write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEPARATORS = (",", "\t", " ")
UNSEEN = 1_000_000
"""Index of the first benchmark video: far beyond those of any training set."""


def write_otb(root: str | Path, count: int, **scenes: Any) -> Path:
    """Write `count` videos in OTB's layout; the target is the sprite in front of all others.

    As in OTB the numbers in groundtruth_rect.txt are separated by commas in one video, by tabs or spaces in others.
    Every third video has two targets. `Otb(root, version=None)` reads it. Arguments and errors as in `write_videos`;
    there are at least two sprites.
    """
    of = Scenes(**scenes)
    shown = replace(of, sprites=(max(of.sprites[0], 2), max(of.sprites[1], 2)))

    def one(folder: Path, i: int) -> None:
        video, masks = shown.render(i)
        sequence_folder = folder / f"Synthetic{i:03d}"
        write_frames(sequence_folder / "img", video, (f"{t + 1:04d}.jpg" for t in range(of.frames)))
        *behind, front = np.unique(masks[0]).tolist()
        targets = {".1": front, ".2": behind[-1]} if i % 3 == 2 and behind[-1] else {"": front}
        for suffix, number in targets.items():
            lines = [SEPARATORS[i % 3].join(str(int(x)) for x in box) for box in boxes_of(masks, number)]
            write_text(sequence_folder / f"groundtruth_rect{suffix}.txt", lines)

    return generate(root, "otb", {"count": count, **asdict(of)}, count, one)


def write_got10k(root: str | Path, count: int, valid: int = 0, **scenes: Any) -> Path:
    """Write `count` training and `valid` validation videos in GOT-10k's layout; the target is the sprite in front.

    Other arguments and errors as in `write_videos`.
    """
    of = Scenes(**scenes)
    names = [f"GOT-10k_Train_{i + 1:06d}" for i in range(count)]
    names += [f"GOT-10k_Val_{i + 1:06d}" for i in range(valid)]

    def one(folder: Path, i: int) -> None:
        video, masks = of.render(i)
        sequence_folder = folder / ("train" if i < count else "val") / names[i]
        write_frames(sequence_folder, video, (f"{t + 1:08d}.jpg" for t in range(of.frames)))
        front = int(masks[0].max())
        boxes = boxes_of(masks, front)
        seen = [bool((mask == front).any()) for mask in masks]
        height, width = of.size
        cut = [min(x, y) <= 1 or x + w > width or y + h > height for x, y, w, h in boxes.tolist()]
        write_text(sequence_folder / "groundtruth.txt", (",".join(f"{x:.4f}" for x in box) for box in boxes))
        write_text(sequence_folder / "cover.label", (str(8 * int(is_seen)) for is_seen in seen))
        write_text(sequence_folder / "absence.label", (str(int(not is_seen)) for is_seen in seen))
        write_text(sequence_folder / "cut_by_image.label", (str(int(is_cut)) for is_cut in cut))

    def finish(folder: Path) -> None:
        write_text(folder / "train" / "list.txt", names[:count])
        if valid:
            write_text(folder / "val" / "list.txt", names[count:])

    return generate(root, "got10k", {"count": count, "valid": valid, **asdict(of)}, count + valid, one, finish)


def boxes_of(masks: NDArray[np.uint8], number: int) -> NDArray[np.float64]:
    """Return the tightest box around an id in every frame: (T, 4) x, y, width, height, one-based.

    Where it is hidden its last box stays; it must be there in frame 0.
    """
    boxes = np.zeros((len(masks), 4))
    for t, mask in enumerate(masks):
        rows, columns = np.flatnonzero((mask == number).any(axis=1)), np.flatnonzero((mask == number).any(axis=0))
        if len(rows):
            width, height = columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
            boxes[t] = columns[0] + 1, rows[0] + 1, width, height
        else:
            boxes[t] = boxes[t - 1]
    return boxes
