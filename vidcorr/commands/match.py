"""The flags and the call of `vidcorr match`."""

from argparse import Namespace
from pathlib import Path

from ..experiments.runs.benchmark_choice import OF_PAIRS
from ..experiments.runs.flags import ALLOW, NETWORK, NETWORK_FLAGS, Flag, named_network, point, positive, several

POINTS = "points of the first picture, pixels from its upper left corner (default: the best mutual matches)"
NAMED = "network, as for vidcorr evaluate (default: %(default)s)"
PROTOCOL = "protocol of pairs, also with changes (default: %(default)s)"
BEST = "most matches, apart from each other (default: %(default)s)"
OUTPUT = "folder for matches.png and matches.csv (default: %(default)s)"
FLAGS = (
    Flag("first", "picture whose points are matched", type=Path, metavar="A.jpg"),
    Flag("second", "picture in which they are found", type=Path, metavar="B.jpg"),
    several("--points", "X,Y", POINTS, point),
    Flag("--model", NAMED, default="vidcorr-r18", metavar=NETWORK),
    *NETWORK_FLAGS,
    Flag("--protocol", PROTOCOL, default=OF_PAIRS, metavar="NAME"),
    Flag("--best", BEST, type=positive, default=40, metavar="N"),
    ALLOW,
    Flag("--output", OUTPUT, type=Path, default=Path("matches"), metavar="FOLDER"),
)


def run(flags: Namespace) -> None:
    """Match two pictures by a network's features; write matches.png and matches.csv, and print the range of similarity.

    Raises:
        UsageError, ValueError, OSError: for a user's mistake.
    """
    from ..experiments.reports.match import match_pictures

    network = named_network(flags.model, flags)
    match_pictures(flags.first, flags.second, network, flags.points, flags.best, flags.protocol, flags.output)
