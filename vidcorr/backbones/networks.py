"""Raw networks by name: of timm, torchvision and the hub, or by a callable of the user's."""

from typing import Any

import torch
from torch import nn

from .checkpoints import SUFFIXES
from .description import RANDOM_WEIGHTS, Network, architecture_name
from .extractor import RawColour, eval_mode
from .trust import allow, import_named
from .video import VideoEncoder, from_transformers

SHORT_NAMES = {
    "vidcorr-r18": "vidcorr.backbones:vidcorr_r18",  # ours, in the package: weights/vidcorr-r18.md is its card
    "dino-s16": "timm:vit_small_patch16_224.dino@block12",
    "dino-s8": "timm:vit_small_patch8_224.dino@block12",
    "dino-b16": "timm:vit_base_patch16_224.dino@block12",
    "dino-b8": "timm:vit_base_patch8_224.dino@block12",
    "dinov2-s14": "timm:vit_small_patch14_reg4_dinov2.lvd142m@block12",  # with registers
    "dinov2-b14": "timm:vit_base_patch14_reg4_dinov2.lvd142m@block12",
    "dinov2-l14": "timm:vit_large_patch14_reg4_dinov2.lvd142m@block24",
    "dinov3-s16": "timm:vit_small_patch16_dinov3.lvd1689m@block12",
    "dinov3-b16": "timm:vit_base_patch16_dinov3.lvd1689m@block12",
    "dinov3-l16": "timm:vit_large_patch16_dinov3.lvd1689m@block24",
    "mae-b16": "timm:vit_base_patch16_224.mae@block12",
    "supervised-r18": "timm:resnet18.tv_in1k",
    "supervised-r50": "timm:resnet50.tv_in1k",
    "untrained": "torchvision:resnet18",  # a baseline
}
"""Name → pretrained network, and for a ViT the stage of its published evaluation, or its last block.

Weights of timm come from its cache, or over the network at first use.
"""


def full_name(name: str) -> tuple[str, bool]:
    """Return the spec of a short name and whether the library's weights are wanted; another spec as it is, and False.

    Example:
        >>> full_name("dino-s16")
        ('timm:vit_small_patch16_224.dino', True)
        >>> full_name("torchvision:resnet18")
        ('torchvision:resnet18', False)
    """
    if name not in SHORT_NAMES:
        return name, False
    spec, _, _ = SHORT_NAMES[name].partition("@")
    return spec, spec.startswith("timm:")


def build_network(spec: str, pretrained: bool = False) -> Any:
    """Build a network by its name, without its classifier.

    `timm:NAME` and `torchvision:NAME` take a name of that library, `transformers:NAME` a name of its hub or a folder;
    `package.module:callable` is imported and called without arguments; a short name (`vidcorr-r18`, `dino-b8`, …)
    has its trained weights. Residual blocks of the ResNets start at zero (SimSiam, section 4).

    Args:
        spec: the name, for example `torchvision:resnet18` or `timm:vit_small_patch16_224`.
        pretrained: load the library's weights (supervised or otherwise), from its cache or over the network.

    Returns:
        A module that maps normalised RGB `(N, 3, H, W)` to pooled features `(N, C)`; or the result of an imported
        callable, unchanged, which may be a video encoder (`VideoEncoder`).

    Raises:
        ValueError: if the name has no prefix or the library does not know it.

    Example:
        >>> network = build_network("torchvision:resnet18")
        >>> network(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 512])
    """
    return named_network(spec, pretrained)[0]


def named_network(spec: str, pretrained: bool = False) -> tuple[Any, Network]:
    """Build a network as `build_network` does, and describe it.

    Returns:
        The network, and its description: its full name, the source of its weights, and the seed of random weights.

    Raises:
        ValueError: if the name has no prefix or the library does not know it.
    """
    if spec == "raw_colour":
        return RawColour(), Network(name="raw colour", spec=spec)
    spec, is_pretrained = full_name(spec)
    pretrained = pretrained or is_pretrained
    library, separator, name = spec.partition(":")
    if not separator:
        raise ValueError(
            f"backbone {spec!r}: neither a checkpoint ({', '.join(SUFFIXES)}) nor a short name; write timm:NAME, "
            "torchvision:NAME or package.module:callable"
        )
    network: Any
    origin = f"weights of {library}" if pretrained else RANDOM_WEIGHTS
    seed = None if pretrained else torch.initial_seed()
    if library == "timm":
        network = _timm(name, pretrained)
    elif library == "torchvision":
        network = _torchvision(name, pretrained)
    elif library == "transformers":
        network = from_transformers(name)
        origin = f"weights of {library}"
        seed = None
    elif pretrained:
        raise ValueError(f"backbone {spec}: pretrained=True needs a timm: or torchvision: name")
    else:
        network = imported(library, name)
        origin = f"weights of {spec}"  # random or loaded: only the callable knows
        seed = None
    described = Network(
        name=architecture_name(spec.rpartition(":")[2]),
        weights=origin,
        spec=spec,
        seed=seed,
        loaded=origin != RANDOM_WEIGHTS,
    )
    if isinstance(network, nn.Module):
        # Six times faster in bfloat16 on a CPU, and faster on recent GPUs; values and checkpoints are the same.
        network = network.to(memory_format=torch.channels_last)
    return network, described


def _timm(name: str, pretrained: bool) -> nn.Module:
    """Build a network of timm, with the options by which it takes images of any size."""
    import timm

    if not timm.is_model(name):
        raise ValueError(f"backbone timm:{name}: timm has no such model")
    options: dict[str, Any] = {}
    file = timm.models.model_entrypoint(name).__module__.removeprefix("timm.models.")
    if file in ("vision_transformer", "vision_transformer_hybrid", "deit", "eva"):
        options = {"dynamic_img_size": True, "dynamic_img_pad": True}  # padded to complete patches
    elif file in ("swin_transformer", "swin_transformer_v2"):
        options = {"dynamic_img_size": True}
    return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)


def _torchvision(name: str, pretrained: bool) -> nn.Module:
    """Build a ResNet of torchvision, with an identity in place of its classifier.

    Raises:
        ValueError: for an unknown name, or a network other than a ResNet.
    """
    from torchvision import models

    if models.get_model_builder(name).__module__ != "torchvision.models.resnet":
        raise ValueError(f"backbone torchvision:{name}: no ResNet; timm:NAME has other networks")
    chosen = models.get_model_weights(name).DEFAULT if pretrained else None
    network = models.get_model(name, weights=chosen, zero_init_residual=True)
    network.fc = nn.Identity()
    return network


def imported(module: str, name: str) -> Any:
    """Import the user's callable, and call it without arguments.

    Raises:
        ValueError: if the callable cannot be imported, or does not return a module or a video encoder.
    """
    spec = f"{module}:{name}"
    network = import_named(module, name, f"backbone {spec}")()
    allow(spec)  # the user's call has named and run it; a file that names it has passed the gate
    if not isinstance(network, nn.Module | VideoEncoder):
        raise ValueError(f"backbone {spec}: expected a module or a video encoder, got a {type(network).__name__}")
    return network


def pooled_width(network: nn.Module) -> int:
    """Return the number of channels `C` of a network's map or pooled feature, by a pass of a blank 64 × 64 image.

    Raises:
        ValueError: if it ends with a linear layer.
    """
    with eval_mode(network), torch.no_grad():
        output = network(torch.zeros(1, 3, 64, 64))
    kind = type(network).__name__
    *_, (name, last) = network.named_modules()
    if output.ndim == 2 and isinstance(last, nn.Linear):
        raise ValueError(f"{kind}: ends with a classifier, {name}: put torch.nn.Identity() in its place")
    return output.shape[1]
