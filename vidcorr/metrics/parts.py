"""Semantic parts (mIoU) and instance parts (AP over IoU 0.1 … 0.9) of VIP."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .outlines import Masks, as_pair

IGNORED = 255
CLASSES = 20
AP_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def class_areas(prediction: Masks, target: Masks, classes: int = CLASSES) -> Tensor:
    """Count the pixels of each class in four ways: in both maps, in either map, predicted, annotated.

    Args:
        prediction: integer classes of any shape, frames or whole videos.
        target: the same shape; pixels of value 255 are ignored.
        classes: C, background included.

    Returns:
        (4, C) int64; counts of frames and videos may be summed.

    Raises:
        ValueError: if the shapes differ, or a value is not a class.

    Example:
        >>> class_areas(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 255]), classes=2)
        tensor([[1, 1],
                [2, 2],
                [2, 1],
                [1, 2]])
    """
    predicted, wanted = as_pair(prediction, target)
    counted = wanted != IGNORED
    pairs = []
    for label, values in (("prediction", predicted), ("target", wanted)):
        values = values[counted]
        if values.dtype.kind not in "iu" or (values.size and not 0 <= values.min() <= values.max() < classes):
            raise ValueError(f"{label} must hold classes 0 to {classes - 1}")
        pairs.append(values.astype(np.int64))
    # number of pixels; row: annotated class; column: predicted class
    table = np.bincount(pairs[1] * classes + pairs[0], minlength=classes * classes).reshape(classes, classes)
    shared = table.diagonal()
    in_prediction = table.sum(axis=0)
    in_target = table.sum(axis=1)
    return torch.from_numpy(np.stack([shared, in_prediction + in_target - shared, in_prediction, in_target]))


def iou_scores(videos: Sequence[object]) -> dict[str, float]:
    """Return `mIoU`, `mAcc` (mean recall) and `aAcc` (fraction of correct pixels) from areas; NaN without a video.

    Areas are summed over the videos before they are divided. The means leave out classes that are neither predicted
    nor annotated; a class that is only predicted scores 0. `class_areas` refuses predictions outside the classes; VFS's
    code silently counts the value 20 as class 19.

    Example:
        >>> areas = class_areas(torch.tensor([0, 0, 1, 3]), torch.tensor([0, 0, 0, 255]), classes=4)
        >>> {name: round(score, 3) for name, score in iou_scores([areas]).items()}
        {'mIoU': 0.333, 'mAcc': 0.667, 'aAcc': 0.667}
    """
    areas = torch.zeros(4, 1, dtype=torch.float64)  # (4, C) with the first video
    for video_areas in videos:
        areas = areas + torch.as_tensor(video_areas, dtype=torch.float64)
    shared, union, _, annotated = areas
    return {
        "mIoU": (shared / union).nanmean().item(),
        "mAcc": (shared / annotated).nanmean().item(),
        "aAcc": (shared.sum() / annotated.sum()).item(),
    }


def match_instances(
    prediction: Masks,
    target: Masks,
    classes: Mapping[int, int],
    scores: Mapping[int, float],
    target_classes: Mapping[int, int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Match the predicted part instances of a frame with annotated instances of their class.

    Several predicted instances may be matched with the same annotated one.

    Args:
        prediction: (H, W) integer instance ids.
        target: (H, W) integer instance ids; they may differ from the prediction's.
        classes: predicted id → class; other ids are background.
        scores: predicted id → confidence in any unit; for propagated labels, their mean inside the instance.
        target_classes: annotated id → class; by default `classes`.

    Returns:
        Detections (N, 3) float64, a row per predicted instance with a pixel, by falling score: class; score; IoU with
        the annotated instance of its class that it overlaps most, or 0 without one. Then the classes (M,) int64 of the
        annotated instances with a pixel.

    Raises:
        ValueError: if the masks are no integers (H, W) of one size, an id is negative, a class is no part, or a
            predicted instance has no score.

    Example:
        >>> mine = np.array([[1, 1, 1, 2]])
        >>> truth = np.array([[4, 4, 0, 0]])
        >>> detections, kinds = match_instances(mine, truth, {1: 5, 2: 5}, {1: 0.9, 2: 0.5}, {4: 5})
        >>> detections.round(decimals=3).tolist(), kinds.tolist()
        ([[5.0, 0.9, 0.667], [5.0, 0.5, 0.0]], [5])
    """
    predicted, wanted = as_pair(prediction, target)
    if target_classes is None:
        target_classes = classes
    _require_instances((predicted, wanted), {*classes.values(), *target_classes.values()})
    # kinds: class of each of the ids; index: (H, W), place of a pixel's id in ids, from 1; 0 is background
    ids, kinds, index = _instances(predicted, classes)
    _, target_kinds, target_index = _instances(wanted, target_classes)
    n = len(kinds) + 1  # row and column 0 are the background
    m = len(target_kinds) + 1
    # a number per pair of ids; int32 could overflow
    pairs = index.astype(np.int64).ravel() * m + target_index.ravel()
    # pixels; row: predicted id; column: annotated id
    shared = np.bincount(pairs, minlength=n * m).reshape(n, m)
    areas = shared.sum(axis=1)[1:]
    target_areas = shared.sum(axis=0)[1:]
    intersection = shared[1:, 1:]
    union = areas[:, None] + target_areas - intersection
    # IoU of two instances of a class, 0 of two classes; the union is 0 for two ids without a pixel
    overlap = np.where(kinds[:, None] == target_kinds, intersection / np.maximum(union, 1), 0.0)
    present = np.flatnonzero(areas)
    for i in present:
        if ids[i] not in scores:
            raise ValueError(f"instance {ids[i]} has no score")
    rows = []
    for i in sorted(present, key=lambda i: -scores[ids[i]]):
        rows.append((float(kinds[i]), float(scores[ids[i]]), float(overlap[i].max(initial=0.0))))
    detections = torch.tensor(rows, dtype=torch.float64).reshape(-1, 3)
    return detections, torch.from_numpy(target_kinds[target_areas > 0])


def average_precision(correct: NDArray[np.bool_], scores: NDArray[np.float64], annotated: int) -> float:
    """Compute the area under the precision envelope over recall; detections of equal score enter together.

    Args:
        correct: (N,) True for correct detections; the area exceeds 1 if double detections count as correct.
        scores: (N,) scores that rank the detections.
        annotated: number of annotated instances.

    Example:
        >>> average_precision(np.array([True, False, True]), np.array([0.9, 0.5, 0.5]), annotated=2)
        0.8333333333333333
        >>> average_precision(np.zeros(0, bool), np.zeros(0), annotated=1)
        0.0
        >>> average_precision(np.zeros(1, bool), np.ones(1), annotated=0)
        0.0
    """
    if not len(scores) or not annotated:
        return 0.0
    order = np.argsort(-scores)
    drops = np.flatnonzero(np.diff(scores[order]))
    ends = np.append(drops, len(scores) - 1)
    # correct ones down to each score, of `ends` + 1 detections
    right = np.cumsum(correct[order])[ends]
    precision = right / (ends + 1)
    # the largest precision at this recall or more
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    # each correct detection is a step of 1 / annotated in recall
    return float((np.diff(right, prepend=0) * envelope).sum() / annotated)


def ap_scores(frames: Sequence[object]) -> dict[str, float]:
    """Return `AP` of part instances and `AP@0.1` … `AP@0.9`, from the results of `match_instances` of frames.

    AP of regions after SDS (Hariharan et al., ECCV 2014), averaged over classes and thresholds as in "Holistic,
    Instance-level Human Parsing" (Li et al., BMVC 2017), as ATEN does on VIP (Zhou et al., ACM MM 2018). The detections
    of a class are ranked by score over the whole data set. A detection is correct if its IoU with the annotated
    instance of its class that it overlaps most is above the threshold, strictly. Several detections may claim an
    instance, as in ATEN's published script; SDS counts all but the best-scored one as wrong. The mean leaves out
    classes that are neither predicted nor annotated; in ATEN's script they count 0.
    Propagated labels have no detector's confidence, so other authors may have ranked them differently.

    Example:
        >>> scores = ap_scores([([[5, 0.9, 0.62], [7, 0.5, 0.0]], [5])])  # a class each, of which one is not annotated
        >>> scores["AP@0.6"], scores["AP@0.7"], round(scores["AP"], 4)
        (0.5, 0.0, 0.3333)
    """
    class_precisions = list(class_ap(frames).values()) or [[math.nan] * len(AP_THRESHOLDS)]
    means = torch.tensor(class_precisions, dtype=torch.float64).mean(dim=0)
    keys = [f"AP@{threshold:g}" for threshold in AP_THRESHOLDS]
    by_threshold = dict(zip(keys, means.tolist(), strict=True))
    return {"AP": means.mean().item(), **by_threshold}


def class_ap(frames: Sequence[Any]) -> dict[int, list[float]]:
    """Return class → AP at every threshold of IoU, for the classes that occur in some frames.

    Example:
        >>> frames = [([[5, 0.9, 0.6], [5, 0.5, 0.0]], [5])]  # class, score, IoU; classes of the truth
        >>> class_ap([*frames, ([[5, 0.6, 0.35]], [5, 5])])[5][2:6]  # ranked over both frames; 2 of 3 are right
        [0.6666666666666666, 0.3333333333333333, 0.3333333333333333, 0.0]
    """
    detections: list[Any] = []
    annotated: Counter[int] = Counter()
    for frame_detections, classes in frames:
        detections += list(frame_detections)
        annotated.update(map(int, classes))
    rows = np.array(detections, np.float64).reshape(-1, 3)
    predicted = rows[:, 0].astype(int).tolist()
    precisions: dict[int, list[float]] = {}
    for kind in sorted({*annotated, *predicted}):
        _, scores, iou = rows[rows[:, 0] == kind].T
        precisions[kind] = []
        for threshold in AP_THRESHOLDS:
            precisions[kind].append(average_precision(iou > threshold, scores, annotated[kind]))
    return precisions


def _require_instances(masks: Iterable[NDArray[Any]], classes: Iterable[int]) -> None:
    for mask in masks:
        if mask.ndim != 2 or mask.dtype.kind not in "iu":
            raise ValueError(f"instances must be integers (H, W), got {mask.shape} {mask.dtype}")
    for kind in classes:
        if not 0 < kind < CLASSES:
            raise ValueError(f"class {kind} is no part; expected 1 to {CLASSES - 1}")


def _instances(ids: NDArray[Any], classes: Mapping[int, int]) -> tuple[list[int], NDArray[np.int64], NDArray[np.int32]]:
    """Return the ids with a class, ascending, their classes, and the map (H, W) of places in this list, from 1."""
    listed = sorted(number for number in classes if number >= 0)
    # the largest id of map and list, for a table of all ids: id → place in the list
    top = max([int(ids.max(initial=0)), *listed])
    if ids.min(initial=0) < 0:
        raise ValueError(f"instance ids must not be negative, got {ids.min()}")
    index = np.zeros(top + 1, dtype=np.int32)
    index[listed] = np.arange(1, len(listed) + 1)
    kinds = np.array([classes[number] for number in listed], dtype=np.int64)
    return listed, kinds, index[ids]
