"""The flags and the call of `vidcorr export`."""

from argparse import Namespace

from ..experiments.runs.flags import Flag, positive
from ..videos.files import require_one_of, user_path

NAMED = "folder of a run, checkpoint, file of weights or name of a network; for ONNX with @STAGE/STRIDE"
WRITTEN = "file to write: .safetensors, whose folder gets the card, or .onnx"
SIZE = "height and width of the images, pixels, for .onnx"
FLAGS = (
    Flag("network", NAMED, metavar="NETWORK"),
    Flag("output", WRITTEN, type=user_path, metavar="OUT"),
    Flag("--size", SIZE, type=positive, nargs=2, metavar=("H", "W")),
)


def run(flags: Namespace) -> None:
    """Write a network's weights to .safetensors with a model card, or the network to .onnx; print how to load it.

    Raises:
        ValueError: for a user's mistake, such as another ending, or `--size` for .safetensors.
    """
    from ..backbones.model_export import export_onnx
    from ..experiments.reports.model_card import export_with_card
    from ..experiments.runs.runs import checkpoint_named

    require_one_of((".safetensors", ".onnx"), suffix=flags.output.suffix)
    if (flags.output.suffix == ".onnx") != (flags.size is not None):
        raise ValueError(f"{flags.output}: an .onnx file needs --size H W, and a .safetensors file has none")
    network = checkpoint_named(flags.network)
    if flags.size is not None:
        print(export_onnx(network, flags.output, tuple(flags.size)))
    else:
        print(export_with_card(network, flags.output))
