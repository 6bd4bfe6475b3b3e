"""Compare several backbones under one benchmark in one table, together with baselines without training."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..command_line.configs import find_config, positive


def command(args: Sequence[str]) -> None:
    """Run `vidcorr compare` with its arguments; a user's mistake raises a one-line ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr compare", description=__doc__)
    parser.add_argument(
        "specs",
        nargs="*",
        metavar="SPEC[@STAGE[/STRIDE]]",
        help="checkpoint, short name such as dino-b8, timm:NAME, …",
    )
    parser.add_argument("--config", default="benchmarks/davis.yaml", help="config of a benchmark (default: DAVIS)")
    parser.add_argument("--root", help="folder of the data, instead of the config's")
    parser.add_argument("--protocol", help="named protocol, instead of the config's")
    parser.add_argument("--base", default="", metavar="SPEC", help="row that the others are tested against")
    parser.add_argument("--pretrained", action="store_true", help="load the pretrained weights of timm and torchvision")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1], help="seeds of the untrained baseline")
    parser.add_argument("--no-baselines", action="store_true", help="leave out raw colour and untrained networks")
    parser.add_argument("--limit", type=positive, metavar="N", help="evaluate only the first N sequences")
    parser.add_argument("--output", type=Path, default=Path("comparison"), help="folder of results")
    parser.add_argument("--allow", action="append", metavar="NAME", help="class of yours that a checkpoint may name")
    if any(argument.partition("=")[0] == "--davis" for argument in args):
        raise ValueError("--davis ROOT is now --root ROOT")
    flags = parser.parse_args(list(args))

    from lightning_modules.checkpoints import allow_named

    from .comparison import benchmarks_of, compare, contestants

    allow_named(args)
    benchmarks = benchmarks_of(find_config(flags.config), flags.root, flags.limit, protocol=flags.protocol)
    rows = contestants(flags.specs, flags.pretrained, flags.seeds, not flags.no_baselines)
    if not rows:
        raise ValueError("compare: name at least one backbone, or leave the baselines in")
    scores = compare(rows, benchmarks, flags.output, flags.base)
    if failed := [row.name for row in rows if row.name not in scores]:
        summary = f"{len(failed)} of {len(rows)} backbones failed ({', '.join(failed)})"
        raise ValueError(f"compare: {summary}; {flags.output / 'compare.json'} holds the reasons")
