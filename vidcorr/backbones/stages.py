"""What is known of a network before it is called: its stages by name, and the options of its call, and its input."""

import inspect
from typing import Any

import torch
from torch import nn

from ..description import IMAGENET_MEAN, IMAGENET_STD, UNKNOWN, Input
from .calls import part_at
from .extractor import OUTPUT, is_of_library
from .outputs import patch_of
from .resnet import LAYER_OF_STAGE, is_resnet
from .vit import is_vit

LIBRARIES = ("torchvision", "timm", "transformers", "vidcorr")
"""Packages whose networks' calls end with the last stage that has a name."""
CALL = ("forward", "_forward_impl", "forward_features")
"""Methods that make up the call of a network."""

OF_DINO = Input(mean=IMAGENET_MEAN, std=IMAGENET_STD, source="the default of DINO's, DINOv2's and DINOv3's")


def stage_paths(network: Any) -> dict[str, str]:
    """Return the names of a network's stages → paths of the modules that give them, in the order of the call.

    Of a ResNet `res2` … `res5` and blocks, `res4.b1`; of a vision transformer with patches of a
    known side `block1` …; of other networks of timm `stage1` … and `features`. Other networks have no names: there a
    stage is a key of the call's output or the path of a module.

    Example:
        >>> from torchvision.models import resnet18
        >>> paths = stage_paths(resnet18())
        >>> paths["res4"], paths["res4.b1"]
        ('layer3', 'layer3.0')
    """
    if isinstance(network, torch.jit.ScriptModule):
        return {}
    own: dict[str, str] = getattr(network, "stages_of_call", {})
    if is_resnet(network) or own:
        paths: dict[str, str] = {}
        for stage, layer in LAYER_OF_STAGE.items():
            part = network.get_submodule(layer)
            is_plain = type(part) is nn.Sequential  # an adapter around a stage has no blocks of its own
            blocks = [name for name, _ in part.named_children()] if is_plain else []
            paths |= {f"{stage}.b{number}": f"{layer}.{name}" for number, name in enumerate(blocks, start=1)}
            if blocks or not is_plain:  # an empty Sequential is a stage that was taken out
                paths[stage] = layer
        return paths | own
    is_of_timm = is_of_library(network, "timm")
    if is_vit(network) or (not is_of_timm and has_blocks(network)):
        return {f"block{number}": f"blocks.{name}" for number, name in enumerate(network.blocks._modules, start=1)}
    if not (is_of_timm and hasattr(network, "forward_features")):
        return {}
    infos = network.feature_info if isinstance(getattr(network, "feature_info", None), list) else []
    paths = {f"stage{number}": info["module"] for number, info in enumerate(infos, start=1)}
    return {name: path for name, path in paths.items() if part_at(network, path)} | {OUTPUT: "forward_features"}


def has_blocks(network: Any) -> bool:
    """Return whether a network is a transformer in DINO's layout: `blocks`, and patches of a known side."""
    blocks = getattr(network, "blocks", None)
    return isinstance(blocks, nn.ModuleList | nn.Sequential) and patch_of(network) is not None


def options_of_call(network: Any) -> dict[str, Any]:
    """Return the options by which an image model of `transformers` takes any size; {} for other networks."""
    forward: Any = getattr(network, "forward", None)
    if not str(getattr(forward, "__module__", "")).startswith("transformers."):
        return {}
    words = inspect.signature(forward).parameters
    if "pixel_values" not in words:
        return {}
    return {"return_dict": True} | {name: True for name in words if name == "interpolate_pos_encoding"}


def is_of_librarys_call(network: Any) -> bool:
    """Return whether a library, not a user's class or object, defines the call of a network."""
    owners = (network, *type(network).__mro__)
    owner: Any = next((owner for owner in owners if not vars(owner).keys().isdisjoint(CALL)), nn.Module)
    return owner is not network and owner.__module__.partition(".")[0] in LIBRARIES


def certain_input(network: Any) -> Input | None:
    """Return the RGB that a network gets if nobody states it; None if it depends on what its call gives."""
    if has_blocks(network) and hasattr(network, "get_intermediate_layers") and not is_of_library(network, "timm"):
        return OF_DINO
    if options_of_call(network):
        return UNKNOWN
    if not stage_paths(network):
        return Input()
    return UNKNOWN if is_of_librarys_call(network) else None
