"""Published scores beside ours, by a row's network and protocol."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import fill

from ...backbones import EncoderSpec
from ...results.cells import Cell, measured_cell, published_cell
from ...results.formats import shown
from ...results.published import Published, printed_digits, published_rows
from ...results.records import Column, ScoreRecord
from ...results.rendering import Table, print_table
from ...results.result import Result
from ...results.statistics import Difference
from ...results.tabulate import table_of_cells
from ...videos.files import require_one_of
from ..runs.benchmark_choice import BenchmarkChoice
from ..runs.store import Job, run_missing

WIDTH = 100
"""Longest line of the list, characters, unless a word is longer."""


def rows_named(short_names: Collection[str]) -> list[Published]:
    """Return the published rows that have one of the short names; without names, all rows that have a short name.

    Raises:
        ValueError: for an unknown name.
    """
    rows = [row for row in published_rows() if row.short_name]
    known = dict.fromkeys(row.short_name for row in rows)
    for name in short_names:
        require_one_of(known, row=name)
    return [row for row in rows if not short_names or row.short_name in short_names]


def list_of_rows(rows: Sequence[Published]) -> str:
    """Return rows as text: per row its first score, protocol, weights or what is missing, doubt; last, their counts."""
    lines = []
    for row in rows:
        score, value = next(iter(row.scores.items()))
        of_paper = shown(value, digits=printed_digits(value))
        line = f"{row.short_name}: {row.benchmark} {score} {of_paper} by {row.protocol}"
        line += f"; {row.model} is missing: {row.download}" if lacks_weights(row) else f"; {row.download}"
        if row.doubt:
            line += f"; doubt: {row.doubt}"
        lines.append(fill(line, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False))
    return "\n".join([*lines, f"{len(rows)} rows: {sum(map(lacks_weights, rows))} lack weights", ""])


def lacks_weights(row: Published) -> bool:
    """Return True if a row's network is a `.ckpt` file that does not exist; other networks are downloaded."""
    return row.model.endswith(".ckpt") and not Path(row.model).is_file()


def reproduce(rows: Sequence[Published], benchmarks: Sequence[BenchmarkChoice], output: str | Path) -> Table:
    """Evaluate the networks of published rows by their protocols, and print our scores beside the published ones.

    Args:
        benchmarks: benchmarks with their data; rows of other benchmarks are left out.

    Returns:
        The table.

    Raises:
        ValueError: if no row is of these benchmarks; or if a job failed, after all other jobs.
    """
    row_of_job: dict[Job, Published] = {}
    for choice in benchmarks:
        for row in rows:
            if row.benchmark == choice.config:
                benchmark = choice.with_arguments(protocol=row.protocol).build()
                # timm:NAME alone has random weights; short names and files, the other models of rows, have their own
                network = EncoderSpec(row.model, pretrained=row.model.startswith("timm:"))
                row_of_job[Job(network, benchmark)] = row
    if not row_of_job:
        raise ValueError(f"no row has a printed score on {', '.join(each.config for each in benchmarks)}")
    with run_missing(list(row_of_job), output) as results:
        table = printed_and_measured([(row_of_job[job], result) for job, result in results.items()])
        print_table(table)
    return table


def printed_and_measured(results: Sequence[tuple[Published, Result]]) -> Table:
    """Return the table of measured scores, with the digits of the paper, and the printed scores beside them.

    Args:
        results: published row, and the result of its network by its protocol.
    """
    cells: list[tuple[str, Column, Cell]] = []
    partial = [f"{row.short_name} on {result.benchmark}" for row, result in results if not result.on_test_set]
    for row, result in results:
        for score, value in row.scores.items():
            record = ScoreRecord(result, score, row.short_name)
            change = Difference(result.scores[score] - value)
            measured = replace(measured_cell([record]), difference=change, digits=printed_digits(value))
            cells.append((row.short_name, record.column, measured))
            cells.append((row.short_name, record.column._replace(published=True), published_cell(value)))
    notes = ["The difference is from the printed score"]
    if partial:
        notes.append(f"Not the whole test set: {', '.join(partial)}")
    return replace(table_of_cells(cells), notes=tuple(notes))
