"""The flags and the call of `vidcorr bridge`."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..experiments.runs.benchmark_choice import chosen_benchmarks
from ..experiments.runs.flags import BENCHMARK_FLAGS, FORMAT_FLAGS, NETWORK, NETWORK_FLAGS, Flag, named_network, several

if TYPE_CHECKING:  # they import torch or pydantic, which would delay `--help`
    from ..benchmarks.base import Benchmark
    from ..results.rendering import Table

END = "protocol, also with changes (vfs+radius=6), or a row of `vidcorr reproduce` (dino-s8)"
PICTURE = "picture to write, .png, .pdf or .svg (default: bridge.png in the folder of results)"
FLAGS = (
    Flag("start", END, metavar="FROM"),
    Flag("end", END, metavar="TO"),
    Flag("network", "network, as for vidcorr evaluate", metavar=NETWORK),
    *BENCHMARK_FLAGS,
    *NETWORK_FLAGS,
    Flag("--output", "folder of results (default: %(default)s)", type=Path, default="bridge"),
    Flag("--score", "score (default: the benchmark's first)", default="", metavar="KEY"),
    Flag("--order", "fields that come first (default: as listed)", default="", metavar="A,B"),
    several("--together", "A,B", "fields that change in one step"),
    *FORMAT_FLAGS,
    Flag("--picture", PICTURE, type=Path, metavar="FILE"),
)


def run(flags: Namespace) -> None:
    """Run the command; a user's mistake raises UsageError, ValueError or OSError."""
    if len(flags.on) != 1 or flags.protocol:
        raise ValueError("bridge: name one benchmark and its data, --on davis=/data/DAVIS, and no --protocol")

    from ..experiments.reports.bridge import bridge
    from ..results.pictures.plots import waterfall, write_figure
    from ..results.published import protocol_of_row
    from ..results.rendering import printed

    benchmark, _, _ = flags.on[0].partition("=")

    def report(table: Table) -> None:
        """Print and draw the table."""
        print(printed(table, flags.format, flags.intervals), end="")
        picture = flags.picture or flags.output / "bridge.png"
        write_figure(picture, waterfall(table))
        print(picture, file=sys.stderr)

    bridge(
        benchmark_under(protocol_of_row(flags.start, benchmark), flags),
        benchmark_under(protocol_of_row(flags.end, benchmark), flags),
        named_network(flags.network, flags),
        flags.output,
        order=flags.order.split(",") if flags.order else [],
        together=flags.together,
        score=flags.score,
        report=report,
    )


def benchmark_under(protocol: str, flags: Namespace) -> Benchmark:
    """Return the benchmark of `--on` under a protocol.

    Raises:
        ValueError: if the flags choose several.
    """
    of_protocol = vars(flags) | {"protocol": [protocol]}
    chosen = chosen_benchmarks(Namespace(**of_protocol))
    if len(chosen) != 1:
        raise ValueError("bridge: give one value of --change, --stage and --stride")
    return chosen[0].build()
