"""Score one backbone under a grid or list of protocols, stages and strides, and show what each choice is worth."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from .compare import positive


def command(args: Sequence[str]) -> None:
    """Run `vidcorr sweep` with its arguments; a user's mistake raises a one-line ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr sweep", description=__doc__)
    parser.add_argument("spec", help="checkpoint, dino-b8 or another short name, timm:NAME, raw_colour, …")
    parser.add_argument("--config", default="benchmarks/davis.yaml", help="a benchmark's config")
    parser.add_argument("--root", help="the folder of the data, in place of the config's")
    parser.add_argument("--protocol", help="that the grid begins from, in place of the config's")
    parser.add_argument("--protocols", nargs="+", default=[], metavar="NAME", help="in place of a grid; all: every one")
    parser.add_argument("--vary", nargs="+", default=[], metavar="FIELD=V,V", help="e.g. radius=6,12 topk=5,10,20")
    parser.add_argument("--stages", nargs="+", default=[None], help="of the features (default: the backbone's own)")
    parser.add_argument("--strides", nargs="+", type=positive, default=[None], help="of the features")
    parser.add_argument("--score", default="J&F-Mean", help="what is compared (default: J&F-Mean)")
    parser.add_argument(
        "--select-on", type=float, default=0.5, metavar="FRACTION", help="of the sequences (default 0.5)"
    )
    parser.add_argument("--pretrained", action="store_true", help="the library's own weights for timm and torchvision")
    parser.add_argument("--seed", type=int, default=0, help="of the weights of a backbone that comes without")
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N sequences")
    parser.add_argument("--most", type=positive, metavar="N", help="protocols; more than 500 are taken for a mistake")
    parser.add_argument("--at-once", type=positive, metavar="N", help="protocols that share one pass of the network")
    parser.add_argument("--part", default="1/1", metavar="K/N", help="run every Nth batch only, for several machines")
    parser.add_argument("--output", type=Path, default=Path("sweep"))
    parser.add_argument("--allow", action="append", metavar="NAME", help="your own class that a checkpoint may name")
    flags = parser.parse_args(list(args))

    from lightning_modules.checkpoints import allow_named

    from ..experiments.sweep import sweep

    allow_named(args)
    sweep(flags)
