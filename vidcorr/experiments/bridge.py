"""The walk from one protocol to another field by field, its scores, and their table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..backbones import EncoderSpec
from ..benchmarks.base import Benchmark
from ..benchmarks.network import GivenNetwork, NetworkLike, with_unique_rows
from ..protocols import EvaluationProtocol
from ..results.cells import Cell
from ..results.records import Column, ScoreRecord
from ..results.rendering import Table
from ..results.result import Result
from ..results.statistics import Difference
from ..results.tabulate import table_of_cells
from ..videos.files import require_one_of
from .store import Job, run_missing


def bridge(
    start: Benchmark,
    end: Benchmark,
    network: NetworkLike,
    output: str | Path = "evaluation",
    *,
    order: Sequence[str] = (),
    together: Sequence[str] = (),
    alone: bool = False,
    score: str = "",
    names: tuple[str, str] | None = None,
    common: Sequence[str] = (),
    report: Callable[[Table], object] = lambda table: None,
) -> Table:
    """Score a network under a first protocol, after each step to a last one, and under the last one.

    Args:
        start: the benchmark under the first protocol.
        end: the benchmark under the last protocol.
        network: the network, as `evaluate` takes it.
        output: folder of the results, which are reused.
        order: fields that come first.
        together: texts `a,b` of fields that change in one step.
        alone: score each step by itself too, from the first protocol.
        score: name of the score; by default the benchmark's first.
        names: names of the two protocols, for people; by default their own.
        common: changes that both protocols have, as texts.
        report: takes the table; under torchrun only the first rank's prints are shown.

    Returns:
        The table of the steps.

    Raises:
        ValueError: if the protocols do not differ, an evaluation failed, or another process runs it.
    """
    steps = steps_between(start.protocol, end.protocol, order, together)
    (row,) = with_unique_rows([network])
    own_names, of_both = without_common_changes(names or (start.protocol.name, end.protocol.name))
    between = Bridge(row, start, end, steps, own_names, list(dict.fromkeys([*common, *of_both])))
    walk = between.walk()
    single_steps = [between.under(fields) for fields in steps] if alone else []
    with run_missing([*walk, *single_steps], output) as results:
        is_complete = len(results) == len(walk) + len(single_steps)
        if is_complete:
            of_walk = [results[job] for job in walk]
            of_single_steps = [results[job] for job in single_steps]
            table = between.table(of_walk, of_single_steps, score)
            report(table)
    if not is_complete:  # none has failed: `run_missing` would have raised
        raise ValueError("bridge: another process runs some of the evaluations; repeat the command after it")
    return table


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

    network: EncoderSpec | GivenNetwork
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
        arguments: Any = {"protocol": protocol, "changes": None}  # the protocol has its changes already
        return Job(self.network, replace(self.start, **arguments))

    def walk(self) -> list[Job]:
        """Return the evaluations: by the first protocol, after each step, and by the last protocol."""
        jobs = [Job(self.network, self.start)]
        changed: list[str] = []
        for fields in self.steps[:-1]:
            changed += fields
            jobs.append(self.under(changed))
        return [*jobs, Job(self.network, self.end)]

    def table(self, results: Sequence[Result], alone: Sequence[Result] = (), score: str = "") -> Table:
        """Return the table of the steps: values, score after the step, and its difference, paired by sequence.

        Args:
            results: results of the evaluations of `walk`.
            alone: results by the first protocol with the fields of one step each, for a second column; or empty.
            score: name of the score; by default the benchmark's first.
        """
        initial = results[0]
        score = score or initial.main_scores()[0]
        first, last = self.names
        record = ScoreRecord(initial, score)
        column = record.column._replace(by=", ".join(self.common))  # what the rows' protocols share
        cells: list[tuple[str, Column, Cell]] = [(first, column, Cell((record,)))]
        for number, fields in enumerate(self.steps):
            name = self.step_in_words(fields)
            cells.append((name, column, changed_cell(results[number + 1], results[number], score)))
            if alone:
                by_itself = column._replace(score=f"{score}, alone")
                cells.append((name, by_itself, changed_cell(alone[number], initial, score)))
        cells.append((last, column, changed_cell(results[-1], initial, score)))
        unit = initial.declaration(score).printed_unit
        notes = ["The steps sum to the whole, up to rounding"]
        if alone:
            notes.append(f"Alone: the difference that a step makes by itself, from {first}")
        return replace(
            table_of_cells(cells),
            base="the row above",
            own_bases={last: first},
            notes=tuple(notes),
            caption=f"Scores in {unit} of {initial.network} on {column.title}, from {first} to {last} step by step",
        )

    def step_in_words(self, fields: Sequence[str]) -> str:
        """Return the fields of a step, and their values before and after it: `topk: 10 → 5`."""
        values = []
        for benchmark in (self.start, self.end):
            all_fields = benchmark.protocol.fields()
            texts = []
            for field in fields:
                value = all_fields[field]
                is_long = isinstance(value, list | tuple) and len(value) > 2
                texts.append(f"[{value[0]}, …]" if is_long else str(value))
            values.append(", ".join(texts))
        return f"{', '.join(fields)}: {' → '.join(values)}"


def without_common_changes(names: tuple[str, str]) -> tuple[tuple[str, str], list[str]]:
    """Return the names of two protocols without the changes that stand in both, and these changes.

    Example:
        >>> without_common_changes(("vfs+radius=3", "dino+topk=7+radius=3"))
        (('vfs', 'dino+topk=7'), ['radius=3'])
        >>> without_common_changes(("vfs+radius=3", "dino+radius=3+radius=3"))  # the last counts
        (('vfs', 'dino'), ['radius=3'])
    """
    first, *changes_of_first = names[0].split("+")
    last, *changes_of_last = names[1].split("+")
    common = [change for change in changes_of_first if change in changes_of_last]
    own_of_first = [change for change in changes_of_first if change not in common]
    own_of_last = [change for change in changes_of_last if change not in common]
    return ("+".join([first, *own_of_first]), "+".join([last, *own_of_last])), common


def changed_cell(after: Result, before: Result, score: str) -> Cell:
    """Return the cell of a result with its difference from another one, tested if both have values by sequence.

    A result on other data has no difference.
    """
    cell = Cell((ScoreRecord(after, score),)).paired_with(Cell((ScoreRecord(before, score),)))
    if after.data_digest != before.data_digest:
        return cell
    change = after.scores[score] - before.scores[score]
    paired = cell.difference or Difference(change)
    return replace(cell, difference=paired._replace(mean=change))  # to the last digit, so that steps sum to the whole


def steps_between(
    start: EvaluationProtocol, end: EvaluationProtocol, order: Sequence[str] = (), together: Sequence[str] = ()
) -> list[tuple[str, ...]]:
    """Return the fields in which two protocols of a benchmark differ, as steps.

    A number and its unit change in one step; features set their stride themselves.

    Args:
        start: the first protocol.
        end: the last protocol.
        order: fields that come first, in this order; the others follow in the order of the fields.
        together: texts `a,b` of fields that change in one step.

    Raises:
        ValueError: for a field that does not differ, or protocols that do not differ.
    """
    fields = differing_fields(start, end)
    if not fields:
        raise ValueError(f"bridge: {start.name} and {end.name} do not differ in a field that a protocol sets")
    step_of: dict[str, tuple[str, ...]] = {field: (field,) for field in fields}
    for field, unit in start.unit_fields().items():
        if field in step_of and unit in step_of:
            step_of |= dict.fromkeys((field, unit), (field, unit))
    for group in together:
        members = tuple(group.split(","))
        step_of |= dict.fromkeys(members, members)
    for field in (*order, *step_of):
        require_one_of(fields, field=field)
    steps = [step_of[field] for field in (*order, *fields)]
    return list(dict.fromkeys(steps))  # each step once, at its first field


def differing_fields(start: EvaluationProtocol, end: EvaluationProtocol) -> list[str]:
    """Return the fields in which two protocols differ, but for those on which neither end's score depends."""
    idle = {"feature_stride", *(start.idle().keys() & end.idle().keys())}
    last_values = end.values()
    return [field for field, value in start.values().items() if value != last_values[field] and field not in idle]
