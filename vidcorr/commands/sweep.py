"""Score a network under many protocols at once: a grid of fields, or named protocols."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..experiments.configured import common_flags, read_changes, read_on, views_of
from ..experiments.protocol_choice import protocols_of

ONE_BENCHMARK = "a sweep takes a single benchmark of label propagation or matching"


def command(args: Sequence[str]) -> None:
    """Run `vidcorr sweep`; a user's mistake raises UsageError, ValueError or OSError."""
    parser = common_flags("vidcorr sweep", __doc__, "sweep")
    parser.add_argument("spec", help="checkpoint, dino-b8 or another short name, timm:NAME, raw_colour, …")
    several: dict[str, Any] = {"nargs": "+", "default": []}
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--vary", **several, metavar="FIELD=V,V", help="values of fields: radius=6,12 topk=5,10")
    kinds.add_argument("--protocols", **several, metavar="NAME", help="named protocols, or all, instead of a grid")
    parser.add_argument("--score", default="J&F-Mean", help="score to compare (default: J&F-Mean)")
    flags = parser.parse_args(list(args))
    if flags.protocols and (flags.protocol or flags.change):
        raise ValueError("--protocol and --change choose the base of --vary; leave them out beside --protocols")
    configured, *others = read_on(flags.on or ["davis"])
    if others:
        raise ValueError(f"--on {' '.join(flags.on)}: {ONE_BENCHMARK}")

    from ..backbones.trust import allow_named
    from ..benchmarks.network import NetworkSpec
    from ..experiments.grid import named_grid, read_grid
    from ..experiments.sweep import sweep
    from ..functional import MatchingProtocol, PropagationProtocol

    allow_named(args)
    benchmark: Any = configured.build(limit_sequences=flags.limit)
    if not isinstance(benchmark.protocol, PropagationProtocol | MatchingProtocol):
        raise ValueError(f"{configured.text}: {ONE_BENCHMARK}")
    ((base, *more),) = protocols_of([benchmark], flags.protocol, read_changes(flags.change))
    if more:
        raise ValueError("--protocol: the base of a sweep is a single protocol; --protocols compares several")
    if flags.protocols:
        protocols = named_grid(flags.protocols, benchmark.default_name, benchmark.protocols_like, type(base))
    else:
        protocols = read_grid(base, flags.vary)
    networks = views_of([NetworkSpec.read(flags.spec, flags.pretrained)], flags.stage, flags.stride)
    fields = [text.partition("=")[0] for text in flags.vary]
    benchmark = replace(benchmark, protocol=base, changes=None)
    sweep(networks, benchmark, protocols, flags.output, flags.score, fields)
