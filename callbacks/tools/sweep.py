"""Score one backbone under a grid or list of protocols, stages and strides, and show what each choice is worth."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..command_line.flags import positive


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
        "--stages", nargs="+", default=[None], help="stages of the features (default: the backbone's own)"
    )
    parser.add_argument("--strides", nargs="+", type=positive, default=[None], help="strides of the features")
    parser.add_argument("--score", default="J&F-Mean", help="score to compare (default: J&F-Mean)")
    parser.add_argument(
        "--select-on",
        type=float,
        default=0.5,
        metavar="FRACTION",
        help="fraction of the sequences to select on (default: 0.5)",
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

    from lightning_modules.checkpoints import allow_named
    from lightning_modules.functional import PropagationProtocol

    from .grid import AT_ONCE, MOST, named_grid, read_grid
    from .protocol_sweep import sweep, sweep_benchmark

    allow_named(args)
    if flags.protocols and (flags.vary or flags.protocol):
        raise ValueError("--protocols: a list of named protocols takes neither --vary nor --protocol")
    benchmark = sweep_benchmark(flags.config, flags.root, flags.limit)
    if flags.protocol is not None:
        benchmark.protocol = PropagationProtocol.named(flags.protocol, type(benchmark).name, benchmark.protocols_like)
    if flags.protocols:
        grid = named_grid(flags.protocols, type(benchmark).name, benchmark.protocols_like)
    else:
        grid = read_grid(benchmark.protocol, flags.vary, flags.most or MOST)
    sweep(
        flags.spec,
        benchmark,
        grid,
        flags.output,
        stages=flags.stages,
        strides=flags.strides,
        score=flags.score,
        select_on=flags.select_on,
        pretrained=flags.pretrained,
        seed=flags.seed,
        at_once=flags.at_once or AT_ONCE,
        part=part(flags.part),
    )


def part(text: str) -> tuple[int, int]:
    """Return K and N of `K/N`.

    Raises:
        ValueError: for another text; one line.
    """
    number, _, parts = text.partition("/")
    if not (number.isdecimal() and parts.isdecimal()):
        raise ValueError(f"part {text}: give K/N with K from 1 to N")
    return int(number), int(parts)
