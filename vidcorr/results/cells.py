"""Cells of tables: a score of a row over its seeds, and its difference from a base row's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from math import isnan, nan
from statistics import fmean, stdev

from ..metrics.declared import Score
from .formats import bracketed, shown
from .published import Published, printed_digits
from .records import ScoreRecord
from .result import Result, videos_of
from .statistics import FRACTION, Difference, difference, interval


@dataclass(frozen=True)
class Cell:
    """The score of a row in a column; `measured_cell` and `published_cell` make cells.

    Attributes:
        scores: scores of the seeds, or the published score; empty for a row that lacks its result.
        mean: mean of the scores; NaN without one.
        deviation: standard deviation over the seeds, of a sample; NaN for a single score, or if one is undefined.
        declared: what the benchmark declares of the score; a published score is a fraction.
        records: the scores of the seeds with their results; empty for a published score.
        trained: True if the row stands for a training, sampled by its seeds; False if it stands for a fixed network.
        paper: the row of a publication that prints the score, if it is known.
        difference: difference from the base row, paired by sequence; None in the base row, or if rows do not pair.
        digits: decimals of the printed score.
    """

    scores: tuple[float, ...] = ()
    mean: float = nan
    deviation: float = nan
    declared: Score = FRACTION
    records: tuple[ScoreRecord, ...] = ()
    trained: bool = False
    paper: Published | None = None
    difference: Difference | None = None
    digits: int = 1

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Ends of the 95 % interval, cut to the bounds of the score.

        None for a published score, without values of at least four sequences, if a seed's score is NaN, or if the seeds
        have different sequences.
        """
        if not self.records:
            return None
        return interval([record.result.sample(record.key) for record in self.records], self.declared)

    def printed(self, intervals: bool, best: str = "") -> str:
        """Return the cell as a text, with `**` around the best score.

        The text is the mean, ± the deviation over seeds, the interval in brackets; then the difference from the base
        row with its interval, and p.

        Args:
            intervals: write 95 % intervals and p.
            best: text of the column's best score, from `Table.best`: a mean with this text is bold. "": none is.
        """
        declared = self.declared
        text = shown(self.mean, declared, self.digits)
        if text == best:
            text = f"**{text}**"
        if not isnan(self.deviation):
            text += f" ± {shown(self.deviation, declared, self.digits)}"
        if intervals and self.interval:
            text += f" {bracketed(self.interval, declared)}"
        change = self.difference
        if change is None:
            return text
        text += f"; {shown(change.mean, declared, self.digits, '+')}"
        if intervals and change.ends:
            p = "–" if change.p is None else f"{change.p:.2g}"
            text += f" {bracketed(change.ends, declared, '+')}, p {p}"
        return text

    @property
    def quantities(self) -> dict[str, object]:
        """The quantities of the cell by their names in CSV; a missing quantity is None, a missing mean NaN.

        Example:
            >>> known = Cell((0.5, 0.6), 0.55, 0.07, difference=Difference(0.1, sequences=9)).quantities
            >>> {name: value for name, value in known.items() if value not in ("", None)}
            {'mean': 0.55, 'deviation': 0.07, 'difference': 0.1, 'difference over': 9, 'scores': '0.5 0.6'}
        """
        columns = [record.column for record in self.records]
        # conditions in words, protocol as a digest; several if the records are of several columns
        found: dict[str, object] = {"conditions": "; ".join(dict.fromkeys(column.about for column in columns))}
        found["protocol"] = "; ".join(dict.fromkeys(column.protocol for column in columns))
        low, high = self.interval or (None, None)
        deviation = None if isnan(self.deviation) else self.deviation
        found |= {"mean": self.mean, "deviation": deviation, "low": low, "high": high}
        names = {"mean": "difference", "low": "difference low", "high": "difference high", "p": "p"}
        for name, in_csv in (names | {"sequences": "difference over"}).items():
            found[in_csv] = getattr(self.difference, name, None)
        seeds = ["?" if record.seed is None else str(record.seed) for record in self.records]
        return found | {"seeds": " ".join(seeds), "scores": " ".join(map(str, self.scores))}

    def apart(self, base: "Cell") -> str:
        """Return in words why a score of this cell may not be compared with one of the base row's; "" if all may."""
        reasons = [ours.apart(theirs) for ours in self.records for theirs in base.records]
        return next(filter(None, reasons), "")

    def paired_difference(self, base: "Cell") -> Difference | None:
        """Return the difference from another cell, over the sequences that all results of both cells define.

        An object, or a sequence, without a finite value in one result is left out of all. Both cells must have the same
        frames and annotations; protocols and rules are not compared here, but by `apart`.

        Returns:
            None if a cell has no results, if the results have other data, or if they share no sequence.
        """
        records = self.records + base.records
        is_comparable = not sequences_on_other_data(record.result for record in records)
        if not (self.records and base.records and is_comparable):
            return None
        common, lacking = common_parts(records)
        samples = [each.result.sample(each.key, common) for each in records]
        if not all(sample.without for sample in samples):  # nothing in common, or no score of the common parts alone
            return None
        seeds = len(self.records)  # a record per seed; this cell's samples come first
        found = difference(samples[:seeds], samples[seeds:], (self.trained, base.trained))
        return found and found._replace(sequences=len(set(common.values())), lacking=tuple(lacking))


def measured_cell(records: Sequence[ScoreRecord], trained: bool = False) -> Cell:
    """Return the cell of measured scores, one record per seed.

    Args:
        records: the scores, at least one; all have one declaration.
        trained: True if the row stands for a training, sampled by its seeds.
    """
    scores = tuple(record.result.scores[record.key] for record in records)
    mean = fmean(scores)
    deviation = nan if len(scores) < 2 or isnan(mean) else stdev(scores)
    declared = records[0].result.declaration(records[0].key)
    return Cell(scores, mean, deviation, declared, tuple(records), trained)


def published_cell(score: float, paper: Published | None = None) -> Cell:
    """Return the cell of a published score.

    Args:
        score: a fraction, with the decimals that the paper prints: 0.523 for 52.3.
        paper: the row of the publication, if known.
    """
    return Cell((score,), score, paper=paper, digits=printed_digits(score))


def common_parts(records: Sequence[ScoreRecord]) -> tuple[dict[str, str], list[str]]:
    """Return the parts over which all records can be compared.

    A part is a row of a result with a finite value, usually an object of a sequence (`Result.parts`).

    Returns:
        Common parts: name of a part that all records have → its sequence. Lacking parts: sorted names of the parts that
        only some records have, within sequences that all records have.

    Example:
        >>> def record(*names):  # of a result with these objects
        ...     rows = [{"video": name[0], "object": name[1:], "values": {"J": 0.5}} for name in names]
        ...     return ScoreRecord(Result(benchmark="davis", network={"name": "A"}, scores={"J": 0.5}, rows=rows), "J")
        >>> common_parts([record("a1", "a2", "b1"), record("a1", "c1")])  # a2, of a sequence that both have
        ({'a_1': 'a'}, ['a_2'])
    """
    parts = [record.result.parts(record.key) for record in records]
    shared = set.intersection(*(set(videos_of(record.result.rows)) for record in records))
    common: dict[str, str] = {}
    lacking: set[str] = set()
    for name, video in chain.from_iterable(of_record.items() for of_record in parts):
        if all(name in of_record for of_record in parts):
            common[name] = video
        elif video in shared:
            lacking.add(name)
    return common, sorted(lacking)


def sequences_on_other_data(results: Iterable[Result]) -> set[str]:
    """Return the names of the sequences whose frames or annotations differ between results.

    A result without a digest of a sequence differs from a result with a digest.

    Example:
        >>> network = {"name": "A"}
        >>> first = Result(benchmark="davis", network=network, scores={}, digests={"bike": "1f", "dogs": "2e"})
        >>> second = Result(benchmark="davis", network=network, scores={}, digests={"bike": "1f", "dogs": "3d"})
        >>> part = Result(benchmark="davis", network=network, scores={}, digests={"bike": "1f"})
        >>> sequences_on_other_data([first, second]), sequences_on_other_data([first, part])
        ({'dogs'}, set())
    """
    digests: dict[str, set[str]] = {}
    for result in results:
        for name in {*result.sequences, *videos_of(result.rows), *result.digests}:
            digests.setdefault(name, set()).add(result.digests.get(name, ""))
    return {name for name, of_name in digests.items() if len(of_name) > 1}
