"""Score frozen networks on benchmarks and print a table, with differences from a base network if --base names it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from ..experiments.benchmark_choice import add_evaluation_flags, add_list_flag, chosen_benchmarks, named_network
from ..near_names import CommandParser

if TYPE_CHECKING:  # they import torch, which would delay `--help`
    from ..benchmarks.base import Benchmark
    from ..benchmarks.network import NetworkLike
    from ..results.rendering import Table


def command(args: Sequence[str]) -> None:
    """Run `vidcorr evaluate`; a user's mistake raises UsageError, ValueError or OSError."""
    parser = CommandParser(prog="vidcorr evaluate", description=__doc__)
    add_evaluation_flags(parser)
    named = "checkpoint, my_module:my_network, dino-b8 or another short name, timm:NAME, raw_colour, untrained, …"
    parser.add_argument("networks", nargs="+", metavar="NETWORK[@STAGE[/STRIDE]]", help=named)
    parser.add_argument("--base", default="", metavar="NETWORK", help="network to compare the others with")
    add_list_flag(parser, "--seeds", "N", "seeds of random weights (default: 0)", int)
    flags = parser.parse_args(list(args))
    names = list(flags.networks)
    if flags.base:
        names.append(flags.base)
    if not flags.on:
        raise ValueError("evaluate: name a benchmark and the folder of its data: --on davis=/data/DAVIS")
    chosen = chosen_benchmarks(flags)

    from ..backbones import EncoderSpec
    from ..backbones.trust import allow_named

    allow_named(args)
    benchmarks = [choice.build() for choice in chosen]
    networks: list[EncoderSpec] = []
    for name in dict.fromkeys(names):
        network = named_network(name, flags)
        if network.is_random:
            networks += [replace(network, seed=seed) for seed in flags.seeds or [0]]
        else:
            networks.append(network)
    base = ""
    if flags.base:
        base = named_network(flags.base, flags).name
    evaluate(networks, benchmarks, flags.output, base)


def evaluate(
    networks: Sequence[NetworkLike],
    benchmarks: Sequence[Benchmark],
    output: str | Path = "evaluation",
    base: str = "",
) -> Table:
    """Score networks on benchmarks, and print the table; results in the output folder are reused.

    Args:
        networks: modules, feature extractors, paths of checkpoints, or names as `vidcorr evaluate` takes them.
        benchmarks: benchmarks for all networks, with their protocols.
        output: folder of the results; `vidcorr table` shows all results in it.
        base: network to compare the others with, or empty; without a result of it the table has no differences.

    Returns:
        The table, with a row per network.

    Raises:
        DataError: for wrong data; before any work.
        ValueError: if a job failed, after all other jobs.
        OSError: if the folder cannot be written.
    """
    from ..benchmarks.network import with_unique_rows
    from ..experiments.store import Job, scored
    from ..results.records import ScoreRecord, records_of
    from ..results.rendering import printed
    from ..results.tabulate import tabulate

    rows = with_unique_rows(networks)
    unread = [replace(benchmark) for benchmark in benchmarks]  # data that one has read may be older than the files
    records: list[ScoreRecord] = []
    with scored([Job(row, benchmark) for row, benchmark in product(rows, unread)], output) as results:
        for job, result in results.items():
            records += records_of(result, result.main_scores(), place=Path(output) / job.folder)
        table = tabulate(records)
        base_row = _row_of(table, base)
        if base_row is not None:
            table = table.with_differences(base_row)
        if table.rows:
            print(printed(table), flush=True)
    return table


def _row_of(table: Table, network: str) -> str | None:
    """Return the row of a network, of several with different strides the first; None without a result of it."""
    for name, row in table.rows.items():
        for cell in row.values():
            if any(record.name == network for record in cell.records):
                return name
    return None
