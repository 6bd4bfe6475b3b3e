"""Success and precision of single-object tracking: one-pass evaluation of OTB, as the GOT-10k toolkit counts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .outlines import as_array
from .rows import SequenceRows

Boxes = Tensor | NDArray[Any]

OVERLAPS = np.linspace(0, 1, 21)
"""Thresholds of the success curve, IoU."""

ERRORS = np.arange(51)
"""Thresholds of the precision curve, pixels."""


def box_iou(prediction: Boxes, target: Boxes) -> Tensor:
    """Compute the intersection over union of boxes, pair by pair.

    Args:
        prediction: (N, 4) x, y, width, height.
        target: (N, 4).

    Returns:
        (N,) float64 in [0, 1]; NaN for a NaN box.

    Raises:
        ValueError: if the boxes are not (N, 4).
    """
    a, b = _boxes(prediction, target)
    corner = np.maximum(a[:, :2], b[:, :2])
    sides = np.maximum(np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:]) - corner, 0)
    shared = sides.prod(axis=1)
    union = a[:, 2] * a[:, 3] + b[:, 2] * b[:, 3] - shared
    return torch.from_numpy(np.clip(shared / (union + np.finfo(float).eps), 0, 1))


def centre_error(prediction: Boxes, target: Boxes) -> Tensor:
    """Compute distances of the boxes' centres in pixels, (N, 4) and (N, 4) → (N,) float64; NaN for a NaN box."""
    a, b = _boxes(prediction, target)
    # centres first: the error of two equal boxes is then exactly 0, and within the threshold 0 px
    offset = (a[:, :2] + (a[:, 2:] - 1) / 2) - (b[:, :2] + (b[:, 2:] - 1) / 2)
    return torch.from_numpy(np.sqrt((offset**2).sum(axis=1)))


def success_curve(iou: Boxes) -> Tensor:
    """Compute the fractions of frames with IoU above 0, 0.05 … 1, strictly: (N,) → (21,); NaN is a failure."""
    return torch.from_numpy((as_array(iou)[:, None] > OVERLAPS).mean(axis=0))


def precision_curve(error: Boxes) -> Tensor:
    """Compute the fractions of frames with a centre error of at most 0, 1 … 50 px: (N,) → (51,); NaN is a failure."""
    return torch.from_numpy((as_array(error)[:, None] <= ERRORS).mean(axis=0))


def got10k_overlaps(
    prediction: Boxes, target: Boxes, size: tuple[int, int], cover: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the IoU of the frames that GOT-10k counts: frames with a visible target, without frame 0.

    Both boxes are cut at the image's borders first. A NaN box overlaps nothing.
    Source: got-10k/toolkit @ 62b8fa0, got10k/experiments/got10k.py and got10k/utils/metrics.py.

    Args:
        prediction: (T, 4) x, y, width, height.
        target: (T, 4).
        size: (height, width) of the frames, pixels.
        cover: (T,) visible part of the target, 0 to 8; 0 does not count.

    Returns:
        (n,) in [0, 1]. AO is their mean over all sequences, SR at 0.5 and 0.75 the fraction strictly above.
    """
    border = np.array(size[::-1], np.float64)
    counted = np.flatnonzero(cover[1:] > 0) + 1
    inside = []
    for boxes in _boxes(prediction, target):
        corner = np.clip(boxes[counted, :2], 0, border)
        inside.append(np.column_stack([corner, np.clip(boxes[counted, 2:], 0, border - corner)]))
    return np.nan_to_num(box_iou(*inside).numpy())


class BoxRows(SequenceRows):
    """One-pass evaluation: curves by sequence, averaged over the sequences.

    `success` is the mean of the success curve's 21 values, so a perfect track scores 20/21; `precision@20px` is the
    precision curve at 20 px; `success@0.5` the success curve at IoU 0.5. Before scoring, predictions are rounded to 3
    decimals, as the toolkit stores them, and the annotation replaces frame 0.
    Protocol: OTB (Wu et al., CVPR 2013), as in the GOT-10k toolkit.
    """

    def update(self, prediction: Boxes, target: Boxes, *, name: str | None = None) -> None:
        """Add a sequence: (T, 4) boxes x, y, width, height, both in the same convention.

        Raises:
            ValueError: if the boxes are not (T, 4); the message names the sequence.
        """
        with self.named(name) as name:
            boxes, truth = _boxes(prediction, target)
            if not len(boxes):
                raise ValueError("no frame to score")
        boxes = np.round(boxes, 3)
        boxes[0] = truth[0]
        curves = torch.cat([success_curve(box_iou(boxes, truth)), precision_curve(centre_error(boxes, truth))])
        self.add_row(name, curves.tolist())

    def scores(self, table: dict[str, Any]) -> dict[str, float]:
        """Return `success`, `precision@20px` and `success@0.5`."""
        success, precision = _mean_curves(table)
        return {
            "success": float(success.mean()),
            "precision@20px": float(precision[20]),
            "success@0.5": float(success[10]),
        }

    def curves(self) -> tuple[Tensor, Tensor]:
        """Return success (21,) and precision (51,), averaged over the sequences, for plots; NaN without any."""
        success, precision = _mean_curves(self.table())
        return torch.from_numpy(success), torch.from_numpy(precision)


class OverlapRows(SequenceRows):
    """GOT-10k's scores over the frames of all sequences together, see `got10k_overlaps`."""

    pooled = True

    def update(
        self,
        predictions: Sequence[Boxes],
        target: Boxes,
        size: tuple[int, int],
        cover: NDArray[np.float64],
        *,
        name: str | None = None,
    ) -> None:
        """Add a sequence with the boxes of all repetitions; other arguments and errors of `got10k_overlaps`."""
        with self.named(name) as name:
            overlaps = [got10k_overlaps(boxes, target, size, cover).tolist() for boxes in predictions]
        self.add_row(name, [value for of_repetition in overlaps for value in of_repetition])

    def scores(self, table: dict[str, Any]) -> dict[str, float]:
        """Return `AO`, the mean, and `SR@0.5` and `SR@0.75`, the fractions strictly above."""
        overlaps = np.concatenate(list(table.values()))
        rates = {f"SR@{threshold:g}": float(np.mean(overlaps > threshold)) for threshold in (0.5, 0.75)}
        return {"AO": float(np.mean(overlaps)), **rates}


def _mean_curves(table: dict[str, Any]) -> list[NDArray[np.float64]]:
    curves = np.array(list(table.values()) or [[np.nan] * (len(OVERLAPS) + len(ERRORS))])
    return np.split(curves.mean(axis=0), [len(OVERLAPS)])


def _boxes(prediction: Boxes, target: Boxes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = (as_array(x).astype(np.float64) for x in (prediction, target))
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 4:
        raise ValueError(f"boxes must be (N, 4), got prediction {a.shape} and target {b.shape}")
    return a, b
