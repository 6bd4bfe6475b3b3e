"""Write the backbone of a checkpoint as safetensors that torchvision or timm load."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def command(args: Sequence[str]) -> None:
    """Run `vidcorr export`.

    Args:
        args: arguments of the command line after `export`.

    Raises:
        ValueError: for a user's mistake, one line.
    """
    parser = argparse.ArgumentParser(prog="vidcorr export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="any checkpoint of this project")
    parser.add_argument("output", type=Path, metavar="OUT", help="file to write, .safetensors")
    parser.add_argument("--allow", action="append", metavar="NAME", help="class of yours that a checkpoint may name")
    flags = parser.parse_args(list(args))

    from ..backbones.foreign.safetensors_export import export
    from ..backbones.trust import allow_named

    allow_named(args)
    print(export(flags.checkpoint, flags.output))
