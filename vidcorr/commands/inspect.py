"""The flags and the call of `vidcorr inspect`."""

from argparse import Namespace
from pathlib import Path

from ..errors import printable
from ..experiments.runs.flags import Flag

FLAGS = (Flag("file", "checkpoint or file of weights", type=Path, metavar="FILE"),)


def run(flags: Namespace) -> None:
    """Print the classes and networks that a file names, running none of its code, and the `--allow` that it needs.

    Raises:
        ValueError: for a damaged file.
    """
    from ..backbones.files.checkpoints import names_in_file
    from ..backbones.files.trust import to_allow

    code, others = names_in_file(flags.file)  # names of classes and networks, and names that loading ignores
    print(printable(f"names: {', '.join(code) or 'no class and no network'}"))
    if others:
        print(printable(f"holds too, and nothing of it is made: {', '.join(others)}"))
    needed = to_allow(code)
    print(printable(f"to use it, if you trust it: --allow {' '.join(needed)}" if needed else "needs no --allow"))
