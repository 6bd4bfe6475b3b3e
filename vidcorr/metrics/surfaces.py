"""Recalls of matched surfaces, by the thresholds and bins of a `SurfaceProtocol`."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ..protocols import SurfaceProtocol
from .concepts import exact_mean

BINNED = 1  # index of the threshold whose recall is binned by angle: the second, as `SurfaceProtocol.angle_bins` says


def recall_names(protocol: SurfaceProtocol) -> list[str]:
    """Return the names of the recalls, in the order of the thresholds: `recall@1cm`, `recall@5px`.

    Example:
        >>> recall_names(SurfaceProtocol.named("omniprobe", "navi"))
        ['recall@1cm', 'recall@2cm', 'recall@5cm', 'recall@5px', 'recall@25px', 'recall@50px']
    """
    in_space = [f"recall@{100 * distance:g}cm" for distance in protocol.distances]
    return in_space + [f"recall@{pixels:g}px" for pixels in protocol.pixels]


def correct_matches(in_space: Sequence[float], in_picture: Sequence[float], protocol: SurfaceProtocol) -> list[int]:
    """Return the number of matches with an error below each threshold, in the order of `recall_names`.

    Args:
        in_space: errors in metres.
        in_picture: errors in pixels.
        protocol: `distances`, `pixels`.

    Example:
        >>> protocol = SurfaceProtocol.named("omniprobe", "navi")
        >>> correct_matches([0.01, 0.0, 0.02], [5.0, 24.0, 9.0], protocol)
        [1, 2, 3, 0, 3, 3]
    """
    counts: list[int] = []
    for errors, thresholds in ((in_space, protocol.distances), (in_picture, protocol.pixels)):
        for threshold in thresholds:
            counts.append(sum(error < threshold for error in errors))
    return counts


def pairs_by_angle(pairs: Sequence[Mapping[str, Any]], protocol: SurfaceProtocol) -> dict[str, list[Mapping[str, Any]]]:
    """Return name of a bin of angles, such as "0-30" → its pairs; a pair without a match is in no bin.

    Args:
        pairs: as `surface_scores` takes them.
        protocol: `angle_bins`.

    Example:
        >>> protocol = SurfaceProtocol.named("omniprobe", "navi")
        >>> pairs = [{"angle": 29.0, "matches": 4}, {"angle": 60.0, "matches": 1}, {"angle": 5.0, "matches": 0}]
        >>> {name: len(in_bin) for name, in_bin in pairs_by_angle(pairs, protocol).items()}
        {'0-30': 1, '30-60': 0, '60-90': 1, '90-120': 0}
    """
    matched = [pair for pair in pairs if pair["matches"]]
    bins: dict[str, list[Mapping[str, Any]]] = {}
    for low, high in pairwise(protocol.angle_bins):
        bins[f"{low:g}-{high:g}"] = [pair for pair in matched if low <= pair["angle"] < high]
    return bins


def surface_scores(pairs: Sequence[Mapping[str, Any]], protocol: SurfaceProtocol) -> dict[str, float]:
    """Return the scores of pairs, as fractions.

    Args:
        pairs: of each pair `correct`: the numbers of `correct_matches`; `matches`: the number of all matches; `angle`:
            degrees between the cameras, NaN if unknown.
        protocol: thresholds, bins of angle.

    Returns:
        `recall@…`: the fraction of correct matches among the matches of all pairs; `recall@2cm-0-30`: the mean recall
        of the pairs whose angle is 0 or more and below 30 degrees; `rotation@5deg`: the fraction of pairs whose angle
        is below 5 degrees. NaN without a match or pair.

    Example:
        >>> protocol = SurfaceProtocol.named("omniprobe", "navi", changes={"rotations": (20.0,)})
        >>> near = {"correct": [1, 2, 3, 0, 0, 0], "matches": 4, "angle": 0.0}
        >>> far = {"correct": [0, 1, 1, 0, 0, 0], "matches": 1, "angle": 29.0}
        >>> without_match = {"correct": [0, 0, 0, 0, 0, 0], "matches": 0, "angle": 20.0}
        >>> unknown = {"correct": [5, 5, 5, 5, 5, 5], "matches": 5, "angle": math.nan}
        >>> scores = surface_scores([near, far, without_match, unknown], protocol)
        >>> [scores[name] for name in ("recall@2cm", "recall@2cm-0-30", "recall@2cm-30-60", "rotation@20deg")]
        [0.8, 0.75, nan, 0.25]
    """
    scores: dict[str, float] = {}
    total = sum(pair["matches"] for pair in pairs)
    names = recall_names(protocol)
    for place, name in enumerate(names):
        right = sum(pair["correct"][place] for pair in pairs)
        scores[name] = _share(right, total)
    for name, in_bin in pairs_by_angle(pairs, protocol).items():
        # by angle only the recall at one threshold, `names[BINNED]`, is reported
        recalls = [pair["correct"][BINNED] / pair["matches"] for pair in in_bin]
        scores[f"{names[BINNED]}-{name}"] = exact_mean(recalls)
    for angle in protocol.rotations:
        below = sum(pair["angle"] < angle for pair in pairs)
        scores[f"rotation@{angle:g}deg"] = _share(below, len(pairs))
    return scores


def _share(part: int, whole: int) -> float:
    """Return part / whole; NaN if the whole is 0."""
    return part / whole if whole else math.nan
