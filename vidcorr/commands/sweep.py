"""Score a network under many protocols at once: a grid of fields, or named protocols."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..experiments.configured import Configured, common_flags, positive, protocols_of, read_changes, read_on, views_of

if TYPE_CHECKING:  # with torch, which a mistake need not wait for
    from ..experiments.sweep import Sweep

ONE_BENCHMARK = "a sweep takes a single benchmark of label propagation or matching"


def command(args: Sequence[str]) -> None:
    """Run `vidcorr sweep`; a user's mistake raises UsageError, ValueError or OSError."""
    flags = _parser().parse_args(list(args))
    if flags.protocols and (flags.protocol or flags.change):
        raise ValueError("--protocol and --change choose the base of --vary; leave them out beside --protocols")
    configured, *others = read_on(flags.on or ["davis"])
    if others:
        raise ValueError(f"--on {' '.join(flags.on)}: {ONE_BENCHMARK}")
    fraction = _selection_fraction(flags.select_on)

    from ..backbones.trust import allow_named
    from ..experiments.grid import named_grid, read_grid
    from ..experiments.sweep import sweep

    allow_named(args)
    run = _sweep_of(flags, configured)
    kind, like = run.benchmark.default_name, run.benchmark.protocols_like
    if flags.protocols:
        protocols = named_grid(flags.protocols, kind, like, type(run.benchmark.protocol))
    else:
        protocols = read_grid(run.benchmark.protocol, flags.vary, flags.most)
    fields = [text.partition("=")[0] for text in flags.vary]
    if fraction is not None:
        sweep(run, protocols, fields, fraction)
    else:
        root, _, split = flags.select_on.partition("@")
        elsewhere = configured.build(root=root, limit_sequences=flags.limit, split=split or None)
        sweep(run, protocols, fields, replace(run, benchmark=elsewhere))


def _selection_fraction(select_on: str) -> float | None:
    """Return the fraction of `--select-on`; None for the folder of another data set.

    Raises:
        ValueError: for a missing folder.
    """
    if re.fullmatch(r"0?\.\d*[1-9]\d*", select_on):
        return float(select_on)
    if not Path(root := select_on.partition("@")[0]).exists():
        raise ValueError(f"--select-on {select_on}: there is no folder {root}")
    return None


def _sweep_of(flags: argparse.Namespace, configured: Configured) -> Sweep:
    """Return the network with all stages and strides, and the benchmark with the base of the grid.

    Raises:
        ValueError: for a benchmark without label propagation, or a wrong protocol, field, score or stride.
    """
    from ..experiments.evaluate import Runner
    from ..experiments.job import NetworkSpec, Store
    from ..experiments.sweep import Sweep
    from ..functional import MatchingProtocol, PropagationProtocol

    benchmark: Any = configured.build(limit_sequences=flags.limit)
    if not isinstance(benchmark.protocol, PropagationProtocol | MatchingProtocol):
        raise ValueError(f"{configured.text}: {ONE_BENCHMARK}")
    ((protocol, *others),) = protocols_of([benchmark], flags.protocol, read_changes(flags.change))
    if others:
        raise ValueError("--protocol: the base of a sweep is a single protocol; --protocols compares several")
    benchmark = replace(benchmark, protocol=protocol, changes=None)
    network = NetworkSpec.read(flags.spec, flags.pretrained, flags.seed)
    networks = views_of([network], flags.stage, flags.stride)
    return Sweep(networks, benchmark, Runner(Store(flags.output), flags.at_once, pages=False), flags.score)


def _parser() -> argparse.ArgumentParser:
    parser = common_flags("vidcorr sweep", __doc__, "sweep")
    parser.add_argument("spec", help="checkpoint, dino-b8 or another short name, timm:NAME, raw_colour, …")
    several: dict[str, Any] = {"nargs": "+", "default": []}
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--vary", **several, metavar="FIELD=V,V", help="values of fields: radius=6,12 topk=5,10")
    kinds.add_argument("--protocols", **several, metavar="NAME", help="named protocols, or all, instead of a grid")
    parser.add_argument("--score", default="J&F-Mean", help="score to compare (default: J&F-Mean)")
    choice = "select on a fraction of the sequences (default: 0.5), or on another data set of the same layout"
    parser.add_argument("--select-on", default="0.5", metavar="FRACTION|ROOT[@SPLIT]", help=choice)
    parser.add_argument("--seed", type=int, default=0, help="seed of untrained weights (default: 0)")
    parser.add_argument("--most", type=positive, default=500, metavar="N", help="largest allowed grid (default: 500)")
    parser.add_argument("--at-once", type=positive, default=40, metavar="N", help="protocols per pass (default: 40)")
    return parser
