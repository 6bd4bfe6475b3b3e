"""Matching between two pictures: a benchmark of pairs is a reader, and the row of a pair."""

import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from .. import signals
from ..metrics.declared import Score, fractions
from ..results.pictures.animations import FRAMES, WIDTH, Frame, write_animation
from ..results.pictures.overlays import Colour, Picture, evenly_spaced, resized
from ..results.pictures.pairs import RIGHT, WRONG, draw_matches
from ..results.result import Row
from .base import Benchmark
from .output import Output


class PairsOfCategory(NamedTuple):
    """The pairs of a category: a sequence of the benchmark, whose frames are the pictures of the pairs.

    Attributes:
        name: the category.
        pairs: the pairs, as `read_pairs` returns them.
    """

    name: str
    pairs: list[Any]

    @property
    def frames(self) -> tuple[Path, ...]:
        """The files of the pictures of the pairs, each once."""
        return tuple(dict.fromkeys(chain.from_iterable(pair.files for pair in self.pairs)))

    @property
    def num_frames(self) -> int:
        """Number of different pictures."""
        return len(self.frames)


class Matched(NamedTuple):
    """A matched pair.

    Attributes:
        values: columns of its row.
        counts: numbers from which the scores of many pairs are computed.
        prediction: its entry in the predictions, plain JSON types.
        points: matched points of both pictures, x, y `(N, 2)` in their pixels.
        right: True for the matches that are drawn as correct.
        picture: number 0 or 1 → this picture of the pair, uint8 RGB `(3, H, W)`.
    """

    values: dict[str, Any]
    counts: dict[str, Any]
    prediction: Any
    points: tuple[Any, Any]
    right: Iterable[bool]
    picture: Callable[[int], Tensor]

    def draw(self) -> Picture:
        """Draw both pictures with lines between the matched points, green for right matches and red for others."""
        colours: list[Colour] = []
        for is_right in self.right:
            colours.append(RIGHT if is_right else WRONG)
        return draw_matches(self.picture(0), self.picture(1), *self.points, colours)


@dataclass(frozen=True)
class PairBenchmark(Benchmark):
    """Base of the benchmarks of pairs of pictures, grouped by category.

    A subclass has a field `protocol`, and defines `read_pairs`, `match`, `scores` (also of no rows: every key, as NaN)
    and the `caption` of its pictures. Files: `predictions/<category>.json`, pictures of pairs.
    """

    pooled = True
    conditions: ClassVar[Mapping[str, str]] = {"pairs": "{} pairs"}
    unit = "categories"
    caption: ClassVar[str]

    @abstractmethod
    def read_pairs(self) -> Sequence[Any]:
        """Return the pairs: objects with `name`, `category` and `files`.

        Raises:
            DataError: for every fault of the data that can be found without decoding them.
        """

    @abstractmethod
    def match(self, pair: Any, matcher: Any) -> Matched:
        """Match the pictures of a pair, and measure the matches."""

    @property
    def declared(self) -> tuple[Score, ...]:
        """Every score that the data set may give; their names are those of the scores of no rows, which are NaN."""
        return fractions(*self.scores([]))

    def read(self) -> Sequence[PairsOfCategory]:
        """Open the data set: its pairs by category, sorted."""
        pairs_of: dict[str, list[Any]] = {}
        for pair in self.read_pairs():
            pairs_of.setdefault(pair.category, []).append(pair)
        return [PairsOfCategory(name, pairs) for name, pairs in sorted(pairs_of.items())]

    def pairs_to_score(self, category: PairsOfCategory) -> Sequence[Any]:
        """Return the pairs of a category that are scored: by default all."""
        return category.pairs

    def score(self, sequence: PairsOfCategory, matcher: Any, output: Output) -> list[Row]:
        """Match and score the pairs of a category: a row per pair.

        It writes the matches to `predictions/<category>.json`, and `animations/<category>.webp`, in which at most
        `FRAMES` of the pairs are drawn.
        """
        pairs = self.pairs_to_score(sequence)
        chosen = evenly_spaced(len(pairs), FRAMES) if output.folder is not None else []
        drawn: dict[int, Frame] = {}
        rows: list[Row] = []
        predictions: dict[str, Any] = {}
        for number, pair in enumerate(pairs):
            signals.check()
            matched = self.match(pair, matcher)
            rows.append(Row(video=sequence.name, object=pair.name, values=matched.values, counts=matched.counts))
            predictions[pair.name] = matched.prediction
            if number in chosen:
                drawn[number] = resized(matched.draw(), WIDTH), None  # a picture, and none of the truth beside it
        if output.folder is not None and drawn:
            path = output.folder / "animations" / f"{sequence.name}.webp"
            # `kind=""`: a category has pairs of one kind
            write_animation(path, drawn, sequence=sequence.name, kind="", caption=self.caption)
        output.text(f"predictions/{sequence.name}.json", json.dumps(predictions) + "\n")
        return rows

    def facts(self, rows: Sequence[Row], matcher: Any) -> dict[str, Any]:
        """Return the facts of the base, and as `pairs` the number of scored pairs."""
        return super().facts(rows, matcher) | {"pairs": len(rows)}
