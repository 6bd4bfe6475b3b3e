"""Match two pictures of your own: the best matches, or those of given points, as a picture and matches.csv."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..experiments.benchmark_choice import OF_PAIRS, add_list_flag, add_network_flags, named_network, positive
from ..near_names import CommandParser


def command(args: Sequence[str]) -> None:
    """Run `vidcorr match`; a user's mistake raises UsageError, ValueError or OSError."""
    parser = CommandParser(prog="vidcorr match", description=__doc__)
    parser.add_argument("first", type=Path, metavar="A.jpg", help="picture whose points are matched")
    parser.add_argument("second", type=Path, metavar="B.jpg", help="picture in which they are found")
    points = "points of the first picture, pixels from its upper left corner (default: the best mutual matches)"
    add_list_flag(parser, "--points", "X,Y", points, point)
    named = "network, as for vidcorr evaluate (default: %(default)s)"
    parser.add_argument("--model", default="vidcorr-r18", metavar="NETWORK[@STAGE[/STRIDE]]", help=named)
    add_network_flags(parser)
    protocol = "protocol of pairs, also with changes (default: %(default)s)"
    parser.add_argument("--protocol", default=OF_PAIRS, metavar="NAME", help=protocol)
    best = "most matches, apart from each other (default: %(default)s)"
    parser.add_argument("--best", type=positive, default=40, metavar="N", help=best)
    add_list_flag(parser, "--allow", "NAME", "code outside vidcorr that checkpoints may name")
    output = "folder for matches.png and matches.csv (default: %(default)s)"
    parser.add_argument("--output", type=Path, default=Path("matches"), metavar="FOLDER", help=output)
    flags = parser.parse_args(list(args))

    from ..backbones.trust import allow_named
    from ..experiments.match import match_pictures

    allow_named(args)
    network = named_network(flags.model, flags)
    match_pictures(flags.first, flags.second, network, flags.points, flags.best, flags.protocol, flags.output)


def point(text: str) -> tuple[float, float]:
    """Return x and y of a text `X,Y`.

    Raises:
        argparse.ArgumentTypeError: for another text.
    """
    try:
        x, y = map(float, text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected X,Y in pixels, got {text!r}") from error
    return x, y
