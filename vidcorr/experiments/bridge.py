"""The way from a protocol to another, field by field: what each field is worth for the score of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..backbones import NamedNetwork
from ..benchmarks.base import Benchmark
from ..protocols import EvaluationProtocol
from ..results.cells import Cell
from ..results.records import Column, Record
from ..results.rendering import Table
from ..results.result import Result
from ..results.statistics import Difference
from ..results.tables import table_of_cells
from ..videos.files import require_one_of
from .evaluate import Job, Runner


@dataclass(frozen=True)
class Bridge:
    """A network, a benchmark under two protocols, and the steps between them.

    Attributes:
        network: the network.
        start: the benchmark under the first protocol.
        end: the benchmark under the last protocol.
        steps: fields that change together, in order.
        names: names of the two protocols, for people.
        common: changes that both protocols have, as texts.
    """

    network: NamedNetwork
    start: Benchmark
    end: Benchmark
    steps: Sequence[tuple[str, ...]]
    names: tuple[str, str]
    common: Sequence[str] = ()

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
        arguments: Any = {"protocol": protocol, "changes": None}
        return Job(self.network, replace(self.start, **arguments))

    def walk(self) -> list[Job]:
        """Return the evaluations: by the first protocol, after each step, and by the last protocol."""
        jobs = [Job(self.network, self.start)]
        changed: list[str] = []
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
        first, last = self.names
        column = Record(walk[0], score).column._replace(by=", ".join(self.common))
        cells: list[tuple[str, Column, Cell]] = [(first, column, Cell((Record(walk[0], score),)))]
        for number, fields in enumerate(self.steps):
            name = self.step_in_words(fields)
            cells.append((name, column, changed_cell(walk[number + 1], walk[number], score)))
            if alone:
                by_itself = column._replace(score=f"{score}, alone")
                cells.append((name, by_itself, changed_cell(alone[number], walk[0], score)))
        cells.append((last, column, changed_cell(walk[-1], walk[0], score)))
        notes = ["The steps sum to the whole, up to rounding"]
        if alone:
            notes.append(f"Alone: the difference that a step makes by itself, from {first}")
        return replace(
            table_of_cells(cells),
            base="the row above",
            own_bases={last: first},
            notes=tuple(notes),
            caption=f"Scores in per cent of {walk[0].network} on {column.title}, from {first} to {last} step by step",
        )

    def step_in_words(self, fields: Sequence[str]) -> str:
        """Return the fields of a step, and their values before and after it: `topk: 10 → 5`."""
        values = []
        for benchmark in (self.start, self.end):
            of_protocol = benchmark.protocol.fields()
            texts = []
            for field in fields:
                value = of_protocol[field]
                is_long = isinstance(value, list | tuple) and len(value) > 2
                texts.append(f"[{value[0]}, …]" if is_long else str(value))
            values.append(", ".join(texts))
        return f"{', '.join(fields)}: {' → '.join(values)}"


def changed_cell(after: Result, before: Result, score: str) -> Cell:
    """Return the cell of a result with its difference from another one."""
    cell = Cell((Record(after, score),)).paired_with(Cell((Record(before, score),)))
    change = after.scores[score] - before.scores[score]
    return replace(cell, difference=(cell.difference or Difference(0.0))._replace(mean=change))


def steps_between(
    start: EvaluationProtocol, end: EvaluationProtocol, order: Sequence[str] = (), together: Sequence[str] = ()
) -> list[tuple[str, ...]]:
    """Return the fields in which two protocols of a benchmark differ, as steps; features set their stride themselves.

    Args:
        start: the first protocol.
        end: the last protocol.
        order: fields that come first, in this order; the others follow in the order of the fields.
        together: texts `a,b` of fields that change in one step.

    Raises:
        ValueError: for a field that does not differ, or protocols that do not differ.
    """
    others = end.values()
    fields = [field for field, value in start.values().items() if value != others[field] and field != "feature_stride"]
    if not fields:
        raise ValueError(f"bridge: {start.name} and {end.name} do not differ in a field that a protocol sets")
    steps: dict[str, tuple[str, ...]] = {field: (field,) for field in fields}
    for group in together:
        steps |= dict.fromkeys(group.split(","), tuple(group.split(",")))
    for field in (*order, *steps):
        require_one_of(fields, field=field)
    return list(dict.fromkeys(steps[field] for field in (*order, *fields)))


def cost(runner: Runner, jobs: Sequence[Job]) -> str:
    """Return the number of evaluations that a store lacks; and their time, as of a stored one if there is any."""
    stored = list(filter(runner.reuses, jobs))
    missing = len(jobs) - len(stored)
    text = f"{missing} evaluations, {len(stored)} more are stored"
    if stored and missing:
        seconds = Result.load(runner.place(stored[0])).seconds
        text += f"; about {missing * seconds / 60:.1f} minutes"
    return text
