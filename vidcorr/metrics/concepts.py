"""Semantic and conceptual correctness of key points, as SOCO counts it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocols import MatchingProtocol

MEASURES = ("SOC", "CC", "geometric", "geometric-several")
"""What is compared with what. SOC: the prediction with the target point of the same name. CC: the prediction with the
nearest target point of the same concept. geometric: the most similar cell of the concept's points with the point of the
same name. geometric-several: the same, for source points with several target points of their concept."""


def point_errors(predicted: NDArray[Any], targets: NDArray[Any], length: float) -> NDArray[np.float64]:
    """Return the distances `(N, M)` between predictions and target points; 1 is the longer side of the target's box.

    Args:
        predicted: x, y `(N, 2)`; 1 is the side of the target's square, padded picture.
        targets: x, y `(M, 2)` in the same unit.
        length: longer side of the target's box, in the same unit.

    Example:
        >>> point_errors(np.array([[0, 0], [3, 4]]), np.array([[3, 4]]), 10.0)
        array([[0.5],
               [0. ]])
    """
    apart = np.asarray(predicted, np.float64)[:, None] - np.asarray(targets, np.float64)
    distances: NDArray[np.float64] = np.linalg.norm(apart, axis=-1) / length
    return distances


def candidate_cells(
    similarities: NDArray[Any], targets: NDArray[np.float32], same_concept: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the most similar cell of each source point among those that hold a target point of its concept.

    Args:
        similarities: `(N, h, w)`, of each source point to the cells of the target.
        targets: x, y `(M, 2)` of the target points in sides of the square; float32, as in SOCO's code, whose rounding
            may put a point on an edge into the cell before.
        same_concept: `(R, 2)` index of a source point, and of a target point of its concept.

    Returns:
        Index of the cell, row · w + column, `(N,)`; −1 for a source point without a target point of its concept.

    Example:
        >>> similarities = np.zeros((3, 2, 3))
        >>> similarities[0, 0] = [9, 9, 5]  # cells 0 and 1 hold no point
        >>> targets = np.array([[0.5, 0.5], [1.0, 0.2], [0.1, 1.0]], np.float32)
        >>> candidate_cells(similarities, targets, np.array([[0, 0], [0, 1], [2, 2]]))
        array([ 2, -1,  3])
    """
    _, height, width = similarities.shape
    # column and row of each target point's cell; a point on the right or lower edge belongs to the last cell
    inside = np.minimum((targets.astype(np.float64) * (width, height)).astype(int), (width - 1, height - 1))
    cells = inside[:, 1] * width + inside[:, 0]
    chosen = np.full(len(similarities), -1)
    for source in np.unique(same_concept[:, 0]).tolist():
        targets_of_source = same_concept[same_concept[:, 0] == source, 1]
        candidates = cells[targets_of_source]
        best = similarities[source].ravel()[candidates].argmax()  # the first of equals, in the order of the targets
        chosen[source] = candidates[best]
    return chosen


def concept_counts(
    errors: NDArray[np.float64],
    errors_of_candidates: NDArray[np.float64],
    same_name: NDArray[np.int64],
    same_concept: NDArray[np.int64],
    protocol: MatchingProtocol,
) -> dict[str, list[int]]:
    """Count the correct points of a pair, by each of `MEASURES`.

    Args:
        errors: `(N, M)` distances between the predictions for N source points and M target points.
        errors_of_candidates: `(N, M)` distances between the cells that `candidate_cells` chooses and the target points.
        same_name: `(S, 2)` index of a source point, and of the target point of the same name.
        same_concept: `(R, 2)` index of a source point, and of a target point of its concept.
        protocol: `thresholds`; the error of a correct point is below.

    Returns:
        Measure → number of correct points at each threshold, followed by the number of counted points.

    Example:
        >>> protocol = MatchingProtocol.named("omniprobe", "soco", changes={"thresholds": [0.1, 0.2]})
        >>> errors = np.array([[0.1, 0.3, 0.0], [0.0, 0.2, 0.25], [0.0, 0.0, 0.05]])
        >>> of_candidates = np.array([[0.0, 0.19, 0.5], [0.0, 0.0, 0.0], [0.5, 0.5, 0.3]])
        >>> same_name, same_concept = np.array([[0, 0], [1, 1], [2, 2]]), np.array([[0, 0], [0, 1], [1, 2], [2, 2]])
        >>> concept_counts(errors, of_candidates, same_name, same_concept, protocol)
        {'SOC': [1, 2, 3], 'CC': [1, 2, 3], 'geometric': [1, 1, 2], 'geometric-several': [1, 1, 1]}
    """
    candidates: dict[int, list[int]] = {}  # source point → target points of its concept
    for source, target in same_concept.tolist():
        candidates.setdefault(source, []).append(target)
    measured: dict[str, list[float]] = {measure: [] for measure in MEASURES}
    for source, target in same_name.tolist():
        measured["SOC"].append(errors[source, target])
        if target in candidates.get(source, ()):  # the target point is among those whose cells were searched
            measured["geometric"].append(errors_of_candidates[source, target])
            if len(candidates[source]) > 1:
                measured["geometric-several"].append(errors_of_candidates[source, target])
    for source, targets in candidates.items():
        measured["CC"].append(errors[source, targets].min())  # the nearest target point of the concept
    counts: dict[str, list[int]] = {}
    for measure, values in measured.items():
        right = np.less.outer(values, protocol.thresholds).sum(0)  # errors below each threshold
        counts[measure] = [*right.tolist(), len(values)]
    return counts


def concept_scores(
    categories: Mapping[str, Sequence[Mapping[str, Sequence[int]]]], protocol: MatchingProtocol
) -> dict[str, float]:
    """Return the scores as means over categories, as fractions; NaN without a counted point.

    Args:
        categories: category → `concept_counts` of its pairs.
        protocol: thresholds; `average`: "image", over the pairs of a category, or "class", over its points.

    Returns:
        `SOC@0.1` and `CC@0.1` by the protocol's average, `geometric@0.1` and `geometric-several@0.1` over points; then
        both averages of SOC and CC, `SOC@0.1-image`, `-class`.

    Example:
        >>> protocol = MatchingProtocol.named("omniprobe", "soco", changes={"thresholds": [0.1]})
        >>> nothing = dict.fromkeys(MEASURES, [0, 0])
        >>> cats = [nothing | {"SOC": [1, 2], "CC": [2, 2]}, nothing | {"SOC": [0, 1], "CC": [3, 4]}]
        >>> dogs = [nothing | {"SOC": [2, 2], "CC": [1, 2], "geometric": [1, 4]}, nothing]
        >>> scores = concept_scores({"cat": cats, "dog": dogs, "cow": [nothing]}, protocol)
        >>> scores["SOC@0.1"], round(scores["SOC@0.1-class"], 3), scores["CC@0.1"], round(scores["CC@0.1-class"], 3)
        (0.625, 0.667, 0.6875, 0.667)
        >>> scores["geometric@0.1"], scores["geometric-several@0.1"]
        (0.25, nan)
    """
    scores: dict[str, float] = {}
    by_average: dict[str, float] = {}
    for place, threshold in enumerate(protocol.thresholds):
        for measure in MEASURES:
            averages = _averages(categories, measure, place)
            key = f"{measure}@{threshold:g}"
            if measure in ("SOC", "CC"):
                scores[key] = averages[protocol.average]
                for kind, score in averages.items():
                    by_average[f"{key}-{kind}"] = score
            else:  # "geometric" and "geometric-several"
                scores[key] = averages["class"]
    return scores | by_average


def _averages(
    categories: Mapping[str, Sequence[Mapping[str, Sequence[int]]]], measure: str, place: int
) -> dict[str, float]:
    """Return two averages of a measure, each a mean over the categories with a counted point.

    Of a category, "image" takes the mean over pairs of a pair's fraction of correct points; "class" takes the fraction
    of correct points among all its points.

    Args:
        categories: category → a mapping per pair: measure → correct points at each threshold, then the counted points.
        measure: one of `MEASURES`.
        place: index of the threshold.

    Example:
        >>> cats, dogs = [{"m": [1, 2]}, {"m": [3, 4]}], [{"m": [0, 2]}, {"m": [0, 0]}]  # right points, all points
        >>> pairs = {"cat": cats, "dog": dogs}
        >>> {name: round(mean, 4) for name, mean in _averages(pairs, "m", place=0).items()}
        {'image': 0.3125, 'class': 0.3333}
    """
    over_pairs: list[float] = []
    over_points: list[float] = []
    for pairs in categories.values():
        counts = np.array([pair[measure] for pair in pairs if pair[measure][-1]])  # of pairs with a counted point
        if len(counts):
            right = counts[:, place]  # correct points at the threshold
            counted = counts[:, -1]
            over_pairs.append(exact_mean(right / counted))
            over_points.append(right.sum() / counted.sum())
    return {"image": exact_mean(over_pairs), "class": exact_mean(over_points)}


def exact_mean(values: Sequence[float] | NDArray[Any]) -> float:
    """Return the mean of numbers, by a sum without rounding; NaN without numbers.

    Example:
        >>> exact_mean([0.1] * 10), exact_mean([])
        (0.1, nan)
    """
    return math.fsum(values) / len(values) if len(values) else math.nan
