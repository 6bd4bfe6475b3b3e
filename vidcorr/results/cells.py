"""Cells of tables: a score of a row over its seeds, and its difference from a base row's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, product
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

        None for a published score, for fewer than four sequences, if a seed's score is NaN, or if seeds differ in
        sequences.
        """
        if not self.records:
            return None
        return interval([record.result.sample(record.key) for record in self.records], self.declared)

    def printed(self, intervals: bool, best: str = "") -> str:
        """Return the cell as a text: mean ± deviation over seeds [interval]; difference from the base [interval], p.

        A mean whose text is `best`, the column's best score, gets `**` around it. Without `intervals` they and p are
        left out.

        Example:
            >>> cell = Cell((0.55, 0.57), 0.56, deviation=0.0141, difference=Difference(0.028, 0.021, 0.034, 0.01))
            >>> cell.printed(intervals=True, best="56.0"), cell.printed(intervals=False)
            ('**56.0** ± 1.4; +2.8 [+2.1, +3.4], p 0.01', '56.0 ± 1.4; +2.8')
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
        """The quantities of the cell by their names in CSV; a missing quantity is None, a missing mean NaN."""
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

    def compared(self, base: "Cell") -> tuple[Difference | None, str]:
        """Compare with another cell, over the sequences that all results of both cells define.

        An object, or a sequence, without a finite value in one result is left out of all.

        Returns:
            The difference, and ""; or None, and the reason why there is none, in words that follow "it".

        Example:
            >>> def cell(name, **values):
            ...     rows = [{"video": video, "values": {"J": value}} for video, value in values.items()]
            ...     about = {"network": {"name": name}, "scores": {"J": fmean(values.values())}, "rows": rows}
            ...     return measured_cell([ScoreRecord(Result(benchmark="davis", **about), "J")])
            >>> found, reason = cell("A", a=0.5, b=0.75, c=0.5).compared(cell("B", a=0.25, b=0.25))
            >>> found.mean, found.sequences, reason  # without c
            (0.375, 2, '')
            >>> cell("A", a=0.5).compared(cell("B", b=0.5))
            (None, 'has no sequence in common')
        """
        if not base.records:
            return None, "has no results to pair with"
        records = self.records + base.records
        for reason in filter(None, (ours.apart(theirs) for ours, theirs in product(self.records, base.records))):
            return None, reason
        other_data = sequences_on_other_data(record.result for record in records)
        if other_data:
            return None, f"has other frames or annotations of {min(other_data)}"
        if all(any(ours.is_copy_of(theirs) for theirs in base.records) for ours in self.records):
            return None, "is a copy"
        common, lacking = common_parts(records)
        samples = [each.result.sample(each.key, common) for each in records]
        seeds, is_training = len(self.records), (self.trained, base.trained)
        has_samples = all(sample.without for sample in samples)
        found = difference(samples[:seeds], samples[seeds:], is_training) if has_samples else None
        if found is not None:
            return found._replace(sequences=len(set(common.values())), lacking=tuple(lacking)), ""
        for record in (each for each in records if not each.result.parts(each.key)):
            whose = "" if record in self.records else "the base "
            return None, f"{whose}has no defined {record.key} by sequence{record.of_seed}"
        pooled = f"has other sequences, and {records[0].key} is no mean over them"
        return None, pooled if common else "has no sequence in common"


def measured_cell(records: Sequence[ScoreRecord], trained: bool = False) -> Cell:
    """Return the cell of measured scores of one declaration, one record per seed.

    `trained` is True if the row stands for a training, sampled by its seeds.
    """
    scores = tuple(record.result.scores[record.key] for record in records)
    mean = fmean(scores)
    deviation = nan if len(scores) < 2 or isnan(mean) else stdev(scores)
    declared = records[0].result.declaration(records[0].key)
    return Cell(scores, mean, deviation, declared, tuple(records), trained)


def published_cell(score: float, paper: Published | None = None) -> Cell:
    """Return the cell of a published score: a fraction with the decimals that the paper prints, 0.523 for 52.3.

    Example:
        >>> published_cell(0.523).printed(intervals=True), published_cell(0.5234).printed(intervals=True)
        ('52.3', '52.34')
    """
    return Cell((score,), score, paper=paper, digits=printed_digits(score))


def common_parts(records: Sequence[ScoreRecord]) -> tuple[dict[str, str], list[str]]:
    """Return the parts (`Result.parts`) over which all records can be compared.

    Returns:
        Name of a part that all records have → its sequence; and the sorted names of the parts that only some records
        have, within sequences that all records have.
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
        >>> about = {"network": {"name": "A"}, "scores": {}, "benchmark": "davis"}
        >>> digests = ({"bike": "1f", "dogs": "2e"}, {"bike": "1f", "dogs": "3d"}, {"bike": "1f"})
        >>> first, second, part = (Result(digests=of_result, **about) for of_result in digests)
        >>> sequences_on_other_data([first, second]), sequences_on_other_data([first, part])
        ({'dogs'}, set())
    """
    digests: dict[str, set[str]] = {}
    for result in results:
        for name in {*result.sequences, *(row.video for row in result.rows), *result.digests}:
            digests.setdefault(name, set()).add(result.digests.get(name, ""))
    return {name for name, of_name in digests.items() if len(of_name) > 1}
