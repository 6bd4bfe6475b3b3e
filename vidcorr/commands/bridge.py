"""Explain why two protocols give two scores: walk from one to the other field by field, as a table and a picture."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..experiments.benchmark_choice import add_benchmark_flags, add_list_flag, chosen_benchmarks
from .table import add_format_flag


def command(args: Sequence[str]) -> None:
    """Run `vidcorr bridge`; a user's mistake raises UsageError, ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr bridge", description=__doc__)
    ends = "protocol, also with changes (vfs+radius=6), or a row of `vidcorr reproduce` (dino-s8)"
    parser.add_argument("start", metavar="FROM", help=ends)
    parser.add_argument("end", metavar="TO", help=ends)
    parser.add_argument("network", metavar="NETWORK[@STAGE[/STRIDE]]", help="network, as for vidcorr evaluate")
    add_benchmark_flags(parser)
    parser.add_argument("--pretrained", action="store_true", help="load pretrained weights of timm and torchvision")
    parser.add_argument("--output", type=Path, default="evaluation", help="folder of results (default: %(default)s)")
    parser.add_argument("--score", default="", metavar="KEY", help="score (default: the benchmark's first)")
    parser.add_argument("--order", default="", metavar="A,B", help="fields that come first (default: as listed)")
    add_list_flag(parser, "--together", "A,B", "fields that change in one step")
    parser.add_argument("--alone", action="store_true", help="score each step by itself too, from FROM")
    add_format_flag(parser)
    picture = "picture to write, .png or .pdf (default: %(default)s)"
    parser.add_argument("--picture", type=Path, default=Path("bridge.png"), metavar="FILE", help=picture)
    flags = parser.parse_args(list(args))
    if len(flags.on) != 1 or flags.protocol:
        raise ValueError("bridge: name one benchmark and its data, --on davis=/data/DAVIS, and no --protocol")

    from ..backbones import NamedNetwork
    from ..backbones.trust import allow_named
    from ..experiments.bridge import Bridge, announced, steps_between
    from ..experiments.evaluate import Runner, process_group
    from ..results.pictures.waterfall import draw_waterfall
    from ..results.published import protocol_of_row
    from ..results.rendering import printed

    allow_named(args)
    benchmark_name, _, _ = flags.on[0].partition("=")
    benchmarks = []
    for text in (flags.start, flags.end):
        flags.protocol = [protocol_of_row(text, benchmark_name)]
        chosen = chosen_benchmarks(flags)
        if len(chosen) > 1:
            raise ValueError("bridge: give one value of --change, --stage and --stride")
        benchmarks.append(chosen[0].build())
    start, end = benchmarks
    order = list(filter(None, flags.order.split(",")))
    steps = steps_between(start.protocol, end.protocol, order, flags.together)
    bridge = Bridge(NamedNetwork(flags.network, pretrained=flags.pretrained), start, end, steps)
    walk = bridge.walk()
    alone = [bridge.under(fields) for fields in steps] if flags.alone else []
    with process_group():  # ranks other than the first print nothing
        runner = Runner(flags.output)
        print(announced([*walk, *alone], flags.output), flush=True)
        of_folder = {job.folder: result for job, result in runner.run([*walk, *alone]).items()}
        runner.raise_failures()
        lacking = [job.title for job in (*walk, *alone) if job.folder not in of_folder]
        if lacking:
            raise ValueError(f"bridge: {lacking[0]} runs in another process; repeat the command when it has ended")
        results = [[of_folder[job.folder] for job in jobs] for jobs in (walk, alone)]
        table = bridge.table(*results, flags.score)
        print(f"\n{printed(table, flags.format, flags.intervals)}", end="")
        draw_waterfall(table, flags.picture)
        print(flags.picture)
