"""Score frozen networks on benchmarks and print a table, with differences from a base network if --base names it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..experiments.benchmark_choice import add_evaluation_flags, add_list_flag, chosen_benchmarks, named_network
from ..near_names import CommandParser


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
    from ..experiments.evaluate import evaluate

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
