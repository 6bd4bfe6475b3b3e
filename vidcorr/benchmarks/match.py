"""Matching of key points between two pictures by the features of an extractor: SPair-71k, PF-PASCAL, PF-WILLOW."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from .. import signals
from ..datasets.spair import MatchPair, partner_rows, read_pf, read_spair, shown_ids
from ..functional import MatchingProtocol
from ..functional.propagation.sizing import Size
from ..metrics.matching import MatchRows, correct_points, draws, reference_length, score_key, score_keys
from ..results.pictures import Picture, write_picture
from ..results.pictures.overlays import WIDTH, SequenceAnimation, contact_sheet
from ..results.pictures.sheets import pair_picture
from ..tracking.keypoint_matcher import KeypointMatcher
from ..videos.files import csv_of_records, write_atomically
from .base import Benchmark
from .evaluation import Evaluation, RunContext

DIFFICULT = tuple(
    f"{kind}={level}"
    for kind, levels in (("viewpoint", 3), ("scale", 3), ("truncation", 4), ("occlusion", 4))
    for level in range(levels)
)
"""Levels of difficulty in SPair-71k."""

WORST_PAIRS = 8
"""Pairs of a category in its picture."""


@dataclass(frozen=True, eq=False)
class PairsOfCategory:
    """The pairs of a category, which share pictures: a sequence of the benchmark."""

    name: str
    pairs: tuple[MatchPair, ...]

    @property
    def pictures(self) -> dict[Path, Size]:
        """Picture → (H, W), in the order of use."""
        return {file: size for pair in self.pairs for file, size in zip(pair.files, pair.sizes, strict=True)}

    @property
    def num_frames(self) -> int:
        """Number of pictures."""
        return len(self.pictures)


@dataclass(frozen=True)
class MatchBenchmark(Benchmark):
    """Score key points matched without training on SPair-71k.

    Logs, as fractions, `spair/PCK@0.1` in the average that the protocol's code prints first; all four averages
    `spair/PCK@0.1-image`, `-point`, `-class` and `-weighted` (see `MatchingProtocol.average`); and the first by
    difficulty: `spair/PCK@0.1-viewpoint-2`. Every picture is encoded once. Files: results.json, per_sequence.csv (a row
    per pair), per_category.csv, `predictions/<category>.json`, and pictures of the worst pairs of each category.

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
    levels: ClassVar[tuple[str, ...]] = DIFFICULT
    """Levels of difficulty that the data state."""
    text_columns = ("Points", "Viewpoint", "Scale", "Truncation", "Occlusion")
    animations_show = "the pairs with the lowest PCK first; green, correct; red, wrong; a ring, where it should be"

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
        rules: Any = self.protocol
        return (score_key(rules.thresholds[0]),)

    def read(self) -> Sequence[PairsOfCategory]:
        """Open the data set."""
        of_category: dict[str, list[MatchPair]] = {}
        for pair in self.read_pairs():
            of_category.setdefault(pair.category, []).append(pair)
        return [PairsOfCategory(name, tuple(of_category[name])) for name in sorted(of_category)]

    def read_pairs(self) -> list[MatchPair]:
        """Read the pairs, sorted by name."""
        return read_spair(self.root, self.split)

    def identity(self) -> dict[str, Any]:
        """Return all that scores depend on, with the list of pairs; see `Benchmark`."""
        return super().identity() | {"pairs": digest_of_pairs(self.sequences)}

    def start(self, extractor: nn.Module, context: RunContext) -> Evaluation:
        """Begin a run; see `Benchmark`."""
        return MatchEvaluation(context, KeypointMatcher(extractor, *context.protocols), self)


@dataclass(frozen=True)
class PfPascalBenchmark(MatchBenchmark):
    """Score key points matched without training on PF-PASCAL; see `MatchBenchmark`, and `read_pf` for `root`.

    Paper: Ham et al., Proposal Flow (TPAMI 2018).
    """

    default_name = "pf_pascal"
    recorded = ()
    levels = ()

    protocol: str | MatchingProtocol = "sd-dino"

    def read_pairs(self) -> list[MatchPair]:
        """Read the pairs."""
        return read_pf(self.root, self.default_name)


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
        pairs = [pair for category in benchmark.sequences for pair in category.pairs]
        protocol = matcher.protocols[0]
        drawn = draws([pair.category for pair in pairs], [pair.difficulty for pair in pairs], protocol)
        names = {draw: [pairs[index].name for index in indices] for draw, indices in drawn.items()}
        metrics = [MatchRows(protocol, names) for protocol in matcher.protocols]
        super().__init__(context, metrics, matcher, benchmark.predictions)
        used = {name for names_of_draw in names.values() for name in names_of_draw}
        self._used = {category.name: pairs_named(category, used) for category in benchmark.sequences}
        self._shown = shown_ids(benchmark.root, pairs) if protocol.flip != "off" else {}
        self.columns = {
            (pair.category, pair.name): {kind.title(): level for kind, level in pair.difficulty.items()}
            for pair in pairs
        }

    def follow(self, sequence: PairsOfCategory) -> None:
        """Match and score the pairs of a category; see `Evaluation`."""
        used = self._used[sequence.name]
        self.tracker.encode(used.pictures)
        written: list[dict[str, Any]] = [{} for _ in self.stages]
        last: list[tuple[float, MatchPair, NDArray[Any], NDArray[np.bool_]]] = []
        for pair in used.pairs:
            signals.check()
            shown = self._shown.get(pair.category)
            found = self.tracker.match(pair, None if shown is None else partner_rows(pair, shown))
            for index, (points, protocol) in enumerate(zip(found, self.tracker.protocols, strict=True)):
                length = reference_length(pair.box, pair.points[1], pair.sizes[1], protocol)
                correct = correct_points(points, pair.points[1], length, pair.sizes[1], protocol)
                self.metrics[index].update(pair.name, pair.category, correct)
                written[index][pair.name] = {"points": points.round(3).tolist(), "correct": correct.tolist()}
            if len(points):
                last.append((float(correct[:, 0].mean()), pair, points, correct[:, 0]))
        for folder, content in zip(self.prediction_folders(), written, strict=False):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / f"{sequence.name}.json", json.dumps(content) + "\n")
        if self.context.folder is not None:
            self._draw(self.context.folder, sequence.name, sorted(last, key=lambda item: item[0])[:WORST_PAIRS])

    def _draw(
        self, folder: Path, name: str, worst: Sequence[tuple[float, MatchPair, NDArray[Any], NDArray[np.bool_]]]
    ) -> None:
        """Write the pictures of the worst pairs of a category, of the last map."""
        animation = SequenceAnimation(folder, name, len(worst))
        large = []
        for score, pair, points, correct in worst:
            pictures = [self.tracker.picture(file) for file in pair.files]
            text = f"{name} {pair.files[0].stem} - {pair.files[1].stem}: {100 * score:.0f} % of {len(correct)}"
            large.append(pair_picture(pictures, pair.points, points, correct, text))
            animation.add(pair_picture(pictures, pair.points, points, correct, text, WIDTH))
        if worst:
            animation.close()
            sheet = contact_sheet(large, columns=2, width=large[0].shape[1])
            path = folder / self.stages[-1] / "overlays" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_picture(path, sheet)
            self.overlays[name] = sheet

    def finish(self, folder: Path) -> dict[str, Picture]:
        """Write per_category.csv; see `Evaluation`."""
        for stage, metric in zip(self.stages, self.metrics, strict=True):
            write_atomically(folder / stage / "per_category.csv", csv_of_records(metric.per_category()))
        return {}

    def data(self) -> dict[str, Any]:
        """Return the numbers and digest of the pairs, and the feature grid; see `Evaluation`."""
        used = list(self._used.values())
        facts = {
            "grid": [f"{rows} x {columns}" for rows, columns in self.tracker.grids],
            "pairs": sum(len(category.pairs) for category in used),
            "pictures": sum(category.num_frames for category in used),
            "pair_list": digest_of_pairs(used),
        }
        if self.metrics[0].protocol.pairs == "subset":
            facts["drawn_by"] = "this project: the list is sorted before the seeded draw"
        return super().data() | facts


def pairs_named(category: PairsOfCategory, names: set[str]) -> PairsOfCategory:
    """Return a category with the pairs of these names only."""
    return PairsOfCategory(category.name, tuple(pair for pair in category.pairs if pair.name in names))


def digest_of_pairs(categories: Sequence[PairsOfCategory]) -> str:
    """Return a digest of the names of all pairs."""
    names = sorted(pair.name for category in categories for pair in category.pairs)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
