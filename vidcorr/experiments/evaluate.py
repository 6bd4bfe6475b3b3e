"""Evaluation of frozen networks: results in a store, and the table of these results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..benchmarks.base import Benchmark
from ..benchmarks.network import NetworkLike, NetworkSpec
from ..results.page import write_report
from ..results.records import Table, records_of, tabulate
from ..results.rendering import markdown_table, print_table, render, table_footnotes, text_rows
from ..results.result import Result
from ..videos.files import write_atomically
from .job import Job
from .runner import Runner, process_group
from .store import Store


def evaluate(
    networks: Sequence[NetworkLike],
    benchmarks: Sequence[Benchmark],
    output: str | Path = "evaluation",
    base: str = "",
) -> Table:
    """Score networks on benchmarks; results in the output folder are reused.

    Args:
        networks: arguments of `vidcorr evaluate`, modules, extractors; see `Benchmark.evaluate`.
        benchmarks: benchmarks for all networks, with their protocols.
        output: folder of the results; table.md and table.csv are the printed table.
        base: network to compare the others with, or empty.

    Returns:
        The table, with a row per network.

    Raises:
        DataError: for wrong data; before any work.
        ValueError: if a network cannot be built, before any work; or after all other jobs, if a job failed.
        OSError: if the folder cannot be written.
    """
    specs = told_apart(map(NetworkSpec.of, networks))
    return run_jobs(
        [Job(spec, benchmark, benchmark.protocol) for spec in specs for benchmark in benchmarks], output, base
    )


def told_apart(networks: Iterable[NetworkSpec]) -> list[NetworkSpec]:
    """Return different networks with different names, since a row of a table is a name."""
    taken: dict[str, list[NetworkSpec]] = {}
    for network in networks:
        alike = taken.setdefault(network.row, [])
        if network not in alike:
            alike.append(network)
    return [
        replace(network, name=f"{network.name} ({number})") if number > 1 and not network.is_named else network
        for alike in taken.values()
        for number, network in enumerate(alike, start=1)
    ]


def run_jobs(jobs: Sequence[Job], output: str | Path, base: str = "") -> Table:
    """Run jobs, and print and write the table of their results; see `evaluate`."""
    with process_group() as rank:
        runner = Runner(Store(output))
        results = runner.run(jobs)
        table = _table(results, base)
        if rank == 0 and results:
            _show(table, Path(output))
            _write_pages(results, runner.store)
    runner.raise_failures(len(jobs))
    return table


def _table(results: Mapping[Job, Result], base: str) -> Table:
    """Return the table of results, with differences from the base network if it has results."""
    records = []
    for job, result in results.items():
        scores = [result.stage_of(key)[1] for key in result.main_scores()]  # of every stage
        records += records_of(result, job.network.row, scores)
    table = tabulate(records, trained=False)
    rows = {job.network.row for job in results if base and job.network.name == base}
    for name, row in table.rows.items():
        if rows.intersection(record.row for cell in row.values() for record in cell.records):
            return table.with_differences(name)
    return table


def _show(table: Table, output: Path) -> None:
    """Print a table per benchmark and protocol, and write the tables and a CSV file of all scores."""
    sections = []
    for title, block in table.blocks.items():
        scores, rows = list(block.values()), [row for row in text_rows(table, block) if any(row[1:])]
        sections.append(f"## {title}\n\n{markdown_table(['', *scores], rows, first_right=1)}")
        print_table([title, *scores], rows)
        print()
    write_atomically(output / "table.md", "\n".join([*sections, *(f"{note}\n" for note in table_footnotes(table))]))
    write_atomically(output / "table.csv", render(table, "csv"))
    print(*table_footnotes(table), output / "table.md", sep="\n")


def _write_pages(results: Mapping[Job, Result], store: Store) -> None:
    """Write the pages again, with comparisons to all other results of the same benchmark."""
    for job, result in results.items():
        others = {
            ", ".join(filter(None, (other_job.network.row, getattr(other_job.protocol, "name", "")))): other
            for other_job, other in results.items()
            if other_job != job and other.benchmark == result.benchmark
        }
        if others and (store.folder_of(job) / "report.html").is_file():
            write_report(store.folder_of(job), others, result)
