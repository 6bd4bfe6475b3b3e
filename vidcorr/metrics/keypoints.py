"""Percentage of correct keypoints on JHMDB, by the counting of two public codes or by visibility."""

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


class KeypointRows(SequenceRows):
    """Percentage of correct keypoints, as a fraction, at several thresholds.

    The state is a row of counts per video, so the score does not depend on the distribution of videos over ranks.

    Args:
        thresholds: fractions of the person's size.
        counting: the joints that count, see `keypoint_distances`.
    """

    pooled = True

    def __init__(
        self,
        thresholds: Sequence[float] = PCK_THRESHOLDS,
        counting: Counting = "prediction-visible",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.thresholds, self.counting = tuple(thresholds), counting

    def update(
        self, prediction: Points, target: Points, *, name: str | None = None, size: tuple[int, int] | None = None
    ) -> None:
        """Add a video: (T, K, 2) x, y in pixels; arguments and errors of `keypoint_distances`."""
        with self.named(name) as name:
            distances = keypoint_distances(prediction, target, self.counting, size)
        counts = [~distances.isnan(), *(distances <= threshold for threshold in self.thresholds)]
        self.add_row(name, torch.stack(counts).sum(dim=1).tolist())

    def scores(self, table: dict[str, Any]) -> dict[str, float]:
        """Return `PCK@0.1` and so on; NaN if no joint counted."""
        counts = self._total(table)
        seen = counts[:, counts[0] > 0]
        means = (seen[1:] / seen[0]).mean(dim=1).tolist()  # a mean of nothing is NaN
        return {f"PCK@{threshold:g}": mean for threshold, mean in zip(self.thresholds, means, strict=True)}

    def per_joint(self) -> Tensor:
        """Return the fractions of joints within the thresholds, (A, K) float64; NaN for a joint that never counted."""
        counts = self._total(self.table())
        return counts[1:] / counts[0]

    def _total(self, table: dict[str, Any]) -> Tensor:
        """Return the joints of all videos that count, and of these the joints within each threshold, (1 + A, K)."""
        if len(joints := {len(counts[0]) for counts in table.values()}) > 1:
            raise ValueError(f"videos of {' and '.join(map(str, sorted(joints)))} joints have no common PCK")
        nothing = [[0]] * (1 + len(self.thresholds))
        return torch.tensor(list(table.values()) or [nothing], dtype=torch.float64).sum(0)
