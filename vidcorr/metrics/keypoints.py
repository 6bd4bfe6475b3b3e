"""Percentage of correct keypoints on JHMDB, by the counting of two public codes or by visibility."""

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .outlines import as_array
from .rows import SequenceRows

Counting = Literal["prediction-visible", "crw", "ground-truth"]

PCK_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)

Points = Tensor | NDArray[Any]


def keypoint_distances(
    prediction: Points,
    target: Points,
    counting: Counting = "prediction-visible",
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Compute distances of predicted joints, as fractions of the person's size in the frame.

    The size is 0.6 times the diagonal of the box around the counted annotated joints. `counting` chooses the joints:
    "prediction-visible" (VFS): predicted x > 0; "crw": predicted x ≥ 0, without frame 0; "ground-truth": annotated
    inside the image, without frame 0, and a joint that was not found is infinitely far.

    Args:
        prediction: (T, K, 2) x, y in pixels, zero-based; negative or NaN for a joint that was not found.
        target: (T, K, 2) x, y in pixels, zero-based (JHMDB's files are one-based); NaN for a joint not annotated.
        counting: the joints that count.
        size: (H, W) of the image, needed by "ground-truth".

    Returns:
        (T, K) float64; NaN for a joint that does not count, infinite if the box has no extent.

    Raises:
        ValueError: if the shapes differ, the rule is unknown, or it needs `size`.
    """
    points, truth = (as_array(x).astype(np.float64) for x in (prediction, target))
    if points.shape != truth.shape or points.ndim != 3 or points.shape[2] != 2:
        raise ValueError(f"joints must be (T, K, 2), got prediction {points.shape} and target {truth.shape}")
    if counting not in get_args(Counting):
        raise ValueError(f"counting must be one of {', '.join(get_args(Counting))}, got {counting!r}")
    counted = np.isfinite(truth).all(axis=2)
    if counting == "prediction-visible":
        counted &= points[..., 0] > 0
    elif counting == "crw":
        counted &= points[..., 0] >= 0
    elif size is None:
        raise ValueError('counting="ground-truth" needs the image\'s size=(H, W)')
    else:
        counted &= (truth >= 0).all(axis=2) & (truth[..., 0] <= size[1] - 1) & (truth[..., 1] <= size[0] - 1)
    if counting != "prediction-visible":
        counted[0] = False
    box = np.where(counted[..., None], truth, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        extent = np.fmax.reduce(box, axis=1) - np.fmin.reduce(box, axis=1)
        scale = 0.6 * np.sqrt((extent**2).sum(axis=1, keepdims=True))
        distances = np.sqrt(((points - truth) ** 2).sum(axis=2)) / scale
    distances[~(scale[:, 0] > 0)] = np.inf
    if counting == "ground-truth":
        distances[~np.all(np.isfinite(points) & (points >= 0), axis=2)] = np.inf
    return torch.from_numpy(np.where(counted, distances, np.nan))


def pck(distances: Tensor, thresholds: Sequence[float] = PCK_THRESHOLDS) -> Tensor:
    """Compute the fractions of joints within thresholds, by joint, then averaged over the joints.

    Args:
        distances: (N, K) from `keypoint_distances`; frames of several videos may be stacked.
        thresholds: A thresholds in the distances' unit.

    Returns:
        (A,) float64 in [0, 1]; NaN if no joint counts.

    Example:
        >>> pck(torch.tensor([[0.05, 0.3], [0.2, float("nan")]]), (0.1, 0.5))
        tensor([0.2500, 1.0000], dtype=torch.float64)
    """
    return _mean_over_joints(_counts(distances, thresholds))


class KeypointRows(SequenceRows):
    """Percentage of correct keypoints, as a fraction, at several thresholds.

    The state is a row of counts per video, so the score does not depend on the distribution of videos over ranks.

    Args:
        thresholds: fractions of the person's size.
        counting: the joints that count, see `keypoint_distances`.
        joints: K; JHMDB has 15.
    """

    pooled = True

    def __init__(
        self,
        thresholds: Sequence[float] = PCK_THRESHOLDS,
        counting: Counting = "prediction-visible",
        joints: int = 15,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.thresholds, self.counting, self.joints = tuple(thresholds), counting, joints

    def update(
        self, prediction: Points, target: Points, *, name: str | None = None, size: tuple[int, int] | None = None
    ) -> None:
        """Add a video: (T, K, 2) x, y in pixels; arguments and errors of `keypoint_distances`."""
        with self.named(name) as name:
            distances = keypoint_distances(prediction, target, self.counting, size)
            if distances.shape[1] != self.joints:
                raise ValueError(f"expected {self.joints} joints, got {distances.shape[1]}")
        self.add_row(name, _counts(distances, self.thresholds).tolist())

    def scores(self, table: dict[str, Any]) -> dict[str, float]:
        """Return `PCK@0.1` and so on; NaN if no joint counted."""
        values = _mean_over_joints(self._total(table)).tolist()
        return {f"PCK@{threshold:g}": value for threshold, value in zip(self.thresholds, values, strict=True)}

    def per_joint(self) -> Tensor:
        """Return the fractions of joints within the thresholds, (A, K) float64; NaN for a joint that never counted."""
        counts = self._total(self.table())
        return counts[1:] / counts[0]

    def _total(self, table: dict[str, Any]) -> Tensor:
        """Return the counts of all videos together, (1 + A, K)."""
        counts = torch.tensor(list(table.values()), dtype=torch.float64)
        return counts.view(-1, 1 + len(self.thresholds), self.joints).sum(0)


def _counts(distances: Tensor, thresholds: Sequence[float]) -> Tensor:
    """Count the joints that count, and of these the joints within the thresholds: (1 + A, K)."""
    counts = [~distances.isnan(), *(distances <= threshold for threshold in thresholds)]
    return torch.stack(counts).sum(dim=1).double()


def _mean_over_joints(counts: Tensor) -> Tensor:
    seen = counts[:, counts[0] > 0]
    if not seen.shape[1]:
        return torch.full((len(counts) - 1,), math.nan, dtype=torch.float64)
    return (seen[1:] / seen[0]).mean(dim=1)
