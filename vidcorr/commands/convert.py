"""The flags and the call of `vidcorr convert`."""

from argparse import Namespace
from pathlib import Path

from ..experiments.flags import INPUT_FLAGS, Flag

FAMILIES = (
    "vfs crw liir mast moco rsp tobo catmae cropmae cosettle mae tcore dinov2_training dinov2 dinov3 dinov2_hub "
    "dinov3_hub dino lightly torchvision named"
)
"""Those of families.yaml; `--help` does not import the converters."""
KIND = "family of the checkpoint (default: by its keys)"
ENTRY = "place of the weights in a file with several, such as state_dict_ema (default: not a moving average)"
FLAGS = (
    Flag("foreign", "checkpoint of another project", type=Path, metavar="FOREIGN"),
    Flag("output", "checkpoint to write, .ckpt", type=Path, metavar="OUT"),
    Flag("--kind", KIND, default="auto", choices=["auto", *FAMILIES.split()]),
    Flag("--architecture", "torchvision:NAME or timm:NAME, if keys do not show it", metavar="SPEC"),
    Flag("--entry", ENTRY, metavar="NAME"),
    *INPUT_FLAGS,
)


def run(flags: Namespace) -> None:
    """Run the command; a user's mistake raises ValueError."""
    from ..backbones.convert import convert, report_lines
    from ..description import stated_input

    stated = stated_input(flags.mean, flags.std, flags.input)
    report = convert(flags.foreign, flags.output, flags.kind, flags.architecture, flags.entry, stated)
    print(f"{flags.foreign}\n{report_lines(report)}")
