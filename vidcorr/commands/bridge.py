"""Explain why two protocols give two scores: walk from one to the other field by field, as a table and a picture."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..experiments.benchmark_choice import add_evaluation_flags, add_list_flag, chosen_benchmarks, named_network
from ..near_names import CommandParser
from .table import add_format_flag

if TYPE_CHECKING:  # they import torch or pydantic, which would delay `--help`
    from ..benchmarks.base import Benchmark
    from ..results.rendering import Table


def command(args: Sequence[str]) -> None:
    """Run `vidcorr bridge`; a user's mistake raises UsageError, ValueError or OSError."""
    flags = _parser().parse_args(list(args))
    if len(flags.on) != 1 or flags.protocol:
        raise ValueError("bridge: name one benchmark and its data, --on davis=/data/DAVIS, and no --protocol")

    from ..backbones.trust import allow_named
    from ..experiments.bridge import bridge
    from ..results.pictures.plots import waterfall, write_figure
    from ..results.published import protocol_of_row
    from ..results.rendering import printed

    allow_named(args)
    benchmark, _, _ = flags.on[0].partition("=")
    names = (protocol_of_row(flags.start, benchmark), protocol_of_row(flags.end, benchmark))
    ends: list[Benchmark] = []
    for name in names:
        flags.protocol = [name]  # in place of `--protocol`, which is refused above
        chosen = chosen_benchmarks(flags)
        if len(chosen) != 1:
            raise ValueError("bridge: give one value of --change, --stage and --stride")
        ends.append(chosen[0].build())

    def report(table: Table) -> None:
        print(printed(table, flags.format, flags.intervals), end="")
        picture = flags.picture or flags.output / "bridge.png"
        write_figure(picture, waterfall(table))
        print(picture, file=sys.stderr)

    bridge(
        ends[0],
        ends[1],
        named_network(flags.network, flags),
        flags.output,
        order=flags.order.split(",") if flags.order else [],
        together=flags.together,
        alone=flags.alone,
        score=flags.score,
        names=names,
        common=flags.change,
        report=report,
    )


def _parser() -> CommandParser:
    parser = CommandParser(prog="vidcorr bridge", description=__doc__)
    ends = "protocol, also with changes (vfs+radius=6), or a row of `vidcorr reproduce` (dino-s8)"
    parser.add_argument("start", metavar="FROM", help=ends)
    parser.add_argument("end", metavar="TO", help=ends)
    parser.add_argument("network", metavar="NETWORK[@STAGE[/STRIDE]]", help="network, as for vidcorr evaluate")
    add_evaluation_flags(parser)
    parser.add_argument("--score", default="", metavar="KEY", help="score (default: the benchmark's first)")
    parser.add_argument("--order", default="", metavar="A,B", help="fields that come first (default: as listed)")
    add_list_flag(parser, "--together", "A,B", "fields that change in one step")
    parser.add_argument("--alone", action="store_true", help="score each step by itself too, from FROM")
    add_format_flag(parser)
    picture = "picture to write, .png, .pdf or .svg (default: bridge.png in the folder of results)"
    parser.add_argument("--picture", type=Path, metavar="FILE", help=picture)
    return parser
