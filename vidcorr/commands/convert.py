"""Convert a checkpoint of another project to one of ours."""

from collections.abc import Sequence
from pathlib import Path

from ..experiments.benchmark_choice import add_input_flags
from ..near_names import CommandParser


def command(args: Sequence[str]) -> None:
    """Run `vidcorr convert`.

    Args:
        args: arguments of the command line after `convert`.

    Raises:
        ValueError: for a user's mistake, one line.
    """
    families = (
        "vfs crw liir mast moco rsp tobo catmae cropmae cosettle mae tcore dinov2_training dinov2 dinov3 dinov2_hub "
        "dinov3_hub dino lightly torchvision named"
    )
    kinds = ["auto", *families.split()]  # those of families.yaml; `--help` does not import the converters
    parser = CommandParser(prog="vidcorr convert", description=__doc__)
    parser.add_argument("foreign", type=Path, metavar="FOREIGN", help="checkpoint of another project")
    parser.add_argument("output", type=Path, metavar="OUT", help="checkpoint to write, .ckpt")
    parser.add_argument("--kind", default="auto", choices=kinds, help="family of the checkpoint (default: by its keys)")
    parser.add_argument("--architecture", metavar="SPEC", help="torchvision:NAME or timm:NAME, if keys do not show it")
    entry = "place of the weights in a file with several, such as state_dict_ema (default: not a moving average)"
    parser.add_argument("--entry", metavar="NAME", help=entry)
    add_input_flags(parser)
    flags = parser.parse_args(list(args))

    from ..backbones.convert import convert, report_lines
    from ..description import stated_input

    stated = stated_input(flags.mean, flags.std, flags.input)
    report = convert(flags.foreign, flags.output, flags.kind, flags.architecture, flags.entry, stated)
    print(f"{flags.foreign}\n{report_lines(report)}")
