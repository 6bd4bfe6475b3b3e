"""Pictures of tracked boxes: overlays, success and precision plots."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .clip_sheets import rasterise
from .overlays import Picture, as_picture

TRUTH, FOUND = (255, 255, 255), (230, 40, 40)


def overlay_boxes(frame: Tensor, found: NDArray[np.float64], truth: NDArray[np.float64] | None = None) -> Picture:
    """Draw the box that was found in red, over the annotated one in white where there is one.

    Args:
        frame: uint8 RGB `(3, H, W)`.
        found: one-based x, y, width, height; boxes may leave the frame.
        truth: one-based x, y, width, height.

    Returns:
        uint8 RGB `(H, W, 3)`.
    """
    import cv2

    picture = as_picture(frame)
    limit = 4 * max(picture.shape)  # OpenCV draws in 32 bits
    for box, colour in ((truth, TRUTH), (found, FOUND)):
        if box is not None and np.isfinite(box).all():
            left, top = box[:2] - 1
            corners = np.clip([left, top, left + box[2] - 1, top + box[3] - 1], -limit, limit).round().astype(int)
            cv2.rectangle(picture, corners[:2].tolist(), corners[2:].tolist(), colour, 2)
    return picture


def plot_curves(curves: Sequence[Tensor], name: str) -> dict[str, Picture]:
    """Draw the success and precision plots of one-pass evaluation.

    Args:
        curves: success at overlaps from 0 to 1, `(21,)`, and precision at errors of 0, 1, … pixels, `(51,)`, as
            `TrackingSuccess.curves` gives them.
        name: what was evaluated.

    Returns:
        `success` and `precision` → uint8 RGB `(H, W, 3)`.
    """
    success, precision = (curve.tolist() for curve in curves)
    overlaps, errors = np.linspace(0, 1, len(success)), np.arange(len(precision))
    area = sum(success) / len(success)
    return {
        "success": _plot(overlaps, success, f"{name} [{area:.3f}]", "overlap threshold", "success rate"),
        "precision": _plot(
            errors, precision, f"{name} [{precision[20]:.3f}]", "location error threshold (px)", "precision", at=20
        ),
    }


def _plot(
    thresholds: NDArray[Any], values: list[float], label: str, along: str, up: str, at: float | None = None
) -> Picture:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), dpi=150, layout="constrained")
    axes = figure.add_subplot(xlabel=along, ylabel=up, xlim=(thresholds[0], thresholds[-1]), ylim=(0, 1))
    axes.plot(thresholds, values, color="C0", lw=2, label=label)
    if at is not None:
        axes.axvline(at, color="0.6", lw=1, ls=":")
    axes.grid(alpha=0.3)
    axes.legend()
    return rasterise(figure)
