"""The flags and the call of `vidcorr generate`."""

from argparse import Namespace

from ..datasets.small_sets import LAYOUTS, generate
from ..experiments.runs.flags import Flag, folder

FLAGS = (
    Flag("folder", "folder of the data sets, a folder for each", type=folder, metavar="FOLDER"),
    Flag("layouts", f"{', '.join(LAYOUTS)} (default: all)", nargs="*", default=(), metavar="LAYOUT"),
)


def run(flags: Namespace) -> None:
    """Write small generated data sets into a folder, and print the command that evaluates a network on them, if any.

    Raises:
        ValueError, OSError: for a user's mistake.
    """
    names = list(dict.fromkeys(flags.layouts or LAYOUTS))
    on = generate(flags.folder, names)
    print(f"{len(names)} data sets in {flags.folder}", end="")
    print(f"; vidcorr evaluate raw_colour --on {' '.join(on)}" if on else "")
