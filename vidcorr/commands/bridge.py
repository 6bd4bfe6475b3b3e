"""The flags and the call of `vidcorr bridge`."""

from argparse import Namespace
from pathlib import Path

from ..experiments.runs.benchmark_choice import only_benchmark
from ..experiments.runs.flags import BENCHMARK_FLAGS, FORMAT_FLAGS, NETWORK, NETWORK_FLAGS, Flag, named_network, several

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
    """Score a network on a benchmark while one protocol becomes another; print and draw the steps of the score.

    Raises:
        UsageError, ValueError, OSError: for a user's mistake.
    """
    if len(flags.on) != 1 or flags.protocol:
        raise ValueError("bridge: name one benchmark and its data, --on davis=/data/DAVIS, and no --protocol")

    from ..experiments.reports.bridge import bridge
    from ..results.published import protocol_of_row

    benchmark, _, _ = flags.on[0].partition("=")
    # FROM and TO name a protocol, or a published row, whose protocol is meant
    start, end = protocol_of_row(flags.start, benchmark), protocol_of_row(flags.end, benchmark)
    bridge(
        only_benchmark(flags, start),
        only_benchmark(flags, end),
        named_network(flags.network, flags),
        flags.output,
        order=flags.order.split(",") if flags.order else [],
        together=flags.together,
        score=flags.score,
        picture=flags.picture or flags.output / "bridge.png",
        format=flags.format,
        intervals=flags.intervals,
    )
