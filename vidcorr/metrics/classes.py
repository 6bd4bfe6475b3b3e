"""The benchmarks' metrics as torchmetrics classes, for training loops: a row per sequence, gathered over ranks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .box_tracking import Boxes, one_pass_curves, one_pass_scores
from .keypoints import PCK_THRESHOLDS, Counting, Points, pck_counts, pck_scores
from .outlines import Masks, as_pair
from .parts import ap_scores, class_areas, iou_scores, match_instances
from .row_metric import RowMetric, Table
from .rules import RULES
from .scoring import MaskScorer, Values, Video, numbers_in


class PCK(RowMetric):
    """Percentage of correct keypoints, as a fraction, at several thresholds.

    Joints are counted over all videos before they are divided.

    Args:
        thresholds: fractions of the person's size.
        counting: the joints that count: "prediction-visible" (VFS): predicted x > 0; "crw": predicted x ≥ 0, without
            frame 0; "ground-truth": annotated inside the image, without frame 0.
        kwargs: arguments of torchmetrics.Metric, for example `process_group`.

    Example:
        >>> import torch
        >>> metric = PCK(thresholds=(0.1,))
        >>> truth = torch.tensor([[[10.0, 10.0], [40.0, 50.0]]])
        >>> metric.update(truth + torch.tensor([[4.0, 0.0], [0.0, 0.0]]), truth, name="wave")
        >>> metric.compute()
        {'PCK@0.1': 0.5}
    """

    def __init__(
        self,
        thresholds: Sequence[float] = PCK_THRESHOLDS,
        counting: Counting = "prediction-visible",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.thresholds = tuple(thresholds)
        self.counting: Counting = counting
        self.row_shape = (1 + len(self.thresholds), -1)

    def update(
        self, prediction: Points, target: Points, *, name: str | None = None, size: tuple[int, int] | None = None
    ) -> None:
        """Add a video.

        Args:
            prediction: (T, K, 2) x, y in pixels, zero-based; negative or NaN for a joint that was not found.
            target: (T, K, 2) x, y in pixels, zero-based; NaN for a joint not annotated.
            name: the video's name; by default its index.
            size: (H, W) of the image, needed by the counting "ground-truth".

        Raises:
            ValueError: if the shapes differ, the counting is unknown, or it needs `size`.
        """
        self.add_row(name, pck_counts(prediction, target, self.thresholds, self.counting, size))

    def scores(self, table: Table) -> dict[str, float]:
        """Return `PCK@0.1` and so on; NaN if no joint counted."""
        return pck_scores(list(table.values()), self.thresholds)


class SemanticIoU(RowMetric):
    """Mean intersection over union of classes, areas summed over the data set before they are divided.

    The means leave out classes that are neither predicted nor annotated; a class that is only predicted scores 0.

    Args:
        classes: C, background included; VIP has 20.
        kwargs: arguments of torchmetrics.Metric, for example `process_group`.

    Example:
        >>> import torch
        >>> metric = SemanticIoU(classes=2)
        >>> metric.update(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 1, 1]), name="clip")
        >>> round(metric.compute()["mIoU"], 4)
        0.5833
    """

    def __init__(self, classes: int = 20, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes = classes
        self.row_shape = (4, classes)

    def update(self, prediction: Masks, target: Masks, *, name: str | None = None) -> None:
        """Add a video.

        Args:
            prediction: (T, H, W) integer classes.
            target: (T, H, W) integer classes; 255 is ignored.
            name: the video's name; by default its index.

        Raises:
            ValueError: if the shapes differ, or a value is not a class.
        """
        self.add_row(name, class_areas(prediction, target, self.classes))

    def scores(self, table: Table) -> dict[str, float]:
        """Return `mIoU`, `mAcc` (mean recall of the classes) and `aAcc` (fraction of correct pixels)."""
        return iou_scores(list(table.values()))


class InstanceAP(RowMetric):
    """AP of part instances: mean over the classes and over the IoU thresholds 0.1 … 0.9, by the rules of `ap_scores`.

    Args:
        kwargs: arguments of torchmetrics.Metric, for example `process_group`.
    """

    def update(
        self,
        prediction: Masks,
        target: Masks,
        *,
        name: str | None = None,
        classes: Mapping[int, int],
        scores: Mapping[int, float],
        target_classes: Mapping[int, int] | None = None,
    ) -> None:
        """Add a frame of a video.

        Args:
            prediction: (H, W) integer instance ids.
            target: (H, W) integer instance ids.
            name: the video's name; all frames of a video have rows of this name.
            classes: predicted id → class; other ids are background.
            scores: predicted id → confidence.
            target_classes: annotated id → class; by default `classes`.

        Raises:
            ValueError: if the masks are no integers (H, W) of one size, an instance has no score, or a class is no
                part.
        """
        detections, annotated = match_instances(prediction, target, classes, scores, target_classes)
        count = [float(len(detections))]
        self.add_row(name, np.concatenate([count, detections.numpy().ravel(), annotated.numpy()]))

    def table(self) -> dict[str, Any]:
        """Return video → the rows of its frames, sorted by name."""
        videos: dict[str, list[NDArray[np.float64]]] = {}
        for name, frame in self.stored():
            videos.setdefault(name, []).append(frame)
        return videos

    def scores(self, table: dict[str, Any]) -> dict[str, float]:
        """Return `AP`, `AP@0.1` and so on; NaN if nothing was predicted or annotated."""
        return ap_scores(_frames_of(table))


def _frames_of(table: dict[str, Any]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return detections (N, 3) and annotated classes (M,) of all frames, from the rows of `InstanceAP`."""
    frames = []
    for video in table.values():
        for row in video:
            end_of_detections = 1 + 3 * int(row[0])
            frames.append((row[1:end_of_detections].reshape(-1, 3), row[end_of_detections:]))
    return frames


class TrackingSuccess(RowMetric):
    """One-pass evaluation: curves by sequence, averaged over the sequences.

    Example:
        >>> import torch
        >>> metric = TrackingSuccess()
        >>> boxes = torch.tensor([[10.0, 10.0, 20.0, 30.0]] * 4)
        >>> metric.update(boxes, boxes, name="Basketball")
        >>> round(metric.compute()["success"] * 21, 9)
        20.0
    """

    def update(self, prediction: Boxes, target: Boxes, *, name: str | None = None) -> None:
        """Add a sequence.

        Args:
            prediction: (T, 4) boxes x, y, width, height.
            target: (T, 4) boxes, in the same convention.
            name: the sequence's name; by default its index.

        Raises:
            ValueError: if the boxes are not (T, 4).
        """
        self.add_row(name, one_pass_curves(prediction, target))

    def scores(self, table: Table) -> dict[str, float]:
        """Return `success`, `precision@20px` and `success@0.5`."""
        return one_pass_scores(list(table.values()))


class RegionBoundary(RowMetric):
    """J, F and J&F over sequences: mean, recall and decay, averaged over the objects.

    As in DAVIS's semi-supervised task, the first and the last frame of a sequence do not count, and its objects are 1
    to the largest id of the first target.

    Example:
        >>> import torch
        >>> metric = RegionBoundary()
        >>> ids = torch.ones(5, 8, 8, dtype=torch.uint8)
        >>> metric.update(ids, ids, name="square")
        >>> metric.compute()["J&F-Mean"]
        1.0
        >>> [row["Sequence"] for row in metric.rows()]
        ['square_1']
    """

    rules = RULES["davis-2017"]
    row_shape = (-1, 1 + len(rules.value_names))  # a line per object: its number and its values

    def update(self, prediction: Masks, target: Masks, *, name: str | None = None) -> None:
        """Add a sequence.

        Args:
            prediction: (T, H, W) integer ids (or bool for a single object) at the annotation's size.
            target: (T, H, W) integer ids; 255 is never an object: a pixel that is 255 in both is ignored.
            name: the sequence's name; by default its index.

        Raises:
            ValueError: if the shapes differ.
        """
        predicted, wanted = as_pair(prediction, target)
        frames = {f"{t:06d}": t for t in range(len(wanted))}
        scorer = MaskScorer(self.rules, Video("", list(frames), lambda stem: numbers_in(wanted[frames[stem]])))
        for stem, t in frames.items():
            scorer.add(stem, wanted[t], predicted[t])
        rows = [[int(number), *values.values()] for number, values in scorer.finish().items()]
        self.add_row(name, rows)

    def scores(self, table: Table) -> dict[str, float]:
        """Return the means over all objects; NaN without any."""
        objects = self._objects(table)
        if not objects:
            return dict.fromkeys(self.rules.score_names, math.nan)
        return self.rules.table(objects)

    def rows(self) -> list[dict[str, Any]]:
        """Return a line of scores per object; its `Sequence` is like "bike_1"."""
        lines: list[dict[str, Any]] = []
        for (name, number), values in self._objects(self.table()).items():
            lines.append({"Sequence": f"{name}_{number}", **values})
        return lines

    def _objects(self, table: Table) -> dict[tuple[str, int | str], Values]:
        """Return (sequence, object) → values, sorted as the text "bike_1"."""
        columns = self.rules.value_names
        objects: dict[tuple[str, int | str], Values] = {}
        for name, row in table.items():
            for number, *values in row.tolist():
                objects[name, int(number)] = dict(zip(columns, values, strict=True))
        ordered = sorted(objects, key=lambda key: f"{key[0]}_{key[1]}")
        return {key: objects[key] for key in ordered}
