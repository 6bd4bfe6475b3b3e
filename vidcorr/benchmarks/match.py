"""Matching of key points between two pictures by the features of an extractor: SPair-71k and PF-PASCAL."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar

from ..datasets.spair import DIFFICULTIES, MatchPair, read_pf_pascal, read_spair
from ..metrics.declared import Score, fractions
from ..metrics.matching import correct_points, drawn_indices, match_scores, reference_length, score_key
from ..protocols import MatchingProtocol
from ..results.csv_files import csv_of_records
from ..results.result import Result, Row, videos_of
from ..tracking.keypoint_matcher import KeypointMatcher
from .output import Output
from .pairs import Matched, PairBenchmark, PairsOfCategory


@dataclass(frozen=True)
class MatchBenchmark(PairBenchmark):
    """Score key points matched without training on SPair-71k.

    Logs, as fractions, `spair/PCK@0.1` in the average that the protocol's code prints first; all four averages
    `spair/PCK@0.1-image`, `-point`, `-class` and `-weighted` (classes weighted by their pairs); and the first by
    difficulty: `spair/PCK@0.1-viewpoint-2`. Every picture is encoded once. Files: results.json, per_sequence.csv (a row
    per pair), per_category.csv, `predictions/<category>.json`.

    Paper: Min et al., SPair-71k (2019).

    Args:
        root: SPair-71k's folder, which holds Layout, PairAnnotation and JPEGImages.
        protocol: name of a protocol (`dift`, `sd-dino`, `geoaware`, `insid3`, `probe3d`) or a protocol.
        split: trn, val or test.

    Raises:
        DataError: when the data are first read, with the name of the file.
        ValueError: for an unknown protocol, changes out of range, or an input size that does not fit the network.
    """

    name = "spair"
    conditions: ClassVar[Mapping[str, str]] = {"split": "{}", "pairs": "{} pairs"}
    protocol_class = MatchingProtocol
    encoder = KeypointMatcher
    caption = "points that were found; green: correct at the first threshold"
    levels: ClassVar[tuple[str, ...]] = tuple(
        f"{kind}={level}" for kind, count in DIFFICULTIES.items() for level in range(count)
    )
    """Levels of difficulty that the data state."""

    root: str | Path
    protocol: str | MatchingProtocol = "dift"
    split: str = "test"

    @property
    def declared(self) -> tuple[Score, ...]:
        """Every score that the data set may give; their names are those of the scores of no pairs, which are NaN."""
        empty_draws: Any = dict.fromkeys(("", *self.levels), ())
        return fractions(*match_scores({}, empty_draws, self.protocol))  # type: ignore[arg-type]

    def read_pairs(self) -> list[MatchPair]:
        """Read the pairs, sorted by name."""
        return read_spair(self.root, self.split)

    def pairs_to_score(self, category: PairsOfCategory) -> list[MatchPair]:
        """Return the pairs of a category that any of `draws` holds."""
        drawn_names = set().union(*self.draws.values())
        return [pair for pair in category.pairs if pair.name in drawn_names]

    def match(self, pair: MatchPair, matcher: KeypointMatcher) -> Matched:
        """Match the key points of a pair; its row has the number and fractions of correct points, and difficulties."""
        protocol = matcher.protocol
        points = matcher.match(pair)
        answers = pair.points[1]
        size = pair.sizes[1]
        length = reference_length(pair.box, size, protocol)  # pixels; thresholds are fractions of it
        correct = correct_points(points, answers, length, size, protocol)  # (N, thresholds) bool
        numbers = correct.sum(0).tolist()  # of correct points, by threshold
        values: dict[str, Any] = {"Points": len(points)}
        for threshold, number in zip(protocol.thresholds, numbers, strict=True):
            values[score_key(threshold)] = number / len(points) if len(points) else math.nan
        for kind, level in pair.difficulty.items():
            values[kind.title()] = level
        prediction = {"points": points.round(3).tolist(), "correct": correct.tolist()}
        places = pair.points[0], points  # drawn, as right or wrong by the first threshold
        return Matched(values, {"correct": numbers}, prediction, places, correct[:, 0], partial(matcher.picture, pair))

    def scores(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return the PCK of the pairs of each of `draws`, averaged as the protocol says."""
        pairs: dict[str, tuple[Any, ...]] = {}  # name → category, number of points, correct points by threshold
        for row in sorted(rows, key=attrgetter("object")):
            pairs[row.object] = row.video, row.values["Points"], row.counts["correct"]
        return match_scores(pairs, self.draws, self.protocol)  # type: ignore[arg-type]

    @cached_property
    def pairs(self) -> list[MatchPair]:
        """The pairs of all categories of a run."""
        return list(chain.from_iterable(category.pairs for category in self.sequences))

    @cached_property
    def draws(self) -> dict[str, list[str]]:
        """The sets of pairs that scores are averages over: "" or a level of difficulty → names of pairs.

        The set "" is of all levels. A protocol that draws pairs at random may draw a name several times.
        """
        categories = [pair.category for pair in self.pairs]
        difficulties = [pair.difficulty for pair in self.pairs]
        names_of_draws: dict[str, list[str]] = {}
        for draw, indices in drawn_indices(categories, difficulties, self.protocol).items():  # type: ignore[arg-type]
            names_of_draws[draw] = [self.pairs[index].name for index in indices]
        return names_of_draws

    def facts(self, rows: Sequence[Row], matcher: KeypointMatcher) -> dict[str, Any]:
        """Return the split, the feature grid, and as `pairs` the number of scored pairs."""
        height, width = matcher.grid
        return super().facts(rows, matcher) | {"grid": f"{height} x {width}"}

    def finish(self, result: Result, output: Output) -> None:
        """Write per_category.csv: a line per category with its numbers of pairs and points, and its pairs' scores."""
        lines: list[dict[str, Any]] = []
        for category in videos_of(result.rows):  # the `video` of a row is the category of its pair
            rows = [row for row in result.rows if row.video == category]
            points = sum(int(row.values["Points"]) for row in rows)
            # NaN: a score of which the category has no pair
            known = {key: score for key, score in self.scores(rows).items() if not math.isnan(score)}
            lines.append({"Category": category, "Pairs": len(rows), "Points": points} | known)
        output.text("per_category.csv", csv_of_records(lines))


@dataclass(frozen=True)
class PfPascalBenchmark(MatchBenchmark):
    """Score key points matched without training on PF-PASCAL: the scores and files of `MatchBenchmark`.

    Paper: Ham et al., Proposal Flow (TPAMI 2018).

    Args:
        root: folder of the list of pairs, and of the pictures, whose paths start at it or at the folder above.
        protocol: name of a protocol (`dift`, `sd-dino`, `geoaware`, …) or a protocol.
        split: start of the list's name, `<split>_pairs_pf_pascal.csv` or `<split>_pairs.csv`.
    """

    name = "pf_pascal"
    conditions: ClassVar[Mapping[str, str]] = MatchBenchmark.conditions
    levels = ()

    protocol: str | MatchingProtocol = "sd-dino"

    def read_pairs(self) -> list[MatchPair]:
        """Read the pairs."""
        return read_pf_pascal(self.root, self.split)
