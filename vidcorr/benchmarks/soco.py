"""Matching of named key points within and across categories by the features of an extractor: SOCO."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from ..datasets.soco import SocoPair, read_soco
from ..functional.matching import canvas_points, cell_similarities
from ..metrics.concepts import candidate_cells, concept_counts, concept_scores, point_errors
from ..protocols import MatchingProtocol
from ..results.result import Row
from ..tracking.keypoint_matcher import KeypointMatcher
from .pairs import Matched, PairBenchmark


@dataclass(frozen=True)
class SocoBenchmark(PairBenchmark):
    """Score key points matched without training on SOCO, by name, by concept, and among the points of a concept.

    Logs, as fractions, means over categories: `soco/SOC@0.1`, points of the same name; `soco/CC@0.1`, the nearest point
    of the same concept; both over the pairs of a category, and with `-class` over its points; `soco/geometric@0.1`, the
    point of the same name among those of its concept, over points; and `soco/geometric-several@0.1`, of concepts with
    several points. Files: results.json, per_sequence.csv (a row per pair), `predictions/<category>.json`, pictures of
    pairs.

    Paper: SOCO (arXiv 2605.31597).

    Args:
        root: folder `SOCOv1`, which holds Images and PairAnnotations.
        protocol: name of a protocol (`omniprobe`) or a protocol.
        pairs: within a category ("intra"), across two ("cross"), or a split for a linear probe.

    Raises:
        DataError: when the data are first read, with the name of the file.
        ValueError: for an unknown protocol, changes out of range, or an input size that does not fit the
            network.
    """

    name = "soco"
    conditions: ClassVar[Mapping[str, str]] = {"split": "{}", "pairs": "{} pairs"}
    protocol_class = MatchingProtocol
    encoder = KeypointMatcher
    caption = "points that were found; green: near the point of the same name"

    root: str | Path
    protocol: str | MatchingProtocol = "omniprobe"
    pairs: Literal["intra", "cross", "trainsplits/train", "trainsplits/test"] = "intra"

    def __post_init__(self) -> None:
        """Refuse a protocol with values that SOCO's measures do not have."""
        super().__post_init__()
        # field → values for which SOCO's measures are defined
        accepted = {"pairs": ["all"], "reference": ["box"], "input_fit": ["corner"]}
        accepted |= {"upsampling": ["cells"], "average": ["image", "class"]}
        for field, values in accepted.items():
            value = getattr(self.protocol, field)
            if value not in values:
                expected = " or ".join(map(repr, values))
                raise ValueError(f"SocoBenchmark: {field} must be {expected}, got {value!r}")

    def read_pairs(self) -> list[SocoPair]:
        """Read the pairs."""
        return read_soco(self.root, self.pairs)

    def match(self, pair: SocoPair, matcher: KeypointMatcher) -> Matched:
        """Match the key points of a pair, and measure the matches.

        Errors are distances from each match to each target point, in longer sides of the target's box. Counts go by the
        target points of the same name (`same`) and of the same concept (`concept`). Pictures show a match as right if
        it is near the point of the same name.
        """
        protocol = matcher.protocol
        points = matcher.match(pair)
        side = protocol.input_sides[0]  # lengths below are in sides of the padded square
        targets = canvas_points(torch.from_numpy(pair.points[1]), pair.sizes[1], protocol).numpy() / np.float32(side)
        # matches are in pixels of the picture, whose longer side is the side of the square
        errors = point_errors(points / max(pair.sizes[1]), targets, pair.length)
        # of the most similar cells among those that hold points of the concept
        geometric = geometric_errors(matcher, pair, targets)
        counts = concept_counts(errors, geometric, pair.same, pair.concept, protocol)
        values = concept_scores({pair.category: [counts]}, protocol)
        correct = np.zeros(len(points), bool)
        source, target = pair.same.T  # rows of the points of the same name
        correct[source] = errors[source, target] < protocol.thresholds[0]
        places = pair.points[0], points
        return Matched(values, counts, points.round(3).tolist(), places, correct, partial(matcher.picture, pair))

    def scores(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return the means over categories."""
        categories: dict[str, list[Any]] = {}
        for row in rows:
            categories.setdefault(row.video, []).append(row.counts)
        return concept_scores(categories, self.protocol)  # type: ignore[arg-type]

    def facts(self, rows: Sequence[Row], matcher: KeypointMatcher) -> dict[str, Any]:
        """Return as `split` the kind of pairs (`self.pairs`), and the feature grid; the base adds `pairs`."""
        height, width = matcher.grid
        return {"split": self.pairs, "grid": f"{height} x {width}"} | super().facts(rows, matcher)


def geometric_errors(matcher: KeypointMatcher, pair: SocoPair, targets: Any) -> Any:
    """Return the errors `(N, M)` of the matches of N source points to M targets, as `point_errors` measures them.

    A match is the most similar cell among the cells that hold a target of the source point's concept. So the errors
    tell whether the right one of equal parts is found, for example the left of two wheels.

    Args:
        matcher: the network under the protocol.
        pair: the pair.
        targets: key points of the target, x, y `(M, 2)` in sides of the square to which its picture is padded.
    """
    source = matcher.features_of(pair, 0)
    target = matcher.features_of(pair, 1)
    points = torch.from_numpy(pair.points[0])
    with torch.no_grad():
        similarities = cell_similarities(source, target, points, pair.sizes[0], matcher.protocol).cpu().numpy()
    cells = candidate_cells(similarities, targets, pair.concept)
    _, height, width = similarities.shape
    # the cells' upper left corners, which the protocol `omniprobe` takes as answers (`answer: corner`); -1 stands for a
    # source point without candidates, which is not counted
    corners = np.stack([cells % width / width, cells // width / height], axis=1)
    return point_errors(corners, targets, pair.length)
