"""The backbone of a checkpoint as safetensors that torchvision or timm load."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from ...videos.files import unfinished
from .. import LiirEncoder
from ..checkpoints import encoder_from_checkpoint, method_of
from ..description import Network
from ..encoder import Encoder


def export(checkpoint: str | Path, output: str | Path) -> str:
    """Write the backbone of any checkpoint of ours under its library's names, without heads and classifier.

    Metadata of the file: `method`, `vidcorr` (version), `architecture`, `mean` and `std` of RGB in [0, 1], and `load`,
    the Python that loads it.

    Args:
        checkpoint: a checkpoint of ours.
        output: the file to write, `.safetensors`.

    Returns:
        The Python that loads the file.

    Raises:
        ValueError: if the module has no named backbone (a probe or SiamFC holds a view).
    """
    output = Path(output)
    if output.suffix != ".safetensors":
        raise ValueError(f"{output}: the name must end with .safetensors")
    method = method_of(checkpoint)
    module = encoder_from_checkpoint(checkpoint)
    network: Any = getattr(module, "network", module)
    named = Network.of(module).spec
    if not named or not isinstance(module, Encoder | LiirEncoder):
        raise ValueError(f"{checkpoint}: {method} holds no whole network with a name; export the encoder's own file")
    load = _loading_code(network, named, output)
    header = {"method": method, "vidcorr": version("vidcorr"), "architecture": named}
    if not isinstance(network, LiirEncoder):  # Liir takes Lab
        header["mean"] = ", ".join(map(str, module.mean))
        header["std"] = ", ".join(map(str, module.std))
    output.parent.mkdir(parents=True, exist_ok=True)
    with unfinished(output) as temporary:
        tensors = {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}
        save_file(tensors, temporary, {"format": "pt", **header, "load": load})
    return load


def _loading_code(network: Any, architecture: str, output: Path) -> str:
    """Return the Python that loads the file."""
    library, _, name = architecture.partition(":")
    file = f"safetensors.torch.load_file({str(output)!r})"
    if library == "timm":
        return f"import timm\nnetwork = timm.create_model({name!r}, num_classes=0, checkpoint_path={str(output)!r})"
    if library == "torchvision":
        classifier = next(name for name, child in network.named_children() if isinstance(child, nn.Identity))
        made = f"network = torchvision.models.{name}()\nnetwork.{classifier} = torch.nn.Identity()"
        return f"import safetensors.torch, torch, torchvision\n{made}\nnetwork.load_state_dict({file})"
    builder = "build_network"
    arguments = repr(architecture)
    if isinstance(network, LiirEncoder):
        builder = "LiirEncoder"
        arguments = ", ".join(f"{key}={value!r}" for key, value in network.arguments.items())
    made = f"{builder}({arguments})"
    imports = f"import safetensors.torch\nfrom vidcorr.backbones import {builder}"
    return f"{imports}\nnetwork = {made}\nnetwork.load_state_dict({file})"
