"""Scores of networks on benchmarks as a table."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from ...benchmarks.base import Benchmark
from ...benchmarks.network import NetworkLike, with_unique_rows
from ...results.records import ScoreRecord
from ...results.rendering import Table, print_table
from ...results.tabulate import tabulate
from ..runs.store import Job, run_missing


def evaluate(
    networks: NetworkLike | Sequence[NetworkLike],
    benchmarks: Benchmark | Sequence[Benchmark],
    output: str | Path = "evaluation",
    base: str = "",
) -> Table:
    """Score networks on benchmarks, and print the table; results in the output folder are reused.

    Args:
        networks: one or several: modules, feature extractors, paths of checkpoints, or names as `vidcorr evaluate`
            takes them.
        benchmarks: one or several benchmarks with their protocols; all networks run on all of them.
        output: folder of the results; `vidcorr table` shows all results in it.
        base: name of the network to compare the others with; "", or a network without a result: no differences.

    Returns:
        The table, with a row per network.

    Raises:
        DataError: for wrong data; before any work.
        ValueError: if a job failed, after all other jobs.
        OSError: if the folder cannot be written.
    """
    rows = with_unique_rows(networks if isinstance(networks, list | tuple) else [networks])
    if isinstance(benchmarks, Benchmark):
        benchmarks = [benchmarks]
    unread = [replace(benchmark) for benchmark in benchmarks]  # copies read the data anew: files may have changed
    records: list[ScoreRecord] = []
    with run_missing([Job(row, benchmark) for row, benchmark in product(rows, unread)], output) as results:
        for job, result in results.items():
            place = Path(output) / job.folder
            records += [ScoreRecord(result, key, place=place) for key in result.main_scores()]
        table = tabulate(records)
        if base:
            table = _compared_with(table, base)
        if table.rows:
            print_table(table)
    return table


def _compared_with(table: Table, network: str) -> Table:
    """Return the table with differences from the first row of a network; unchanged if it has no row."""
    for name, row in table.rows.items():
        if any(record.name == network for cell in row.values() for record in cell.records):
            return table.with_differences(name)
    return table
