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
from .overlays import Picture, contact_sheet, evenly_spaced, overlay_masks, resized

FRAMES = 32  # most frames of an animation
COLUMNS = 8  # most frames side by side in its image
WIDTH = 320  # width of its frames, pixels
TRUTH_SUFFIX = ".truth.webp"  # suffix of the image with the ground truth

Curve = tuple[Sequence[float], Sequence[float]]
"""Positions along the axis, and the values at them; an unknown value is NaN."""


class SequenceAnimation:
    """Up to 32 drawn frames of a sequence, side by side in an image that the report plays, and curves over all frames.

    `close` writes `animations/[<kind>/]<sequence>.webp`, `.json` beside it, and, if any frame has ground truth,
    `.truth.webp` with the drawn ground truth, grey for frames without it.

    Args:
        folder: folder of the run.
        sequence: name of the sequence.
        num_frames: number of frames of the sequence; the frames shown are evenly spaced.
        kind: subfolder, if a sequence is followed in several ways.
        caption: what the drawings show.

    Attributes:
        chosen: indices of the frames shown; call `add` once for each, in this order, then `close`.
    """

    def __init__(self, folder: Path, sequence: str, num_frames: int, kind: str = "", caption: str = "") -> None:
        self._path = folder / "animations" / kind / f"{sequence}.webp"
        self.chosen = evenly_spaced(num_frames, FRAMES)
        columns = min(COLUMNS, num_frames)
        about = {"sequence": sequence, "kind": kind, "caption": caption}
        self._metadata = {**about, "columns": columns, "frames": self.chosen}
        self._pictures: list[Picture] = []
        self._truths: list[Picture] = []
        self._has_truth = False

    def add(self, picture: Picture, truth: Picture | None = None) -> None:
        """Add the drawn picture of the next chosen frame, uint8 `(H, W, 3)`.

        Args:
            picture: the frame with the prediction.
            truth: the frame with the ground truth; None if unknown.
        """
        self._pictures.append(resized(picture, WIDTH))
        if truth is None:
            self._truths.append(np.full_like(self._pictures[-1], 128))
        else:
            self._truths.append(resized(truth, WIDTH))
            self._has_truth = True

    def close(self, curves: Mapping[str, Curve] | None = None) -> None:
        """Write the files.

        Args:
            curves: name → curve over all frames of the sequence.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        drawn = {".webp": self._pictures}
        if self._has_truth:
            drawn[TRUTH_SUFFIX] = self._truths
        for suffix, pictures in drawn.items():
            sheet = contact_sheet(pictures, columns=min(COLUMNS, len(pictures)), width=WIDTH, gap=0)
            Image.fromarray(sheet).save(self._path.with_suffix(suffix), quality=70, method=0)
        size = [WIDTH, self._pictures[0].shape[0]]
        rounded = {}
        for name, curve in (curves or {}).items():
            rounded[name] = [np.round(values, 4).tolist() for values in curve]
        metadata = plain(self._metadata | {"size": size, "curves": rounded})
        write_atomically(self._path.with_suffix(".json"), json.dumps(metadata) + "\n")


def overlay_masks_small(frame: Tensor, mask: Tensor) -> Picture:
    """Return a frame, uint8 `(3, H, W)`, with the objects of a mask of ids `(H, W)`, drawn at the width of animations.

    Frame and mask are reduced before they are drawn, which is faster than reducing the picture.
    """
    size = (round(frame.shape[1] * WIDTH / frame.shape[2]), WIDTH)
    small = F.interpolate(frame[None].cpu(), size, mode="bilinear", antialias=True)[0]
    ids = F.interpolate(mask[None, None].cpu(), size, mode="nearest-exact")[0, 0]
    return overlay_masks(small, ids)
