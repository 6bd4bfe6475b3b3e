"""The backbone of a checkpoint as safetensors that torchvision, timm and this project load."""

import json
from importlib.metadata import version
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from ..videos.files import unfinished
from .checkpoints import METADATA_KEY
from .encoder import Encoder
from .names import encoder_from_checkpoint


def export(checkpoint: str | Path, output: str | Path) -> str:
    """Write the backbone of any checkpoint of ours under its library's names, without heads and classifier.

    Metadata of the file: `vidcorr`, JSON of version and encoder, from which `load` reads the file
    again; and `load`, the Python that loads it.

    Args:
        checkpoint: a checkpoint of ours.
        output: the file to write, `.safetensors`.

    Returns:
        The Python that loads the file.

    Raises:
        ValueError: if the module has no named backbone (a probe or SiamFC holds a view).
    """
    output = Path(output)
    encoder = encoder_from_checkpoint(checkpoint)
    recipe = encoder.recipe
    if recipe is None:
        kind = type(encoder.network).__name__
        raise ValueError(f"{checkpoint}: {kind} holds no whole network with a name; export the encoder's own file")
    load = _loading_code(encoder, output)
    saved = recipe | {"prefix": ""}
    about = {"class_path": recipe["class_path"], "version": version("vidcorr"), "encoder": saved}
    output.parent.mkdir(parents=True, exist_ok=True)
    with unfinished(output) as temporary:
        tensors = {name: tensor.detach().contiguous() for name, tensor in encoder.network.state_dict().items()}
        save_file(tensors, temporary, {"format": "pt", METADATA_KEY: json.dumps(about), "load": load})
    return load


def _loading_code(encoder: Encoder, output: Path) -> str:
    """Return the Python that loads the file."""
    library, _, name = encoder.described.spec.partition(":")
    if library == "timm":
        return f"import timm\nnetwork = timm.create_model({name!r}, num_classes=0, checkpoint_path={str(output)!r})"
    if library == "torchvision":
        classifier = next(name for name, child in encoder.network.named_children() if isinstance(child, nn.Identity))
        made = f"network = torchvision.models.{name}()\nnetwork.{classifier} = torch.nn.Identity()"
        file = f"safetensors.torch.load_file({str(output)!r})"
        return f"import safetensors.torch, torch, torchvision\n{made}\nnetwork.load_state_dict({file})"
    return f"from vidcorr.backbones import load\nencoder = load({str(output)!r})"
