"""Percentage of correct keypoints of matched pairs of pictures, by the rules of a `MatchingProtocol`."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..functional import MatchingProtocol

AVERAGES = ("image", "point", "class", "weighted")
"""See `MatchingProtocol.average`."""


def reference_length(
    box: Sequence[float] | None, points: NDArray[Any], size: tuple[int, int], protocol: MatchingProtocol
) -> float:
    """Return the length that thresholds multiply, pixels of the target.

    Args:
        box: x0, y0, x1, y1 of the target's object.
        points: x, y `(N, 2)` of the target's key points.
        size: (H, W) of the target.
        protocol: `reference`.

    Raises:
        ValueError: if the protocol needs a box and there is none.
    """
    if protocol.reference == "image":
        return float(max(size))
    if protocol.reference == "points":
        return float(np.ptp(points, axis=0).max())
    if box is None:
        raise ValueError(f"protocol {protocol.name!r} measures by the object's box, which the data lack")
    return float(max(box[2] - box[0], box[3] - box[1]))


def correct_points(
    predicted: NDArray[Any], target: NDArray[Any], length: float, size: tuple[int, int], protocol: MatchingProtocol
) -> NDArray[np.bool_]:
    """Return which points are correct at the protocol's thresholds, `(N, A)`.

    Args:
        predicted: x, y `(N, 2)` in pixels of the target.
        target: the annotated points, likewise.
        length: see `reference_length`, pixels.
        size: (H, W) of the target.
        protocol: `thresholds`, `inclusive`, `compared`, `compared_in`, `integer_points`.

    Example:
        >>> dift = MatchingProtocol.named("dift")
        >>> correct_points(np.array([[30.0, 40.0]]), np.zeros((1, 2)), 500.0, (500, 500), dift)
        array([[ True]])
    """
    target = np.asarray(target, np.float64)
    if protocol.integer_points:
        side, long = protocol.input_sides[0], max(size)
        target = np.trunc(np.trunc(target) * side / long) * long / side
    single = protocol.compared_in == "float32"
    precision = np.float32 if single else np.float64
    alphas = np.asarray(protocol.thresholds, np.float64 if protocol.compared_in == "float64" else np.float32)
    distances = np.sqrt(((np.asarray(predicted, np.float64) - target) ** 2).sum(1)).astype(precision)[:, None]
    scale = precision(length)
    if protocol.compared == "product":
        limits = alphas.astype(precision) * scale
    else:
        limits, distances = alphas.astype(precision), distances / scale
    return np.asarray(distances <= limits if protocol.inclusive else distances < limits)


def draws(
    categories: Sequence[str], difficulties: Sequence[Mapping[str, int]], protocol: MatchingProtocol
) -> dict[str, list[int]]:
    """Return the pairs over which scores are averaged: "" for all, and per level of difficulty, `viewpoint=1`.

    A draw may repeat a pair ("sample"). Probe3D's levels of `viewpoint` are draws of their own.

    Args:
        categories: category per pair, in the sorted order of the list.
        difficulties: kind of difficulty → level, per pair.
        protocol: `pairs`, `pairs_per_class`.
    """
    by_class: dict[str, list[int]] = {}
    for number, category in enumerate(categories):
        by_class.setdefault(category, []).append(number)
    most = protocol.pairs_per_class

    def drawn(viewpoint: int | None) -> list[int]:
        chosen: list[int] = []
        for numbers in by_class.values():
            if protocol.pairs == "sample":
                choice = np.random.RandomState(42).choice(len(numbers), most)
                chosen += [numbers[place] for place in choice.tolist()]
                continue
            seen = [n for n in numbers if viewpoint in (None, difficulties[n].get("viewpoint"))]
            if protocol.pairs == "subset":
                random.Random(20).shuffle(seen)
            chosen += seen[: most if protocol.pairs == "subset" else None]
        return chosen

    result = {"": drawn(None)}
    for kind, level in sorted({pair for difficulty in difficulties for pair in difficulty.items()}):
        if protocol.pairs == "subset" and kind == "viewpoint":
            result[f"{kind}={level}"] = drawn(level)
        else:
            result[f"{kind}={level}"] = [n for n in result[""] if difficulties[n].get(kind) == level]
    return result


def averages(correct: Sequence[NDArray[np.bool_]], categories: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return the averages over pairs, each `(A,)`; see `MatchingProtocol.average`. Pairs without points do not count.

    Args:
        correct: `(N, A)` per pair, see `correct_points`.
        categories: category per pair.
    """
    known = [number for number, of_pair in enumerate(correct) if len(of_pair)]
    if not known:
        return dict.fromkeys(AVERAGES, np.full(correct[0].shape[1] if correct else 1, np.nan))
    right = np.array([correct[number].sum(0) for number in known], np.float64)
    count = np.array([len(correct[number]) for number in known])[:, None]
    names = np.array([categories[number] for number in known])
    members = [names == category for category in dict.fromkeys(names.tolist())]
    per_class = np.array([right[of].sum(0) / count[of].sum() for of in members])
    weights = np.array([of.sum() for of in members])
    return {
        "image": (right / count).mean(0),
        "point": right.sum(0) / count.sum(),
        "class": per_class.mean(0),
        "weighted": weights @ per_class / weights.sum(),
    }
