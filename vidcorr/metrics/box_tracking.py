"""Success and precision of single-object tracking: one-pass evaluation of OTB, as the GOT-10k toolkit counts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .outlines import as_array

Boxes = Tensor | NDArray[Any]
Numbers = Tensor | NDArray[Any]

# thresholds of the success curve, IoU
OVERLAPS = np.linspace(0, 1, 21)

# thresholds of the precision curve, pixels
ERRORS = np.arange(51)

CURVES = len(OVERLAPS) + len(ERRORS)


OTB = {"name": "otb", "source": "got-10k/toolkit @ 956e728, ExperimentOTB, one-pass evaluation"}
"""The rules of scores, for results."""


def box_iou(prediction: Boxes, target: Boxes) -> Tensor:
    """Compute the intersection over union of boxes, pair by pair.

    Args:
        prediction: (N, 4) x, y, width, height.
        target: (N, 4).

    Returns:
        (N,) float64 in [0, 1]; NaN for a NaN box.

    Raises:
        ValueError: if the boxes are not (N, 4).

    Example:
        >>> box_iou(np.array([[10, 10, 20, 20]]), np.array([[20, 10, 20, 20]]))
        tensor([0.3333], dtype=torch.float64)
    """
    a, b = _boxes(prediction, target)
    corner = np.maximum(a[:, :2], b[:, :2])
    a_end = a[:, :2] + a[:, 2:]
    b_end = b[:, :2] + b[:, 2:]
    sides = np.maximum(np.minimum(a_end, b_end) - corner, 0)
    shared = sides.prod(axis=1)
    a_area = a[:, 2] * a[:, 3]
    b_area = b[:, 2] * b[:, 3]
    union = a_area + b_area - shared
    # with the machine epsilon, as in the toolkit, boxes without area have IoU 0, not 0 / 0
    return torch.from_numpy(np.clip(shared / (union + np.finfo(float).eps), 0, 1))


def centre_error(prediction: Boxes, target: Boxes) -> Tensor:
    """Compute distances of the boxes' centres in pixels, (N, 4) and (N, 4) → (N,) float64; NaN for a NaN box."""
    a, b = _boxes(prediction, target)
    # in the toolkit's order, to round as it does: the centre of pixels 0 to w - 1 is (w - 1) / 2. In exact numbers the
    # - 1 would cancel
    a_centre = a[:, :2] + (a[:, 2:] - 1) / 2
    b_centre = b[:, :2] + (b[:, 2:] - 1) / 2
    offset = a_centre - b_centre
    return torch.from_numpy(np.sqrt((offset**2).sum(axis=1)))


def success_curve(iou: Numbers) -> Tensor:
    """Compute the fractions of frames with IoU above 0, 0.05 … 1, strictly: (N,) → (21,); NaN is a failure."""
    return torch.from_numpy((as_array(iou)[:, None] > OVERLAPS).mean(axis=0))


def precision_curve(error: Numbers) -> Tensor:
    """Compute the fractions of frames with a centre error of at most 0, 1 … 50 px: (N,) → (51,); NaN is a failure."""
    return torch.from_numpy((as_array(error)[:, None] <= ERRORS).mean(axis=0))


def one_pass_curves(prediction: Boxes, target: Boxes) -> NDArray[np.float64]:
    """Compute success curve and precision curve (72,) of boxes (T, 4) by OTB's one-pass evaluation.

    Predictions are rounded to 3 decimals, as the toolkit stores them, and the annotation replaces frame 0.
    Protocol: OTB (Wu et al., CVPR 2013), as in the GOT-10k toolkit.
    """
    boxes, truth = _boxes(prediction, target)
    if not len(truth):
        raise ValueError("a sequence needs a frame")
    boxes = np.round(boxes, 3)
    boxes[0] = truth[0]
    success = success_curve(box_iou(boxes, truth))
    precision = precision_curve(centre_error(boxes, truth))
    return np.concatenate([success.numpy(), precision.numpy()])


def one_pass_counts(prediction: NDArray[np.float64], target: NDArray[np.float64]) -> dict[str, Any]:
    """Return `curves` over the frames with an annotated box, and as `absent` the number of other frames.

    UAV123 and LaSOT write NaN where the target is absent. GOT-10k's toolkit, which is for OTB, would count such frames
    as failures. The curves are NaN if only the first frame, which is given, has a box.

    Example:
        >>> truth = np.array([[1.0, 2, 30, 40]] * 3)
        >>> truth[2] = np.nan  # the target is absent
        >>> counts = one_pass_counts(np.nan_to_num(truth), truth)
        >>> one_pass_scores([counts["curves"]])["precision@20px"], counts["absent"]
        (1.0, 1)
    """
    is_box = np.isfinite(target).all(axis=1)
    # frame 0 is given, and alone makes no score
    has_scored = np.isfinite(target[1:]).all(axis=1).any()
    curves = one_pass_curves(prediction[is_box], target[is_box]) if has_scored else np.full(CURVES, np.nan)
    counts: dict[str, Any] = {"curves": curves.tolist()}
    if not is_box.all():
        counts["absent"] = int((~is_box).sum())
    return counts


def doubts_on_absence(sequences: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a sentence about frames without an annotated box, in a list; an empty list if all have one."""
    frames = sum(counts.get("absent", 0) for counts in sequences.values())
    if not frames:
        return []
    first = next(name for name, counts in sequences.items() if "absent" in counts)
    return [f"{frames} frames without an annotated box (NaN, first in {first}) are left out"]


def mean_curves(sequences: Sequence[object]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return success curve (21,) and precision curve (51,) over sequences with a scored frame; NaN without any."""
    curves = np.array([*sequences], np.float64).reshape(-1, CURVES)
    defined = curves[~np.isnan(curves[:, 0])]
    means = defined.mean(axis=0) if len(defined) else np.full(CURVES, np.nan)
    return means[: len(OVERLAPS)], means[len(OVERLAPS) :]


def one_pass_scores(sequences: Sequence[object]) -> dict[str, float]:
    """Return the scores of OTB, means over the curves of sequences; NaN without a scored frame.

    `success` is the mean of the success curve's 21 values, so a perfect track scores 20/21; `precision@20px` is the
    precision curve at 20 px, `success@0.5` the success curve at IoU 0.5.

    Example:
        >>> boxes = np.array([[10.0, 10.0, 20.0, 30.0]] * 4)
        >>> one_pass_scores([one_pass_curves(boxes, boxes)])  # the last of 21 thresholds is 1, which no IoU exceeds
        {'success': 0.9523809523809523, 'precision@20px': 1.0, 'success@0.5': 1.0}
    """
    success, precision = mean_curves(sequences)
    return {
        "success": float(success.mean()),
        "precision@20px": float(precision[20]),  # thresholds 0, 1 … 50 px
        "success@0.5": float(success[10]),  # thresholds 0, 0.05 … 1
    }


def _boxes(prediction: Boxes, target: Boxes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a = as_array(prediction).astype(np.float64)
    b = as_array(target).astype(np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 4:
        raise ValueError(f"boxes must be (N, 4), got prediction {a.shape} and target {b.shape}")
    return a, b
