"""The way from a protocol to another, field by field: what each field is worth for the score of a network."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from io import StringIO
from pathlib import Path
from typing import Any

from ..backbones import NamedNetwork
from ..benchmarks.base import Benchmark
from ..protocols import EvaluationProtocol
from ..results.records import Column, Record
from ..results.result import Result, has_result
from ..results.statistics import Difference, difference
from ..results.tables import Cell, Table
from ..videos.files import require_one_of
from .evaluate import Job, Runner

FEATURES = "feature_stride"
"""A field that the network's features set: no protocol changes it."""
EXACT = Context(prec=200)
"""Enough digits for the difference of any two scores."""


@dataclass(frozen=True)
class Bridge:
    """A network, a benchmark under two protocols, and the steps between them.

    Attributes:
        network: the network.
        start: the benchmark under the first protocol.
        end: the benchmark under the last protocol.
        steps: fields that change together, in order.
    """

    network: NamedNetwork
    start: Benchmark
    end: Benchmark
    steps: Sequence[tuple[str, ...]]

    def under(self, fields: Sequence[str]) -> Job:
        """Return the evaluation by the first protocol with some fields of the last one.

        Raises:
            ValueError: if these values do not fit each other.
        """
        values = self.end.protocol.values()
        try:
            protocol = self.start.protocol.with_changes(**{field: values[field] for field in fields})
        except ValueError as error:
            raise ValueError(f"bridge: {error}; change fields that need each other --together a,b") from error
        return Job(self.network, replace(self.start, protocol=protocol, changes=None))

    def walk(self) -> list[Job]:
        """Return the evaluations: by the first protocol, after each step, and by the last protocol."""
        changed: list[str] = []
        jobs = [Job(self.network, self.start)]
        for fields in self.steps[:-1]:
            changed += fields
            jobs.append(self.under(changed))
        return [*jobs, Job(self.network, self.end)]

    def table(self, walk: Sequence[Result], alone: Sequence[Result] = (), score: str = "") -> Table:
        """Return the table of the steps: values, score after the step, and its difference, paired by sequence.

        Args:
            walk: results of `walk`.
            alone: results by the first protocol with the fields of one step each, for a second column; or empty.
            score: name of the score; by default the benchmark's first.
        """
        score = score or walk[0].main_scores()[0]
        first, last = walk[0], walk[-1]
        column = Column(first.data_set, score, ", ".join(first.conditions))
        names = [", ".join(fields) for fields in self.steps]
        origin = self.start.protocol.name
        texts: dict[str, dict[str, str]] = {"from": {}, "to": {}}
        for name, fields in zip(names, self.steps, strict=True):
            for head, protocol in (("from", self.start.protocol), ("to", self.end.protocol)):
                texts[head][name] = "; ".join(in_words(getattr(protocol, field)) for field in fields)
        texts["from"]["sum"] = origin
        texts["to"]["sum"] = self.end.protocol.name
        rows: dict[str, dict[str, Cell]] = {origin: {column.head: Cell((Record(first, score),))}}
        for name, before, after in zip(names, walk, walk[1:], strict=False):
            rows[name] = {column.head: changed_cell(after, before, score)}
        columns = {column.head: column}
        if alone:
            by_itself = column._replace(score=f"{score}, alone")
            columns[by_itself.head] = by_itself
            for name, result in zip(names, alone, strict=True):
                rows[name][by_itself.head] = changed_cell(result, first, score)
        rows["sum"] = {column.head: changed_cell(last, first, score)}
        of_what = f"Scores in per cent on {column.title} of {first.network}, from {origin} to {self.end.protocol.name}"
        return Table(
            columns,
            rows,
            "the step before",
            {"sum": origin},
            texts,
            ("The steps sum exactly to the whole; rounding comes after.",),
            f"{of_what}, a step at a time",
        )


def changed_cell(after: Result, before: Result, score: str) -> Cell:
    """Return the cell of a result with its difference from another one, exact to the last bit of both scores."""
    samples = [result.sample(score) for result in (after, before)]
    found = None
    if samples[0] is not None and samples[1] is not None:
        found = difference([samples[0]], [samples[1]])
    change = exact_difference(after.scores[score], before.scores[score])
    return Cell((Record(after, score),), difference=(found or Difference(0.0))._replace(mean=change))


def exact_difference(first: float, second: float) -> Any:
    """Return the difference of two floats without rounding: a float if one equals it, else a Decimal.

    Differences of scores then sum to the difference of the last and the first score, whatever they are.

    Example:
        >>> exact_difference(0.75, 0.5)
        0.25
    """
    exact = EXACT.subtract(Decimal(first), Decimal(second))
    return float(exact) if Decimal(float(exact)) == exact else exact


def steps_between(
    start: EvaluationProtocol, end: EvaluationProtocol, order: Sequence[str] = (), together: Sequence[str] = ()
) -> list[tuple[str, ...]]:
    """Return the fields in which two protocols of a benchmark differ, as steps.

    Args:
        start: the first protocol.
        end: the last protocol.
        order: fields that come first, in this order; the others follow in the order of the fields.
        together: texts `a,b` of fields that change in one step.

    Raises:
        ValueError: for a field that does not differ, or protocols that do not differ.
    """
    differing = [field for field in start.value_fields() if getattr(start, field) != getattr(end, field)]
    fields = [field for field in differing if field != FEATURES]
    if not fields:
        raise ValueError(f"bridge: {start.name} and {end.name} do not differ in a field that a protocol sets")
    groups = [tuple(text.split(",")) for text in together]
    for field in (*order, *(field for group in groups for field in group)):
        require_one_of(fields, field=field)
    steps: dict[tuple[str, ...], None] = {}
    for field in dict.fromkeys([*order, *fields]):
        steps[next((group for group in groups if field in group), (field,))] = None
    return list(steps)


def in_words(value: object) -> str:
    """Return the value of a field as names of protocols have it."""
    if isinstance(value, tuple):
        return ",".join(map(in_words, value))
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def announced(jobs: Sequence[Job], output: Path) -> str:
    """Return the number of evaluations that the output folder lacks, and about how long they take.

    The time is that of stored ones, else it is measured on the first sequence.
    """
    runner = Runner(output)
    places = {job.folder: job for job in jobs}
    stored = [runner.place(job) for job in places.values() if has_result(runner.place(job)) and job.is_reusable]
    missing = len(places) - len(stored)
    if stored:
        seconds = [Result.load(place).seconds for place in stored]
        each = sum(seconds) / len(seconds)
    else:
        job = jobs[0]
        frames = [sequence.num_frames for sequence in job.benchmark.sequences]
        with redirect_stdout(StringIO()):  # it is no result
            trial = replace(job.benchmark, limit_sequences=1).evaluate(job.network)
        each = trial.seconds * sum(frames) / frames[0]
    minutes = missing * each / 60
    return f"{missing} evaluations, {len(stored)} more are stored; about {minutes:.1f} minutes"
