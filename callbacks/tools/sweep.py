"""Score one backbone under many protocols at once: a grid of their fields, or the way from one to another."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..command_line.configs import positive


def command(args: Sequence[str]) -> None:
    """Run `vidcorr sweep` with its arguments; a user's mistake raises a one-line ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr sweep", description=__doc__)
    parser.add_argument("spec", help="checkpoint, dino-b8 or another short name, timm:NAME, raw_colour, …")
    parser.add_argument("--config", default="benchmarks/davis.yaml", help="config of a benchmark (default: DAVIS)")
    parser.add_argument("--root", help="folder of the data, instead of the config's")
    parser.add_argument("--protocol", help="base protocol of the grid, instead of the config's")
    parser.add_argument(
        "--protocols", nargs="+", default=[], metavar="NAME", help="named protocols instead of a grid; all: every one"
    )
    parser.add_argument(
        "--vary",
        nargs="+",
        default=[],
        metavar="FIELD=V,V",
        help="values of fields: radius=6,12 (feature cells) topk=5,10",
    )
    parser.add_argument(
        "--explain", nargs=2, metavar=("A", "B"), help="from protocol A to B, one field at a time, in both orders"
    )
    parser.add_argument("--stages", nargs="+", help="stages of the features (default: the backbone's own)")
    parser.add_argument("--strides", nargs="+", type=positive, help="strides of the features")
    parser.add_argument("--score", default="J&F-Mean", help="score to compare (default: J&F-Mean)")
    parser.add_argument(
        "--select-on",
        default="0.5",
        metavar="FRACTION|ROOT[@SPLIT]",
        help="what to select on: a fraction of the sequences (default: 0.5), or another data set of the same layout",
    )
    parser.add_argument("--pretrained", action="store_true", help="load the pretrained weights of timm and torchvision")
    parser.add_argument("--seed", type=int, default=0, help="seed of untrained weights (default: 0)")
    parser.add_argument("--limit", type=positive, metavar="N", help="evaluate only the first N sequences")
    parser.add_argument("--most", type=positive, metavar="N", help="largest grid to accept (default: 500)")
    parser.add_argument("--at-once", type=positive, metavar="N", help="number of protocols per pass of the network")
    parser.add_argument("--part", default="1/1", metavar="K/N", help="run every Nth batch only, for several machines")
    parser.add_argument("--output", type=Path, default=Path("sweep"), help="folder of results (default: sweep)")
    parser.add_argument("--allow", action="append", metavar="NAME", help="class of yours that a checkpoint may name")
    flags = parser.parse_args(list(args))
    if flags.protocols and (flags.vary or flags.protocol):
        raise ValueError("--protocols: a list of named protocols takes neither --vary nor --protocol")
    if flags.explain and (flags.vary or flags.protocol or flags.protocols or flags.stages or flags.strides):
        raise ValueError("--explain A B: takes no other protocols; write stage and stride as SPEC@STAGE/STRIDE")

    from lightning_modules.checkpoints import allow_named
    from lightning_modules.functional import PropagationProtocol

    from .comparison import Network
    from .grid import AT_ONCE, MOST, named_grid, read_grid
    from .protocol_sweep import Sweep, explain_protocols, sweep, sweep_benchmark

    allow_named(args)
    network = Network.read(flags.spec, flags.pretrained, flags.seed)
    benchmark = sweep_benchmark(flags.config, flags.root, flags.limit)
    kind, like, at_once = type(benchmark).name, benchmark.protocols_like, flags.at_once or AT_ONCE
    run = Sweep(network, benchmark, flags.output, flags.score, at_once, part(flags.part))
    if flags.explain:
        first, second = (PropagationProtocol.named(name, kind, like) for name in flags.explain)
        explain_protocols(run, first, second)
        return
    if flags.protocol is not None:
        benchmark.protocol = PropagationProtocol.named(flags.protocol, kind, like)
    if flags.protocols:
        grid = named_grid(flags.protocols, kind, like)
    else:
        grid = read_grid(benchmark.protocol, flags.vary, flags.most or MOST)
    select_on: Sweep | float | None = as_fraction(flags.select_on)
    if select_on is None:
        root, _, split = flags.select_on.partition("@")
        elsewhere = sweep_benchmark(flags.config, root, flags.limit, split)
        select_on = replace(run, benchmark=elsewhere, output=flags.output / "selection")
    sweep(run, grid, flags.stages or [network.stage], flags.strides or [network.stride], select_on)


def as_fraction(text: str) -> float | None:
    """Return the number that a text is; None for another text."""
    try:
        return float(text)
    except ValueError:
        return None


def part(text: str) -> tuple[int, int]:
    """Return K and N of `K/N`.

    Raises:
        ValueError: for another text; one line.
    """
    number, _, parts = text.partition("/")
    if not (number.isdecimal() and parts.isdecimal()):
        raise ValueError(f"part {text}: give K/N with K from 1 to N")
    return int(number), int(parts)
