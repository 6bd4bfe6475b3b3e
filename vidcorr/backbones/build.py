"""Feature extractors of modules, checkpoints and named networks."""

import hashlib
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..functional.device import PendingCopy, require_weights
from .checkpoints import SUFFIXES, encoder_from_checkpoint, method_of
from .description import Network, path_to_network, spec_of
from .encoders import (
    Encoder,
    NamedEncoder,
    StageNames,
    encoder_by_name,
    from_recipe,
    gives_extractors,
    recipe_of_encoder,
    usual_normalisation,
)
from .eval_mode import networks_of
from .extractor import FeatureExtractor
from .liir_encoder import LiirEncoder
from .networks import named_network
from .trust import import_path
from .video import VideoEncoder, VideoNetwork


def build_encoder(
    spec: str | Path | nn.Module,
    pretrained: bool = False,
    recipe: dict | None = None,  # a bare `dict`: jsonargparse would parse a typed one
) -> Any:
    """Build the encoder of a module, a checkpoint or a name.

    Args:
        spec: a module; the path of a checkpoint; or a name: `timm:NAME`, `torchvision:NAME`, `package.module:callable`,
            a short name such as `vidcorr-r18`, or `raw_colour`.
        pretrained: load the library's weights, for names of timm and torchvision.
        recipe: class and arguments of an encoder, from `encoder_hparams`: build this with fresh weights instead.

    Returns:
        An `nn.Module` with a method `feature_extractor(stage, stride)`.

    Raises:
        ValueError: for an unknown form of spec.
    """
    if recipe is not None:
        return from_recipe(recipe)
    if gives_extractors(spec):
        return spec
    if isinstance(spec, Path) or (isinstance(spec, str) and spec.endswith(SUFFIXES)):
        return encoder_from_checkpoint(spec)
    if isinstance(spec, str):
        return encoder_by_name(spec, pretrained)
    if isinstance(spec, VideoEncoder):
        return VideoNetwork(spec)
    return Encoder(spec)


def encoder_hparams(encoder: nn.Module, argument: str) -> dict[str, Any]:
    """Return the hyper-parameters that make a checkpoint self-contained: the encoder's recipe and `pretrained=False`.

    Args:
        encoder: result of `build_encoder`.
        argument: name of the hyper-parameter with the encoder's spec.

    Returns:
        `encoder`: its recipe, None if the name is enough; `pretrained`: False, because the checkpoint has the weights;
        and the spec of a named network, where a short name would load its trained weights again.
    """
    recipe = None
    hparams = getattr(encoder, "hparams", None)  # a LightningModule's
    if hparams is not None:
        arguments = {name: value for name, value in hparams.items() if not name.startswith("_")}
        recipe = {"class_path": import_path(type(encoder)), "init_args": arguments}
    elif not _name_suffices(encoder):
        recipe = recipe_of_encoder(encoder)
    known: dict[str, Any] = {"encoder": recipe, "pretrained": False}
    spec = spec_of(encoder)
    if hparams is None and spec:
        known[argument] = spec
    return known


def _name_suffices(encoder: object) -> bool:
    """Return whether `build_encoder` makes an encoder again from its network's name alone."""
    if not isinstance(encoder, NamedEncoder) or encoder.arguments.keys() - {"spec", "mean", "std"}:
        return False
    return (encoder.mean, encoder.std) == usual_normalisation(encoder.network)


def build_feature_extractor(
    spec: str | Path | nn.Module,
    stage: StageNames = None,
    stride: int | None = None,
    pretrained: bool = False,
) -> nn.Module:
    """Turn a module, a checkpoint or a name into a feature extractor.

    Args:
        spec: a LightningModule with `feature_extractor`, or the path of its checkpoint; `timm:NAME`;
            `torchvision:NAME`; `package.module:callable`; or `raw_colour`, the baseline without training. An object
            with `encode` (frames of a video → a map per frame), or a callable that returns it, is a video encoder,
            returned with its networks in eval mode.
        stage: a name, or a list of names for several maps; None takes res4 of a ResNet, the last block of a ViT.
        stride: pixels per cell; None takes 8 for a ResNet and the patch of a ViT.
        pretrained: load the library's weights, for names of timm and torchvision.

    Returns:
        A module in eval mode: float RGB `(N, 3, H, W)` in [0, 1] → `(N, C, h, w)`, with `.stride`.

    Raises:
        ValueError: for an unknown form of spec, or a stage or stride that the network does not have.

    Example:
        >>> import torch
        >>> extractor = build_feature_extractor("torchvision:resnet18", stage="res4", stride=8)
        >>> extractor(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 256, 8, 12])
    """
    extractor: nn.Module = build_encoder(spec, pretrained).feature_extractor(stage, stride)
    return extractor


def weights_digest(module: object) -> str:
    """Return the first 12 hexadecimal digits of a digest of all weights in order: types, shapes and numbers, no names.

    For a video encoder that is not a module, digest the networks that it holds.

    Raises:
        ValueError: if a network has no weights yet.
    """
    weights: list[torch.Tensor] = []
    for network in networks_of(module):
        require_weights(network)
        weights += [tensor.detach() for tensor in network.state_dict().values() if isinstance(tensor, torch.Tensor)]
    forms = "; ".join(f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in weights)
    digest = hashlib.blake2b(forms.encode())
    contents = [_bytes_of(tensor) for tensor in weights]
    for device, of_device in groupby(contents, key=attrgetter("device")):
        parts = list(of_device)
        if device.type != "cpu":
            parts = [PendingCopy(torch.cat(parts)).wait()]  # one copy, not one for each weight
        for part in parts:
            digest.update(part.numpy().data)
    return digest.hexdigest()[:12]


def _bytes_of(tensor: torch.Tensor) -> torch.Tensor:
    """Return the numbers of a tensor of any layout as bytes.

    Raises:
        ValueError: for a tensor on the meta device, which has no numbers.
    """
    if tensor.is_meta:
        raise ValueError("the network lies on the meta device, without values: load its weights first")
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    plain = tensor.resolve_conj().resolve_neg()
    return plain.contiguous().reshape(-1).view(torch.uint8)


def require_name(backbone: object) -> None:
    """Refuse a module in place of a name, by which a checkpoint makes the network again.

    Raises:
        ValueError: one line that names the form to write.
    """
    if not isinstance(backbone, str):
        kind = type(backbone).__name__
        raise ValueError(
            f"backbone: expected a name, got a {kind}: write it into a function of a file of yours and name that, "
            "my_module:my_network; a checkpoint makes the network again by its name"
        )


def trainable_network(spec: str) -> tuple[nn.Module, Network]:
    """Build the network that a method trains: fresh, or with the weights of a checkpoint.

    Args:
        spec: a name for `build_network`; or a checkpoint of ours, for example from `vidcorr convert`.

    Returns:
        The network, and its description, whose `spec` makes the network again.

    Raises:
        ValueError: for an unknown form of spec, or a checkpoint with a part of a network.
    """
    require_name(spec)
    if not spec.endswith(SUFFIXES):
        return named_network(spec)
    module = encoder_from_checkpoint(spec)
    network: Any = path_to_network(module)[-1]
    if isinstance(network, FeatureExtractor | LiirEncoder) or not spec_of(module):
        raise ValueError(f"{spec}: {method_of(spec)} has no full network to train")
    trainable: nn.Module = network.requires_grad_(True).train()
    return trainable, Network.of(module)
