"""Percentage of correct keypoints on JHMDB, by the counting of two public codes or by visibility."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .outlines import as_array

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
    inside the image, without frame 0, and a joint that was not predicted is infinitely far.

    Args:
        prediction: (T, K, 2) x, y in pixels, zero-based; negative or NaN for a joint that was not predicted.
        target: (T, K, 2) x, y in pixels, zero-based (JHMDB's files are one-based); NaN for a joint not annotated.
        size: (H, W) of the image, needed by "ground-truth".

    Returns:
        (T, K) float64; NaN for a joint that does not count, infinite if the box has no extent.

    Raises:
        ValueError: if the shapes differ, the rule is unknown, or it needs `size`.

    Example:
        >>> truth = np.array([[[0.0, 10.0], [30.0, 50.0]]])  # 0.6 times the diagonal of 30 x 40 is 30
        >>> keypoint_distances(truth + [[6.0, 0.0], [0.0, 0.0]], truth)
        tensor([[0.2000, 0.0000]], dtype=torch.float64)
        >>> keypoint_distances(truth[:, 1:], truth[:, 1:])  # a box without extent is a miss
        tensor([[inf]], dtype=torch.float64)
        >>> three = np.insert(truth.repeat(3, axis=0), 2, [31.0, 5.0], axis=1)  # a joint beyond an image of 51 x 31 px
        >>> predicted = three.copy()
        >>> predicted[1, 0, 0] = 6.0
        >>> predicted[1, 1], predicted[2, 1] = -1, np.nan  # not predicted
        >>> keypoint_distances(predicted, three, "ground-truth", size=(51, 31))
        tensor([[   nan,    nan,    nan],
                [0.2000,    inf,    nan],
                [0.0000,    inf,    nan]], dtype=torch.float64)
    """
    points = as_array(prediction).astype(np.float64)
    truth = as_array(target).astype(np.float64)
    if points.shape != truth.shape or points.ndim != 3 or points.shape[2] != 2:
        raise ValueError(f"joints must be (T, K, 2), got prediction {points.shape} and target {truth.shape}")
    if counting not in get_args(Counting):
        raise ValueError(f"counting must be one of {get_args(Counting)}, got {counting!r}")
    counted = _counted(points, truth, counting, size)
    box = np.where(counted[..., None], truth, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        extent = np.fmax.reduce(box, axis=1) - np.fmin.reduce(box, axis=1)
        scale = 0.6 * np.sqrt((extent**2).sum(axis=1, keepdims=True))
        distances = np.sqrt(((points - truth) ** 2).sum(axis=2)) / scale
    distances[~(scale[:, 0] > 0)] = np.inf
    if counting == "ground-truth":
        is_predicted = np.isfinite(points) & (points >= 0)
        distances[~is_predicted.all(axis=2)] = np.inf
    return torch.from_numpy(np.where(counted, distances, np.nan))


def _counted(
    points: NDArray[np.float64], truth: NDArray[np.float64], counting: Counting, size: tuple[int, int] | None
) -> NDArray[np.bool_]:
    is_annotated = np.isfinite(truth)
    counted = is_annotated[..., 0] & is_annotated[..., 1]
    # the codes of VFS and CRW test x alone, VFS's > 0 and CRW's >= 0: x of a joint that was not found is negative
    if counting == "prediction-visible":
        # VFS's code counts frame 0 too
        return counted & (points[..., 0] > 0)
    counted[0] = False
    if counting == "crw":
        return counted & (points[..., 0] >= 0)
    if size is None:
        raise ValueError('counting="ground-truth" needs the image\'s size=(H, W)')
    height, width = size
    inside = (truth >= 0) & (truth <= np.array([width - 1, height - 1]))
    return counted & inside[..., 0] & inside[..., 1]


def pck_counts(
    prediction: Points,
    target: Points,
    thresholds: Sequence[float] = PCK_THRESHOLDS,
    counting: Counting = "prediction-visible",
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Count for each joint of a video the frames in which it counts, and those within each threshold: (1 + A, K).

    Args: as `keypoint_distances`, and A `thresholds`.

    Example:
        >>> truth = np.array([[[0.0, 10.0], [30.0, 50.0]]])  # a box of 30 x 40 px: a size of 30 px
        >>> pck_counts(truth + [[6.0, 0.0], [0.0, 0.0]], truth, thresholds=(0.1, 0.2))  # 6 px are within 0.2
        tensor([[1, 1],
                [0, 1],
                [1, 1]])
    """
    distances = keypoint_distances(prediction, target, counting, size)
    counts = [~distances.isnan()]
    counts += [distances <= threshold for threshold in thresholds]
    return torch.stack(counts).sum(dim=1)


def pck_scores(videos: Sequence[object], thresholds: Sequence[float] = PCK_THRESHOLDS) -> dict[str, float]:
    """Return PCK at each threshold: the mean over the joints that count in some frame; NaN if none does.

    The value of a joint is the fraction of its counted frames, of all videos together, in which it is near enough.

    Example:
        >>> pck_scores([[[2, 0, 4], [1, 0, 4]]], thresholds=[0.1])
        {'PCK@0.1': 0.75}
    """
    keys = [f"PCK@{threshold:g}" for threshold in thresholds]
    counts = torch.zeros(1 + len(keys), 1, dtype=torch.float64)  # (1 + A, K) with the first video
    for video_counts in videos:
        counts = counts + torch.as_tensor(video_counts, dtype=torch.float64)
    counted = counts[:, counts[0] > 0]
    means = (counted[1:] / counted[0]).mean(dim=1).tolist()
    return dict(zip(keys, means, strict=True))
