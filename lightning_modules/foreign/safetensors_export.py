"""The backbone of a checkpoint as safetensors that torchvision or timm load."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..backbones import LiirEncoder, build_network, module_from_checkpoint
from ..backbones.build import path_to_network
from ..backbones.resnet import ResNetExtractor
from ..checkpoints import written_completely
from ..checkpoints.weights import listed

ExportFormat = Literal["torchvision", "timm", "own"]


@dataclass(frozen=True)
class Backbone:
    """A network at the bottom of a module: its weights under its own names, and how images are normalised for it."""

    architecture: str
    """Name that `build_network` takes."""
    arguments: dict[str, Any]
    """Arguments of Liir's encoder, which its name alone does not make."""
    state: dict[str, Tensor]
    normalisation: dict[str, tuple[float, ...]]
    """`mean` and `std` of RGB in [0, 1]; empty where the network takes Lab."""


def export(checkpoint: str | Path, output: str | Path, format: ExportFormat | None = None) -> str:
    """Write the backbone of any checkpoint of ours under a library's names, without heads and classifier.

    Metadata of the file: `method`, `vidcorr` (version), `architecture`, `mean` and `std` of RGB in [0, 1], and `load`,
    the Python that loads it.

    Args:
        checkpoint: a checkpoint of ours.
        output: the file to write, `.safetensors`.
        format: whose names; None is the library that the network is from. Networks of neither (Liir's, CRW's, your
            own) have only "own".

    Returns:
        The Python that loads the file.

    Raises:
        ValueError: if the module has no such backbone, or the library has no network of these weights.
    """
    output = Path(output)
    if output.suffix != ".safetensors":
        raise ValueError(f"{output}: the name must end with .safetensors")
    module = module_from_checkpoint(checkpoint)
    try:
        backbone = backbone_of(module)
        architecture, load = _target(backbone, format, output)
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from error
    numbers = {name: ", ".join(f"{value:.6g}" for value in values) for name, values in backbone.normalisation.items()}
    header = {
        "method": type(module).__name__,
        "vidcorr": version("vidcorr"),
        "architecture": architecture,
        "load": load,
    }
    with written_completely(output) as unfinished:
        tensors = {name: tensor.detach().contiguous() for name, tensor in backbone.state.items()}
        save_file(tensors, unfinished, {"format": "pt"} | header | numbers)
    return load


def backbone_of(module: Any) -> Backbone:
    """Return the network at the bottom of a module of ours.

    Args:
        module: a method, a `FrozenEncoder`, or a probe over features.

    Raises:
        ValueError: if it holds none that has a name.
    """
    path = path_to_network(module)
    inner: Any = path[-1]
    normalisation = next(filter(None, map(_normalisation, reversed(path))), {})
    state = inner.network_state() if isinstance(inner, ResNetExtractor) else inner.state_dict()
    if isinstance(inner, LiirEncoder):
        return Backbone(inner.architecture, inner.arguments, state, {})
    return Backbone(inner.architecture, {}, state, normalisation)


def _normalisation(module: Any) -> dict[str, tuple[float, ...]]:
    """Return mean and deviation of a method, a view or an encoder, where it has them."""
    holder = getattr(module, "normalise", module)
    values = {name: getattr(holder, name, None) for name in ("mean", "std")}
    return {
        name: tuple(value.flatten().tolist()) if isinstance(value, Tensor) else value
        for name, value in values.items()
        if isinstance(value, Tensor | tuple)
    }


def _target(backbone: Backbone, format: ExportFormat | None, output: Path) -> tuple[str, str]:
    """Return the architecture that the file is for and the Python that loads it; refuse weights that would not fit."""
    library, _, name = backbone.architecture.partition(":")
    known = library in ("torchvision", "timm")
    chosen = format or (library if known else "own")
    file = f"safetensors.torch.load_file({str(output)!r})"
    if chosen == "own":
        if backbone.arguments:
            made = f"{name}({', '.join(f'{key}={value!r}' for key, value in backbone.arguments.items())})"
        else:
            _check_fit(backbone, build_network(backbone.architecture))
            made = f"build_network({backbone.architecture!r})"
        imports = f"import safetensors.torch\nfrom lightning_modules.backbones import {made.partition('(')[0]}"
        return backbone.architecture, f"{imports}\nnetwork = {made}\nnetwork.load_state_dict({file})"
    if not known:
        raise ValueError(f"{backbone.architecture} is not a network of {chosen}; its format is own")
    name = name if chosen == library else name.partition(".")[0]
    with torch.device("meta"):
        _check_fit(backbone, build_network(f"{chosen}:{name}"))
    if chosen == "timm":
        load = f"import timm\nnetwork = timm.create_model({name!r}, num_classes=0, checkpoint_path={str(output)!r})"
    else:
        network = f"network = torchvision.models.{name}()"
        head = f"network.{_classifier(name)} = torch.nn.Identity()"
        load = f"import safetensors.torch, torch, torchvision\n{network}\n{head}\nnetwork.load_state_dict({file})"
    return f"{chosen}:{name}", load


def _check_fit(backbone: Backbone, network: nn.Module) -> None:
    ours = {name: tensor.shape for name, tensor in backbone.state.items()}
    theirs = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if differing := {name for name in ours | theirs if ours.get(name) != theirs.get(name)}:
        raise ValueError(
            f"its weights are not those of the full network ({listed(differing)}); of a probe over an earlier stage "
            "export the encoder's own checkpoint"
        )


def _classifier(name: str) -> str:
    """Return the name of the classifier in a network of torchvision; the file does not hold it."""
    from torchvision import models

    with torch.device("meta"):
        network = models.get_model(name)
    return next(part for part in ("fc", "classifier", "heads", "head") if hasattr(network, part))
