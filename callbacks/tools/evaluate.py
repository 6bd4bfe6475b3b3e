"""Score frozen networks on benchmarks and print a table, with differences from a base network if --base names it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.writing.files import write_atomically

from ..experiments.configured import common_flags, protocols_of, read_changes, read_on

if TYPE_CHECKING:  # with torch, which a mistake need not wait for
    from ..benchmarks.base import Benchmark
    from ..experiments.job import Job, NetworkSpec
    from ..experiments.store import Store
    from ..results.records import Table
    from ..results.result import Result


def evaluate(
    networks: Sequence[NetworkSpec | str],
    benchmarks: Sequence[Benchmark],
    output: str | Path = "evaluation",
    base: str = "",
) -> Table:
    """Score networks on benchmarks; results in the output folder are reused.

    Args:
        networks: arguments of `vidcorr evaluate`, or networks.
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
    from ..experiments.job import Job, NetworkSpec

    specs = [NetworkSpec.read(network) if isinstance(network, str) else network for network in networks]
    jobs = [Job(spec, benchmark, benchmark.protocol) for spec in specs for benchmark in benchmarks]  # type: ignore[attr-defined]
    return run_jobs(jobs, output, base)


def run_jobs(jobs: Sequence[Job], output: str | Path, base: str = "") -> Table:
    """Run jobs, and print and write the table of their results; see `evaluate`."""
    from ..experiments.runner import Runner, process_group
    from ..experiments.store import Store

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
    from ..results.records import records_of, tabulate

    found = [(job.network.name, result) for job, result in results.items()]
    table = tabulate(
        (record for name, result in found for record in records_of(result, name, result.main_scores())), trained=False
    )
    for name, row in table.rows.items():
        if base in (record.result.network.name for cell in row.values() for record in cell.records):
            return table.with_differences(name)
    return table


def _show(table: Table, output: Path) -> None:
    """Print a table per benchmark and protocol, and write the tables and a CSV file of all scores."""
    from ..results.rendering import markdown_table, notes, print_table, render, text_rows

    sections = []
    for title, block in table.blocks.items():
        scores, rows = list(block.values()), [row for row in text_rows(table, block) if any(row[1:])]
        sections.append(f"## {title}\n\n{markdown_table(['', *scores], rows, first_right=1)}")
        print_table([title, *scores], rows)
        print()
    write_atomically(output / "table.md", "\n".join([*sections, *(f"{note}\n" for note in notes(table))]))
    write_atomically(output / "table.csv", render(table, "csv"))
    print(*notes(table), output / "table.md", sep="\n")


def _write_pages(results: Mapping[Job, Result], store: Store) -> None:
    """Write the pages again, with comparisons to all other results of the same benchmark."""
    from ..results.page import write_report

    for job, result in results.items():
        others = {
            f"{other.network.name}, {other.protocol.name}": found
            for other, found in results.items()
            if other != job and found.benchmark == result.benchmark
        }
        if others and (store.folder_of(job) / "report.html").is_file():
            write_report(store.folder_of(job), others, result)


def command(args: Sequence[str]) -> None:
    """Run `vidcorr evaluate`; a user's mistake raises UsageError, ValueError or OSError."""
    parser = common_flags("vidcorr evaluate", __doc__)
    named = "checkpoint, my_module:my_network, dino-b8 or another short name, timm:NAME, raw_colour, untrained, …"
    parser.add_argument("networks", nargs="*", metavar="NETWORK[@STAGE[/STRIDE]]", help=named)
    parser.add_argument("--protocol", nargs="+", default=[], metavar="NAME", help="protocols (default: the config's)")
    parser.add_argument("--change", nargs="+", default=[], metavar="FIELD=VALUE", help="protocol fields to change")
    parser.add_argument("--base", default="", metavar="NETWORK", help="network to compare the others with")
    parser.add_argument("--baselines", action="store_true", help="add raw colour and an untrained ResNet-18")
    upsampler = "upsampler of the features: bilinear:2, nearest:2 or my_module:my_upsampler"
    parser.add_argument("--upsample", metavar="SPEC", help=upsampler)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of random weights (default: 0)")
    parser.add_argument("--output", type=Path, default="evaluation", help="folder of results (default: evaluation)")
    flags = parser.parse_args(list(args))
    names = [*flags.networks, *([flags.base] if flags.base else [])]
    if not names and not flags.baselines:
        raise ValueError("evaluate: name a network; or --baselines alone")
    if not flags.on:
        raise ValueError("evaluate: name a benchmark and the folder of its data: --on davis=/data/DAVIS")
    configured, changes = read_on(flags.on), read_changes(flags.change)

    from lightning_modules.checkpoints import allow_named

    from ..experiments.job import Job, networks_of

    allow_named(args)
    benchmarks = [benchmark.build(limit_sequences=flags.limit) for benchmark in configured]
    protocols = protocols_of(benchmarks, flags.protocol, changes)
    networks = networks_of(names, flags.pretrained, flags.seeds, flags.baselines)
    networks = [replace(network, upsample=flags.upsample) for network in networks]
    base = networks_of([flags.base], flags.pretrained)[0].name if flags.base else ""
    run_jobs(
        [
            Job(network, benchmark, protocol)
            for network in networks
            for benchmark, of_benchmark in zip(benchmarks, protocols, strict=True)
            for protocol in of_benchmark
        ],
        flags.output,
        base,
    )
