"""Matching of key points between two pictures by the features of an extractor: SPair-71k, PF-PASCAL, PF-WILLOW."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from torch import nn

from .. import signals
from ..datasets.spair import MatchPair, image_annotations, partner_rows, read_pf, read_spair, shown_ids
from ..functional import MatchingProtocol
from ..metrics.matching import MatchRows, correct_points, draws, reference_length, score_keys
from ..tracking.keypoint_matcher import KeypointMatcher
from ..videos.digests import text_digest
from ..videos.files import csv_of_records, write_atomically
from .base import Benchmark
from .evaluation import Evaluation, RunContext


class PairsOfCategory(NamedTuple):
    """The pairs of a category, which share pictures: a sequence of the benchmark. Its frames are its pictures."""

    name: str
    num_frames: int
    pairs: list[MatchPair]


@dataclass(frozen=True)
class MatchBenchmark(Benchmark):
    """Score key points matched without training on SPair-71k.

    Logs, as fractions, `spair/PCK@0.1` in the average that the protocol's code prints first; all four averages
    `spair/PCK@0.1-image`, `-point`, `-class` and `-weighted` (see `MatchingProtocol.average`); and the first by
    difficulty: `spair/PCK@0.1-viewpoint-2`. Every picture is encoded once. Files: results.json, per_sequence.csv (a row
    per pair), per_category.csv, `predictions/<category>.json`.

    Paper: Min et al., SPair-71k (2019).

    Args:
        root: see `read_spair`.
        protocol: name of a protocol (`dift`, `sd-dino`, `geoaware`, `insid3`, `probe3d`) or a protocol.
        split: trn, val or test.

    Raises:
        DataError: when the data are first read, with the name of the file.
        ValueError: for an unknown protocol, changes out of range, or an input size that does not fit the network.
    """

    default_name = "spair"
    protocol_kind = MatchingProtocol
    protocols_like = ()
    recorded: ClassVar[tuple[str, ...]] = ("split",)
    levels: ClassVar[tuple[str, ...]] = (
        *("viewpoint=0", "viewpoint=1", "viewpoint=2"),
        *("scale=0", "scale=1", "scale=2"),
        *("truncation=0", "truncation=1", "truncation=2", "truncation=3"),
        *("occlusion=0", "occlusion=1", "occlusion=2", "occlusion=3"),
    )
    """Levels of difficulty that the data state."""
    text_columns = ("Points", "Viewpoint", "Scale", "Truncation", "Occlusion")

    root: str | Path
    protocol: str | MatchingProtocol = "dift"
    split: str = "test"

    @property
    def score_names(self) -> tuple[str, ...]:
        """Every score that the data set may give."""
        rules: Any = self.protocol
        return score_keys(rules, self.levels)

    @property
    def ranked_by(self) -> tuple[str, ...]:
        """The PCK at the first threshold."""
        return self.score_names[:1]

    def read(self) -> Sequence[PairsOfCategory]:
        """Open the data set."""
        found: dict[str, list[MatchPair]] = {}
        for pair in self.read_pairs():
            found.setdefault(pair.category, []).append(pair)
        return [PairsOfCategory(name, count_pictures(pairs), pairs) for name, pairs in sorted(found.items())]

    def read_pairs(self) -> list[MatchPair]:
        """Read the pairs, sorted by name."""
        return read_spair(self.root, self.split)

    def sources(self) -> Sequence[Path]:
        """Return the annotations of single pictures, which name the points that a flip may exchange."""
        pairs = [pair for category in self.sequences for pair in category.pairs]
        return [file for file in image_annotations(self.root, pairs) if file.is_file()]

    def start(self, extractor: nn.Module, context: RunContext) -> Evaluation:
        """Begin a run; see `Benchmark`."""
        return MatchEvaluation(context, KeypointMatcher(extractor, *context.protocols), self)


@dataclass(frozen=True)
class PfPascalBenchmark(MatchBenchmark):
    """Score key points matched without training on PF-PASCAL; see `MatchBenchmark`, and `read_pf` for `root`.

    Paper: Ham et al., Proposal Flow (TPAMI 2018).
    """

    default_name = "pf_pascal"
    levels = ()

    protocol: str | MatchingProtocol = "sd-dino"

    def read_pairs(self) -> list[MatchPair]:
        """Read the pairs."""
        return read_pf(self.root, self.default_name, self.split)


@dataclass(frozen=True)
class PfWillowBenchmark(PfPascalBenchmark):
    """Score key points matched without training on PF-WILLOW; see `MatchBenchmark`, and `read_pf` for `root`.

    Paper: Ham et al., Proposal Flow (CVPR 2016).
    """

    default_name = "pf_willow"

    protocol: str | MatchingProtocol = "vidcorr"


class MatchEvaluation(Evaluation):
    """Match and score the pairs of the categories, separately for every map of the extractor.

    Args:
        context: ranks and folder of the run.
        matcher: matches by its protocols.
        benchmark: the data set.
    """

    def __init__(self, context: RunContext, matcher: KeypointMatcher, benchmark: MatchBenchmark) -> None:
        protocol, pairs = matcher.protocols[0], [pair for part in benchmark.sequences for pair in part.pairs]
        drawn = draws([pair.category for pair in pairs], [pair.difficulty for pair in pairs], protocol)
        names = {draw: [pairs[index].name for index in indices] for draw, indices in drawn.items()}
        metrics = [MatchRows(rules, names) for rules in matcher.protocols]
        super().__init__(context, metrics, matcher, benchmark.predictions)
        self._used = [pairs[index] for index in sorted(set().union(*drawn.values()))]
        self._shown = shown_ids(benchmark.root, pairs) if protocol.flip != "off" else {}

    def follow(self, sequence: PairsOfCategory) -> None:
        """Match and score the pairs of a category; see `Evaluation`."""
        pairs = [pair for pair in self._used if pair.category == sequence.name]
        written: list[dict[str, Any]] = [{} for _ in self.stages]
        for pair in pairs:
            signals.check()
            partners = partner_rows(pair, self._shown[pair.category]) if self._shown else None
            found = self.tracker.match(pair, partners)
            for metric, content, points in zip(self.metrics, written, found, strict=True):
                length = reference_length(pair.box, pair.points[1], pair.sizes[1], metric.protocol)
                correct = correct_points(points, pair.points[1], length, pair.sizes[1], metric.protocol)
                metric.update(pair.name, pair.category, correct, **pair.difficulty)
                content[pair.name] = {"points": points.round(3).tolist(), "correct": correct.tolist()}
        for folder, content in zip(self.prediction_folders(), written, strict=False):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / f"{sequence.name}.json", json.dumps(content) + "\n")

    def finish(self, folder: Path) -> None:
        """Write per_category.csv; see `Evaluation`."""
        for stage, metric in zip(self.stages, self.metrics, strict=True):
            write_atomically(folder / stage / "per_category.csv", csv_of_records(metric.per_category()))

    def data(self) -> dict[str, Any]:
        """Return the numbers and digest of the pairs, and the feature grid; see `Evaluation`."""
        ours = {"drawn_by": "this project: the list is sorted before the seeded draw"}
        return super().data() | {
            "grid": [f"{rows} x {columns}" for rows, columns in self.tracker.grids],
            "pairs": len(self._used),
            "pictures": count_pictures(self._used),
            "pair_list": digest_of(self._used),
            **(ours if self.metrics[0].protocol.pairs == "subset" else {}),
        }


def count_pictures(pairs: Iterable[MatchPair]) -> int:
    """Return the number of different pictures of pairs."""
    return len({file for pair in pairs for file in pair.files})


def digest_of(pairs: Iterable[MatchPair]) -> str:
    """Return a digest of the names of pairs, in whatever order."""
    return text_digest("\n".join(sorted(pair.name for pair in pairs)))
