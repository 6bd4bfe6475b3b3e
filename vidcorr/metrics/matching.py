"""Percentage of correct keypoints of matched pairs of pictures, by the rules of a `MatchingProtocol`."""

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..functional import MatchingProtocol
from .rows import RowValues, SequenceRows, leave_one_out

AVERAGES = ("image", "point", "class", "weighted")
"""Names of the averages; `MatchingProtocol.average` defines them."""


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
        raise ValueError(f"protocol {protocol.name!r} measures by the object's box, which the data lack; take another")
    return float(max(box[2] - box[0], box[3] - box[1]))


def correct_points(
    predicted: NDArray[Any], target: NDArray[Any], length: float, size: tuple[int, int], protocol: MatchingProtocol
) -> NDArray[np.bool_]:
    """Return which points are correct at the protocol's thresholds, `(N, A)`.

    Args:
        predicted: x, y `(N, 2)` in pixels of the target.
        target: the annotated points, `(N, 2)`, in pixels of the target.
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
    precision = np.float32 if protocol.compared_in == "float32" else np.float64
    alphas = np.asarray(protocol.thresholds, np.float64 if protocol.compared_in == "float64" else np.float32)
    distances = np.linalg.norm(np.asarray(predicted, np.float64) - target, axis=1).astype(precision)[:, None]
    of_limits, of_distances = (length, 1.0) if protocol.compared == "product" else (1.0, length)
    limits, distances = alphas.astype(precision) * precision(of_limits), distances / precision(of_distances)
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
    members = [[n for n, own in enumerate(categories) if own == category] for category in dict.fromkeys(categories)]
    most = protocol.pairs_per_class

    def drawn(viewpoint: int | None) -> list[int]:
        chosen: list[int] = []
        for indices in members:
            if protocol.pairs == "sample":
                indices = [indices[place] for place in np.random.RandomState(42).choice(len(indices), most)]
            elif protocol.pairs == "subset":
                indices = [n for n in indices if viewpoint in (None, difficulties[n].get("viewpoint"))]
                random.Random(20).shuffle(indices)
                indices = indices[:most]
            chosen += indices
        return chosen

    result = {"": drawn(None)}
    for kind, level in sorted({pair for difficulty in difficulties for pair in difficulty.items()}):
        own = drawn(level) if protocol.pairs == "subset" and kind == "viewpoint" else result[""]
        result[f"{kind}={level}"] = [n for n in own if difficulties[n].get(kind) == level]
    return result


def averages(right: NDArray[Any], counts: NDArray[Any], categories: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return the averages over pairs, each `(A,)`; see `MatchingProtocol.average`. Pairs without points do not count.

    Args:
        right: correct points per pair and threshold, `(P, A)`.
        counts: points per pair, `(P,)`.
        categories: category per pair.
    """
    known = counts > 0
    if not known.any():
        return dict.fromkeys(AVERAGES, np.full(right.shape[1], np.nan))
    right, counts, names = right[known], counts[known, None], np.asarray(categories)[known]
    of_class = np.unique(names)[:, None] == names
    per_class, weights = of_class @ right / (of_class @ counts), of_class.sum(1)
    return {
        "image": (right / counts).mean(0),
        "point": right.sum(0) / counts.sum(),
        "class": per_class.mean(0),
        "weighted": weights @ per_class / weights.sum(),
    }


class MatchRows(SequenceRows):
    """PCK of pairs, by the averages and draws of a protocol.

    A row is a pair: its category, points and correct points. The jackknife leaves out a category: pairs of a category
    share pictures, each in about 13 pairs of SPair-71k, and pairs of different categories share none. A jackknife over
    pairs would take dependent pairs for independent ones, and no other grouping separates the pictures.

    Args:
        protocol: thresholds and average.
        draws: see `draws`, as names of pairs.
    """

    pooled = True

    def __init__(self, protocol: MatchingProtocol, draws: Mapping[str, Sequence[str]], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.protocol, self.draws = protocol, draws

    def update(self, name: str, category: str, correct: NDArray[np.bool_], **difficulty: int) -> None:
        """Add a pair with its levels of difficulty; `correct`, `(N, A)`: is point n correct at threshold a?"""
        self.add_row(name, (category, len(correct), correct.sum(0).tolist(), difficulty))

    def without(self) -> dict[str, dict[str, float]]:
        """Return score → category → score of all the others; see `SequenceRows`."""
        table = self.table()
        return leave_one_out(table, lambda name: str(table[name][0]), self.scores)

    def scores(self, table: dict[str, Any]) -> dict[str, float]:
        """Return the keys of `score_keys`."""
        found: dict[str, float] = {}
        thresholds = self.protocol.thresholds
        for draw, names in self.draws.items():
            rows = [table[name] for name in names if name in table]
            right = np.array([row[2] for row in rows], int).reshape(-1, len(thresholds))
            of_draw = averages(right, np.array([row[1] for row in rows]), [row[0] for row in rows])
            for place, threshold in enumerate(thresholds[: 1 if draw else None]):
                found[score_key(threshold, draw)] = float(of_draw[self.protocol.average][place])
                if not draw:
                    found |= {score_key(threshold, kind): float(of_draw[kind][place]) for kind in AVERAGES}
        return found

    def values(self) -> Iterator[tuple[str, str, RowValues]]:
        """Yield category, pair, the number and fractions of its points, and its difficulty."""
        for name, (category, count, right, difficulty) in self.table().items():
            fractions = [number / count if count else math.nan for number in right]
            pck = dict(zip(map(score_key, self.protocol.thresholds), fractions, strict=True))
            levels = {kind.title(): level for kind, level in difficulty.items()}
            yield category, name, {"Points": count} | pck | levels

    def per_category(self) -> list[RowValues]:
        """Return a line per category: pairs, points, and the scores of its pairs."""
        table, lines = self.table(), list[RowValues]()
        for category in dict.fromkeys(row[0] for row in table.values()):
            rows = {name: row for name, row in table.items() if row[0] == category}
            points = sum(row[1] for row in rows.values())
            known = {key: score for key, score in self.scores(rows).items() if not math.isnan(score)}
            lines.append({"Category": category, "Pairs": len(rows), "Points": points} | known)
        return lines


def score_key(threshold: float, of: str = "") -> str:
    """Return the key of a score: `PCK@0.1`, `PCK@0.1-class`, `PCK@0.1-viewpoint-2`."""
    return f"PCK@{threshold:g}" + (f"-{of.replace('=', '-')}" if of else "")


def score_keys(protocol: MatchingProtocol, levels: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the keys of all scores; levels of difficulty, such as `viewpoint=2`, have one at the first threshold."""
    by_average = [score_key(threshold, kind) for threshold in protocol.thresholds for kind in ("", *AVERAGES)]
    return (*by_average, *(score_key(protocol.thresholds[0], level) for level in levels))
