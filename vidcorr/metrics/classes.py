"""The benchmarks' metrics as torchmetrics classes, for training loops: a row per sequence, gathered over ranks."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from .box_tracking import one_pass_curves, one_pass_scores
from .keypoints import PCK_THRESHOLDS, Counting, pck_counts, pck_scores
from .outlines import Masks, as_pair
from .parts import ap_scores, class_areas, iou_scores, match_instances
from .row_metric import RowMetric
from .rules import RULES
from .scoring import AnnotatedVideo, MaskScorer, Object, Values, numbers_in

DAVIS = RULES["davis-2017"]
VOID = 255


class PCK(RowMetric):
    """Percentage of correct keypoints, as a fraction, at several thresholds.

    Joints are counted over all videos before they are divided. `update(prediction, target, name=None, size=None)` adds
    a video, with the arguments of `keypoint_distances`. `compute()` gives `PCK@0.1` and so on; NaN if no joint counted.

    Args:
        thresholds: fractions of the person's size.
        counting: the joints that count, as in `keypoint_distances`.
        kwargs: as in `RowMetric`.

    Raises:
        ValueError: by `update`, if the shapes differ, the counting is unknown, or it needs `size`.

    Example:
        >>> import torch
        >>> metric = PCK(thresholds=(0.1,))
        >>> truth = torch.tensor([[[10.0, 10.0], [40.0, 50.0]]])
        >>> metric.update(truth + torch.tensor([[4.0, 0.0], [0.0, 0.0]]), truth, name="wave")
        >>> metric.compute()
        {'PCK@0.1': tensor(0.5000, dtype=torch.float64)}
    """

    def __init__(
        self,
        thresholds: Sequence[float] = PCK_THRESHOLDS,
        counting: Counting = "prediction-visible",
        **kwargs: Any,
    ) -> None:
        measure = partial(pck_counts, thresholds=tuple(thresholds), counting=counting)
        super().__init__(measure, partial(pck_scores, thresholds=tuple(thresholds)), **kwargs)


class SemanticIoU(RowMetric):
    """Mean intersection over union of classes, areas summed over the data set before they are divided.

    The means leave out classes that are neither predicted nor annotated; a class that is only predicted scores 0.
    `update(prediction, target, name=None)` adds a video: (T, H, W) integer classes; 255 in the target is ignored.
    `compute()` gives `mIoU`, `mAcc` (mean recall of the classes) and `aAcc` (fraction of correct pixels).

    Args:
        classes: C, background included; VIP has 20.
        kwargs: as in `RowMetric`.

    Raises:
        ValueError: by `update`, if the shapes differ, or a value is not a class.

    Example:
        >>> import torch
        >>> metric = SemanticIoU(classes=2)
        >>> metric.update(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 1, 1]), name="clip")
        >>> metric.compute()["mIoU"]
        tensor(0.5833, dtype=torch.float64)
    """

    def __init__(self, classes: int = 20, **kwargs: Any) -> None:
        super().__init__(partial(class_areas, classes=classes), iou_scores, **kwargs)


class InstanceAP(RowMetric):
    """AP of part instances: mean over the classes and over the IoU thresholds 0.1 … 0.9, by the rules of `ap_scores`.

    `update(prediction, target, name=…, classes=…, scores=…, target_classes=None)` adds a frame of a video, with the
    arguments of `match_instances`; all frames of a video have its name. `compute()` gives `AP`, `AP@0.1` and so on; NaN
    if nothing was predicted or annotated.

    Raises:
        ValueError: by `update`, if the masks are no integers (H, W) of one size, an instance has no score, or a class
            is no part.

    Example:
        >>> import torch
        >>> metric = InstanceAP(score="AP")
        >>> ids = torch.tensor([[1, 1, 1, 2]])
        >>> metric.update(ids, ids, name="walk", classes={1: 5, 2: 9}, scores={1: 0.9, 2: 0.5})
        >>> metric.compute()
        tensor(1., dtype=torch.float64)
    """

    adds_frames = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(match_instances, ap_scores, **kwargs)


class TrackingSuccess(RowMetric):
    """One-pass evaluation: curves by sequence, averaged over the sequences.

    `update(prediction, target, name=None)` adds a sequence: (T, 4) boxes x, y, width, height. `compute()` gives
    `success`, `precision@20px` and `success@0.5`. A frame without a target (NaN) counts as a failure, as in GOT-10k's
    toolkit; `OtbBenchmark` leaves it out.

    Raises:
        ValueError: by `update`, if the boxes are not (T, 4).

    Example:
        >>> import torch
        >>> metric = TrackingSuccess()
        >>> boxes = torch.tensor([[10.0, 10.0, 20.0, 30.0]] * 4)
        >>> metric.update(boxes, boxes, name="Basketball")
        >>> metric.compute()["success"] * 21
        tensor(20., dtype=torch.float64)
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(one_pass_curves, one_pass_scores, **kwargs)


class RegionBoundary(RowMetric):
    """J, F and J&F over sequences: mean, recall and decay, averaged over the objects.

    As in DAVIS's semi-supervised task, the first and the last frame of a sequence do not count, and its objects are 1
    to the largest id of the first target. `update(prediction, target, name=None)` adds a sequence: (T, H, W) integer
    ids, or bool for a single object, at the annotation's size. 255 is background, never an object.

    Raises:
        ValueError: by `update`, for what `davis_values` refuses.

    Example:
        >>> import torch
        >>> metric = RegionBoundary(score="J-Mean")
        >>> ids = torch.ones(5, 8, 8, dtype=torch.uint8)
        >>> metric.update(ids, ids, name="square")
        >>> half = ids.clone()
        >>> half[:, :, 4:] = 255  # background, as 0 is
        >>> metric.update(ids, half, name="twice as large")
        >>> metric.compute()
        tensor(0.7500, dtype=torch.float64)
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(davis_values, davis_scores, **kwargs)

    def named_rows(self, name: str, measured: Mapping[Object, Values]) -> list[tuple[str, Values]]:
        return [(f"{name}_{number}", values) for number, values in measured.items()]


def davis_values(prediction: Masks, target: Masks) -> dict[Object, Values]:
    """Return object → values such as `J-Mean` by DAVIS's rules, from ids (T, H, W) of a sequence."""
    predicted, wanted = as_pair(prediction, target)
    for masks in (predicted, wanted):
        if masks.ndim != 3 or masks.dtype.kind not in "bui":
            raise ValueError(f"masks must be ids (T, H, W), bool or integers, got {masks.shape} {masks.dtype}")
        if VOID in masks and not np.any((masks > 0) & (masks != VOID)):
            raise ValueError("masks of 0 and 255 have no object, since 255 is background: give ids, or `masks > 0`")
    video = AnnotatedVideo(name="", frames=range(len(wanted)), shown=lambda t: numbers_in(wanted[t]))
    scorer = MaskScorer(DAVIS, video)
    for t in video.frames:
        scorer.add(t, wanted[t], predicted[t])
    return scorer.finish()


def davis_scores(rows: Sequence[Values]) -> Values:
    """Return DAVIS's scores, the means over the values of all objects; NaN without objects."""
    if not rows:
        return dict.fromkeys((score.name for score in DAVIS.declared), math.nan)
    # keyed by video and object, whose names the means do not need
    return DAVIS.scores({("", number): values for number, values in enumerate(rows)})
