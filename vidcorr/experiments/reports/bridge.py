"""The walk from one protocol to another field by field, its scores, and their table."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...benchmarks.base import Benchmark
from ...benchmarks.network import NetworkLike, with_unique_rows
from ...protocols import EvaluationProtocol
from ...results.cells import measured_cell
from ...results.pictures.plots import waterfall, write_figure
from ...results.records import ScoreRecord
from ...results.rendering import Format, Table, print_table
from ...results.result import Result
from ...results.tabulate import table_of_cells
from ...videos.files import require_one_of
from ..runs.store import Job, run_missing

UNITS = {"radius": "radius_unit", "keypoint_sigma": "keypoint_unit"}
"""Field → the field of its unit: both change in one step."""


def bridge(
    start: Benchmark,
    end: Benchmark,
    network: NetworkLike,
    output: str | Path = "bridge",
    *,
    order: Sequence[str] = (),
    together: Sequence[str] = (),
    score: str = "",
    picture: Path | None = None,
    format: Format | None = None,
    intervals: bool | None = None,
) -> Table:
    """Score a network while its protocol changes step by step from a first to a last one; print the table of the steps.

    Args:
        start: the benchmark under the first protocol.
        end: the benchmark under the last protocol.
        network: the network, as `evaluate` takes it.
        output: folder of the results, which are reused.
        order: fields that change first, in this order.
        together: texts `a,b` of fields that change in one step.
        score: name of the score; "": the benchmark's first.
        picture: file for a picture of the steps, whose path is printed on the standard error; None: draw none.
        format: form of the printed table; None: text in a terminal, else Markdown.
        intervals: print 95 % intervals and p; None: in all formats but LaTeX.

    Returns:
        The table of the steps.

    Raises:
        ValueError: if the protocols do not differ, an evaluation failed, or another process runs it.
    """
    steps = steps_between(start.protocol, end.protocol, order, together)
    (row,) = with_unique_rows([network])
    walk = [Job(row, benchmark) for benchmark in benchmarks_between(start, end, steps)]
    with run_missing(walk, output) as results:
        is_complete = len(results) == len(walk)
        if is_complete:
            texts = [step_in_words(start, end, fields) for fields in steps]
            names = (start.protocol.name, *texts, end.protocol.name)
            table = table_of_steps(names, [results[job] for job in walk], score)
            print_table(table, format, intervals)
            if picture is not None:
                write_figure(picture, waterfall(table))
                print(picture, file=sys.stderr)
    # `run_missing` raises at the end of its block if a job failed: what is missing here, another process runs
    if not is_complete:
        raise ValueError("bridge: another process runs some of the evaluations; repeat the command after it")
    return table


def benchmarks_between(start: Benchmark, end: Benchmark, steps: Sequence[tuple[str, ...]]) -> list[Benchmark]:
    """Return the benchmark by the first protocol and after each step; after the last step it is `end`.

    Args:
        start: the benchmark by the first protocol.
        end: the benchmark by the last protocol.
        steps: fields that change in each step.

    Raises:
        ValueError: if values of the two protocols do not fit each other.

    Example:
        >>> from vidcorr import DavisBenchmark
        >>> start, end = (DavisBenchmark("", protocol=name) for name in ("vfs", "vfs+radius=9+topk=5"))
        >>> [benchmark.protocol.name for benchmark in benchmarks_between(start, end, [("topk",), ("radius",)])]
        ['vfs', 'vfs+topk=5', 'vfs+radius=9+topk=5']
    """
    values = end.protocol.values()
    found = [start]
    changed: dict[str, Any] = {}
    for fields in steps[:-1]:
        changed |= {field: values[field] for field in fields}
        try:
            protocol = start.protocol.with_changes(**changed)
        except ValueError as error:
            raise ValueError(f"bridge: {error}; change fields that need each other --together a,b") from error
        arguments: Any = {"protocol": protocol, "changes": None}  # the protocol has its changes already
        found.append(replace(start, **arguments))
    return [*found, end]


def table_of_steps(names: Sequence[str], results: Sequence[Result], score: str = "") -> Table:
    """Return the table of the steps: the score after each step, and its difference from the score before the step.

    Differences are paired by sequence. The last row repeats the last score, with the difference from the first row.

    Args:
        names: names of the first protocol, of the steps, and of the last protocol: a row each.
        results: results by the first protocol, and after each step.
        score: name of the score; "": the benchmark's first.

    Raises:
        ValueError: for a score that the results lack.
    """
    initial = results[0]
    score = score or initial.main_scores()[0]
    require_one_of(initial.scores, score=score)
    column = ScoreRecord(initial, score).column._replace(by="")  # one column for all steps names no protocol
    measured = [measured_cell([ScoreRecord(result, score)]) for result in results]
    cells = [(names[0], column, measured[0])]
    # the first result is before the first step
    for name, before, after in zip(names[1:-1], measured, measured[1:], strict=False):
        cells.append((name, column, replace(after, difference=after.paired_difference(before))))
    end = replace(measured[-1], difference=measured[-1].paired_difference(measured[0]))
    cells.append((names[-1], column, end))
    unit = initial.declaration(score).printed_unit
    title = f"{initial.network} on {column.title}, from {names[0]} to {names[-1]} step by step"
    return replace(
        table_of_cells(cells),
        base="the row above",
        own_bases={names[-1]: names[0]},
        notes=("The steps sum to the whole, up to rounding",),
        caption=f"Scores in {unit} of {title}",
    )


def step_in_words(start: Benchmark, end: Benchmark, fields: Sequence[str]) -> str:
    """Return the fields of a step and their effective values at the start and the end of the walk: `topk: 10 → 5`.

    Example:
        >>> from vidcorr import DavisBenchmark
        >>> start, end = (DavisBenchmark("", protocol=name) for name in ("vfs", "vfs+topk=5+references=[0,-1,-2]"))
        >>> step_in_words(start, end, ["topk", "references"])
        'topk, references: 10, None → 5, [0, …]'
    """
    values = []
    for benchmark in (start, end):
        effective = benchmark.protocol.effective_values()
        texts = []
        for field in fields:
            value = list(effective[field]) if isinstance(effective[field], tuple) else effective[field]
            is_long = isinstance(value, list) and len(value) > 2
            texts.append(f"[{value[0]}, …]" if is_long else str(value))
        values.append(", ".join(texts))
    return f"{', '.join(fields)}: {' → '.join(values)}"


def steps_between(
    start: EvaluationProtocol, end: EvaluationProtocol, order: Sequence[str] = (), together: Sequence[str] = ()
) -> list[tuple[str, ...]]:
    """Return the fields in which two protocols of a benchmark differ, as steps: tuples of fields that change at once.

    A number and its unit change in one step. The stride is no step: the network's features set it.

    Args:
        start: the first protocol.
        end: the last protocol.
        order: fields that come first, in this order; the others follow in the order of the fields.
        together: texts `a,b` of fields that change in one step; texts that share a field are one step.

    Raises:
        ValueError: for a field that does not differ, or protocols that do not differ.

    Example:
        >>> from vidcorr.protocols import PropagationProtocol
        >>> vfs, crw = map(PropagationProtocol.named, ("vfs", "crw+feature_stride=16"))
        >>> steps_between(vfs, crw)
        [('temperature',), ('first_frame_masked',), ('repeat_first',), ('label_encoding',), ('label_rescaling',)]
        >>> steps_between(vfs, crw, order=["repeat_first"], together=["label_rescaling,temperature"])[:2]
        [('repeat_first',), ('label_rescaling', 'temperature')]
    """
    idle = {"feature_stride", *(start.idle().keys() & end.idle().keys())}  # without effect on the scores of both ends
    last_values = end.values()
    fields = [field for field, value in start.values().items() if value != last_values[field] and field not in idle]
    if not fields:
        raise ValueError(f"bridge: {start.name} and {end.name} do not differ in a field that a protocol sets")
    # a number and its unit, if both differ; then the user's groups
    groups: list[tuple[str, ...]] = [pair for pair in UNITS.items() if set(pair) <= set(fields)]
    groups += [tuple(text.split(",")) for text in together]
    step_of: dict[str, tuple[str, ...]] = {field: (field,) for field in fields}
    # field → all fields that change with it; a group is joined with earlier groups that share a field
    for group in groups:
        members = dict.fromkeys(group)
        for field in group:
            members |= dict.fromkeys(step_of.get(field, ()))
        step_of |= dict.fromkeys(members, tuple(members))
    for field in (*order, *step_of):  # the user may have named a field that does not differ
        require_one_of(fields, field=field)
    steps = [step_of[field] for field in (*order, *fields)]
    return list(dict.fromkeys(steps))  # each step once, at its first field
