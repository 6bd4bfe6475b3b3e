"""Percentage of correct keypoints of matched pairs of pictures, by the rules of a `MatchingProtocol`."""

import random
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocols import MatchingProtocol

AVERAGES = ("image", "point", "class", "weighted")
"""Names of the averages; `MatchingProtocol.average` defines them."""


def reference_length(box: Sequence[float] | None, size: tuple[int, int], protocol: MatchingProtocol) -> float:
    """Return the longer side of the target picture, or of its object's box, in pixels: thresholds multiply it.

    Args:
        box: x0, y0, x1, y1 of the target's object.
        size: (H, W) of the target.
        protocol: `reference`.

    Raises:
        ValueError: if the protocol needs a box and there is none.

    Example:
        >>> reference_length((10, 20, 60, 40), (480, 640), MatchingProtocol.named("dift"))
        50.0
    """
    if protocol.reference == "image":
        return float(max(size))
    if box is None:
        raise ValueError(f"protocol {protocol.name!r} measures by the object's box, which the data lack; take another")
    left, top, right, bottom = box
    return float(max(right - left, bottom - top))


def correct_points(
    predicted: NDArray[Any], target: NDArray[Any], length: float, size: tuple[int, int], protocol: MatchingProtocol
) -> NDArray[np.bool_]:
    """Return which points are correct at the protocol's thresholds, `(N, A)`.

    Args:
        predicted: x, y `(N, 2)` in pixels of the target.
        target: the annotated points, `(N, 2)`, in pixels of the target.
        length: pixels of the target that thresholds multiply, from `reference_length`.
        size: (H, W) of the target.
        protocol: its fields `thresholds`; `inclusive`: an error equal to the threshold is correct; `compared`:
            "product" compares the error with threshold · length, other values error / length with the threshold;
            `compared_in`: type of the compared numbers, where "float32-thresholds" rounds the thresholds alone;
            `integer_points`: annotated points are truncated to whole pixels of the target, and again of the network's
            input.

    Example:
        >>> dift = MatchingProtocol.named("dift")
        >>> correct_points(np.array([[30.0, 40.0]]), np.zeros((1, 2)), 500.0, (500, 500), dift)
        array([[ True]])
        >>> def is_correct(error, length, **rules):
        ...     plain = {"inclusive": False, "compared": "product", "compared_in": "float64"}
        ...     protocol = dift.with_changes(**plain | rules)
        ...     return correct_points(np.array([[error, 0.0]]), np.zeros((1, 2)), length, (1, 1), protocol).item()
        >>> is_correct(100.0000001, 1000.0, inclusive=True)  # 0.1 is a little more in float32
        False
        >>> kinds = ("float32", "float32-thresholds")
        >>> [is_correct(100.0000001, 1000.0, inclusive=True, compared_in=kind) for kind in kinds]
        [True, True]
        >>> is_correct(4.3, 43.0), is_correct(4.3, 43.0, compared="fraction")  # 0.1 * 43 is 4.3; 4.3 / 43 is below 0.1
        (False, True)
    """
    target = np.asarray(target, np.float64)
    if protocol.integer_points:  # as in Probe3D's code, before and after scaling; then back to pixels of the target
        side = protocol.input_sides[0]  # of the input, a square
        long = max(size)  # the side of the picture that fills it
        at_input = np.trunc(np.trunc(target) * side / long)
        target = at_input * long / side
    precision: Any = np.float32 if protocol.compared_in == "float32" else np.float64
    # "float32-thresholds": rounded to float32 here, compared in float64
    alphas = np.asarray(protocol.thresholds, np.float64 if protocol.compared_in == "float64" else np.float32)
    distances: NDArray[Any] = np.linalg.norm(np.asarray(predicted, np.float64) - target, axis=1)
    distances = distances.astype(precision)[:, None]
    limits: NDArray[Any] = alphas.astype(precision)
    if protocol.compared == "product":
        limits = limits * precision(length)
    else:
        distances = distances / precision(length)
    if protocol.inclusive:
        return np.asarray(distances <= limits)
    return np.asarray(distances < limits)


def drawn_indices(
    categories: Sequence[str], difficulties: Sequence[Mapping[str, int]], protocol: MatchingProtocol
) -> dict[str, list[int]]:
    """Return the pairs over which scores are averaged: of the whole set, and of each level of a difficulty.

    A protocol may draw a subset of the pairs. Probe3D draws pairs anew for each level of `viewpoint`.

    Args:
        categories: category of each pair, in the sorted order of the data set's list, which a draw shuffles.
        difficulties: kind of difficulty → level, per pair.
        protocol: `pairs`, `pairs_per_class`.

    Returns:
        Name of a draw → indices of its pairs: "" is the whole set, `viewpoint=1` a level.

    Example:
        >>> dift = MatchingProtocol.named("dift")
        >>> drawn_indices(["cat", "dog", "dog"], [{"scale": 0}, {"scale": 1}, {"scale": 1}], dift)
        {'': [0, 1, 2], 'scale=0': [0], 'scale=1': [1, 2]}
        >>> probe3d = MatchingProtocol.named("probe3d").with_changes(pairs_per_class=1)
        >>> levels = [{"viewpoint": 0, "scale": 0}, {"viewpoint": 1, "scale": 0}, {"viewpoint": 1, "scale": 0}]
        >>> drawn_indices(["cat"] * 3, levels, probe3d)  # of each viewpoint, and one of all for the whole and for scale
        {'': [1], 'scale=0': [1], 'viewpoint=0': [0], 'viewpoint=1': [2]}
    """
    pairs_of_category: dict[str, list[int]] = {}
    for pair, category in enumerate(categories):
        pairs_of_category.setdefault(category, []).append(pair)
    pairs_of_level: dict[tuple[str, int], set[int]] = {}
    for pair, difficulty in enumerate(difficulties):
        for kind, level in difficulty.items():
            pairs_of_level.setdefault((kind, level), set()).add(pair)
    draws = {"": _drawn(pairs_of_category.values(), protocol)}
    for (kind, level), of_level in sorted(pairs_of_level.items()):
        drawn = draws[""]
        if protocol.pairs == "subset" and kind == "viewpoint":  # as Probe3D does: anew, from the pairs of the level
            drawn = _drawn([_those_in(of_level, pairs) for pairs in pairs_of_category.values()], protocol)
        draws[f"{kind}={level}"] = _those_in(of_level, drawn)
    return draws


def _those_in(level: Set[int], pairs: Iterable[int]) -> list[int]:
    """Return the pairs that are also in `level`, in their order.

    Example:
        >>> _those_in({1, 2, 5}, [5, 3, 1])
        [5, 1]
    """
    return [pair for pair in pairs if pair in level]


def _drawn(categories: Iterable[Iterable[int]], protocol: MatchingProtocol) -> list[int]:
    """Return the pairs of all categories: all, or for a "subset" as many of each category as the protocol draws.

    Args:
        categories: pairs of each category.
        protocol: `pairs`, `pairs_per_class`.

    Example:
        >>> _drawn([[0, 1, 2], [3]], MatchingProtocol.named("dift"))
        [0, 1, 2, 3]
        >>> _drawn([[0, 1, 2], [3]], MatchingProtocol.named("probe3d").with_changes(pairs_per_class=2))
        [1, 0, 3]
    """
    chosen: list[int] = []
    for pairs_of_category in categories:
        pairs = list(pairs_of_category)
        if protocol.pairs == "subset":
            random.Random(20).shuffle(pairs)  # the seed of the original code, which sets it for every category
            pairs = pairs[: protocol.pairs_per_class]
        chosen += pairs
    return chosen


def averages(right: NDArray[Any], counts: NDArray[Any], categories: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return name of an average → PCK by threshold, `(A,)`. Pairs without points do not count.

    "image" is the mean over pairs of a pair's fraction of correct points; "point" the fraction of all points; "class"
    the mean over categories of a category's fraction of points; "weighted" the same, weighted by the number of pairs.

    Args:
        right: correct points per pair and threshold, `(P, A)`.
        counts: points per pair, `(P,)`.
        categories: category per pair.

    Example:
        >>> right, counts = np.array([[1], [4], [0]]), np.array([2, 4, 2])
        >>> {name: pck.round(3).tolist() for name, pck in averages(right, counts, ["cat", "cat", "dog"]).items()}
        {'image': [0.5], 'point': [0.625], 'class': [0.417], 'weighted': [0.556]}
    """
    has_points = counts > 0
    if not has_points.any():
        return dict.fromkeys(AVERAGES, np.full(right.shape[1], np.nan))
    right = right[has_points]
    counts = counts[has_points, None]
    names = np.asarray(categories)[has_points]
    of_class = np.unique(names)[:, None] == names  # (categories, pairs)
    per_class = of_class @ right / (of_class @ counts)  # (categories, A)
    weights = of_class.sum(1)
    return {
        "image": (right / counts).mean(0),
        "point": right.sum(0) / counts.sum(),
        "class": per_class.mean(0),
        "weighted": weights @ per_class / weights.sum(),
    }


def match_scores(
    pairs: Mapping[str, Sequence[Any]], draws: Mapping[str, Sequence[str]], protocol: MatchingProtocol
) -> dict[str, float]:
    """Return the PCK over the draws of pairs, averaged as a protocol says.

    Args:
        pairs: name of a pair → its category, the number of its points, and its correct points by threshold (A,).
        draws: draw → names of its pairs, as `drawn_indices` draws them; names that `pairs` lacks are left out.
        protocol: thresholds and average.

    Returns:
        Key of `score_key` → fraction, NaN for a draw without points. The draw "" has the protocol's average and all
        others, at all thresholds; another draw has the protocol's average at the first threshold.

    Example:
        >>> dift = MatchingProtocol.named("dift")
        >>> pairs = {"a": ("cat", 2, [1]), "b": ("cat", 4, [4]), "c": ("dog", 2, [0])}
        >>> scores = match_scores(pairs, {"": ["a", "b", "c"], "viewpoint=1": ["b", "not scored"]}, dift)
        >>> [f"{name} {score:.3f}" for name, score in scores.items()][:3]
        ['PCK@0.1 0.500', 'PCK@0.1-image 0.500', 'PCK@0.1-point 0.625']
        >>> scores["PCK@0.1-viewpoint-1"]
        1.0
    """
    scores: dict[str, float] = {}
    for draw, names in draws.items():
        categories: list[str] = []
        points: list[int] = []
        correct: list[Sequence[int]] = []
        for name in names:
            if name not in pairs:  # not scored
                continue
            category, points_of_pair, correct_of_pair = pairs[name]
            categories.append(category)
            points.append(points_of_pair)
            correct.append(correct_of_pair)
        right = np.array(correct, int).reshape(-1, len(protocol.thresholds))  # (pairs, A), also without a pair
        pck_of_average = averages(right, np.array(points), categories)
        thresholds = protocol.thresholds if draw == "" else protocol.thresholds[:1]
        for place, threshold in enumerate(thresholds):
            scores[score_key(threshold, draw)] = float(pck_of_average[protocol.average][place])
            if draw == "":
                for kind in AVERAGES:
                    scores[score_key(threshold, kind)] = float(pck_of_average[kind][place])
    return scores


def score_key(threshold: float, of: str = "") -> str:
    """Return the key of a score: `PCK@0.1`, `PCK@0.1-class`, `PCK@0.1-viewpoint-2`.

    Args:
        threshold: the threshold of PCK.
        of: kind of average (`class`), or name of a subset of the pairs (`viewpoint=2`); empty for the protocol's own
            average over all pairs.

    Example:
        >>> score_key(0.1), score_key(0.1, "class"), score_key(0.1, "viewpoint=2")
        ('PCK@0.1', 'PCK@0.1-class', 'PCK@0.1-viewpoint-2')
    """
    suffix = f"-{of.replace('=', '-')}" if of else ""
    return f"PCK@{threshold:g}{suffix}"
