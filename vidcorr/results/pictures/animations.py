"""Animations of tracked sequences: frames side by side in an image that the report plays, and curves below them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ...videos.files import write_atomically
from ..checked import plain
from .overlays import Picture, contact_sheet, overlay_masks

FRAMES = 32  # most frames of an animation
COLUMNS = 8  # most frames side by side in its image
WIDTH = 320  # width of its frames, pixels
TRUTH_SUFFIX = ".truth.webp"  # suffix of the image with the ground truth

Frame = tuple[Picture, Picture | None]
"""A drawn frame of width `WIDTH`, uint8 `(H, W, 3)`, and the same with its ground truth; None if this is unknown."""
Curve = tuple[Sequence[float], Sequence[float]]
"""Positions along the axis, and the values at them; an unknown value is NaN."""


def write_animation(
    path: Path, frames: Mapping[int, Frame], curves: Mapping[str, Curve] | None = None, **facts: str
) -> None:
    """Write the animation of a sequence: drawn frames side by side in an image that the report plays, and curves.

    If any frame has ground truth, a second image shows the ground truth, with grey for frames without it.

    Args:
        path: file of the image, `.webp`; `.json`, and `.truth.webp` with the ground truth, are written beside it.
        frames: index of a frame → the drawn frame, and its ground truth or None.
        curves: name → curve over all frames of the sequence.
        **facts: texts for the report: `sequence`, the name; `kind`, the kind of labels, "" if a sequence has a single
            kind; `caption`, what the drawings show.
    """
    pictures = [picture for picture, _ in frames.values()]
    truths = [truth for _, truth in frames.values()]
    unknown = np.full_like(pictures[0], 128)
    drawn = {".webp": pictures}
    if any(truth is not None for truth in truths):
        drawn[TRUTH_SUFFIX] = [unknown if truth is None else truth for truth in truths]
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = min(COLUMNS, len(pictures))
    for suffix, side_by_side in drawn.items():
        sheet = contact_sheet(side_by_side, columns=columns, width=WIDTH, gap=0)
        Image.fromarray(sheet).save(path.with_suffix(suffix), quality=70, method=0)
    rounded = {}
    for name, curve in (curves or {}).items():
        rounded[name] = [np.round(values, 4).tolist() for values in curve]
    size = [WIDTH, pictures[0].shape[0]]
    metadata = plain({**facts, "columns": columns, "frames": list(frames), "size": size, "curves": rounded})
    write_atomically(path.with_suffix(".json"), json.dumps(metadata) + "\n")


def overlay_masks_small(frame: Tensor, mask: Tensor) -> Picture:
    """Return a frame, uint8 `(3, H, W)`, with the objects of a mask of ids `(H, W)`, drawn at the width of animations.

    The picture is uint8 RGB `(H · 320 / W, 320, 3)`. Frame and mask are reduced before they are drawn, which is faster
    than reducing the picture.
    """
    size = (round(frame.shape[1] * WIDTH / frame.shape[2]), WIDTH)
    small = F.interpolate(frame[None].cpu(), size, mode="bilinear", antialias=True)[0]
    ids = F.interpolate(mask[None, None].cpu(), size, mode="nearest-exact")[0, 0]
    return overlay_masks(small, ids)
