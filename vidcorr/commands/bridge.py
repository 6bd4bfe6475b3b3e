"""Explain why two protocols give two scores: walk from one to the other field by field, as a table and a picture."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..experiments.benchmark_choice import add_evaluation_flags, add_list_flag, chosen_benchmarks, named_network
from .table import add_format_flag


def command(args: Sequence[str]) -> None:
    """Run `vidcorr bridge`; a user's mistake raises UsageError, ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr bridge", description=__doc__)
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
    picture = "picture to write, .png or .pdf (default: %(default)s)"
    parser.add_argument("--picture", type=Path, default=Path("bridge.png"), metavar="FILE", help=picture)
    flags = parser.parse_args(list(args))
    if len(flags.on) != 1 or flags.protocol:
        raise ValueError("bridge: name one benchmark and its data, --on davis=/data/DAVIS, and no --protocol")

    from ..backbones.trust import allow_named
    from ..experiments.bridge import Bridge, cost, steps_between
    from ..experiments.evaluate import Runner, process_group
    from ..results.pictures.waterfall import draw_waterfall
    from ..results.published import protocol_of_row
    from ..results.rendering import printed

    allow_named(args)
    benchmark, _, _ = flags.on[0].partition("=")
    names = (protocol_of_row(flags.start, benchmark), protocol_of_row(flags.end, benchmark))
    chosen = []
    for name in names:
        flags.protocol = [name]
        chosen += chosen_benchmarks(flags)
    if len(chosen) != 2:
        raise ValueError("bridge: give one value of --change, --stage and --stride")
    start, end = (choice.build() for choice in chosen)
    order = flags.order.split(",") if flags.order else []
    steps = steps_between(start.protocol, end.protocol, order, flags.together)
    network = named_network(flags.network, flags)
    bridge = Bridge(network, start, end, steps, names, flags.change)
    walk = bridge.walk()
    alone = [bridge.under(fields) for fields in steps] if flags.alone else []
    jobs = {job.folder: job for job in (*walk, *alone)}
    with process_group():  # ranks other than the first print nothing
        runner = Runner(flags.output)
        print(cost(runner, list(jobs.values())), flush=True)
        results = {job.folder: result for job, result in runner.run(list(jobs.values())).items()}
        runner.raise_failures()
        if len(results) < len(jobs):
            raise ValueError("bridge: another process runs some of the evaluations; repeat the command after it")
        of_walk = [results[job.folder] for job in walk]
        table = bridge.table(of_walk, [results[job.folder] for job in alone], flags.score)
        print(f"\n{printed(table, flags.format, flags.intervals)}", end="")
        draw_waterfall(table, flags.picture)
        print(flags.picture)
