"""Stages of a network by name, its input, and its outputs, read as maps."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..description import UNKNOWN, Input
from ..functional.device import random_state_kept
from .calls import part_at
from .copies import device_of
from .extractor import OUTPUT, NoSuchMap, eval_mode, features_by, is_of_library
from .resnet import LAYER_OF_STAGE, is_resnet
from .vit import is_vit

LIBRARIES = ("torchvision", "timm", "transformers", "vidcorr")
CALL = ("forward", "_forward_impl", "forward_features")
OWN = "its own map"
MIN_CELLS = 4
MOST_LEADING = 16
OWN_METHOD = (
    "give it a method feature_extractor(stage, stride) that returns "
    "vidcorr.build_feature_extractor(self.trunk, stage, stride)"
)


def stage_paths(network: Any) -> dict[str, str]:
    """Return the names of a network's stages → paths of the modules that give them, in the order of the call.

    Of a ResNet `res2` … `res5` and blocks, `res4.b1`; of a vision transformer with patches of a
    known side `block1` …; of other networks of timm `stage1` … and `features`. Other networks have no names: there a
    stage is a key of the call's output or the path of a module.
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
    has_blocks = isinstance(getattr(network, "blocks", None), nn.ModuleList | nn.Sequential)
    if is_vit(network) or (not is_of_timm and has_blocks and patch_of(network)):
        return {f"block{number}": f"blocks.{name}" for number, name in enumerate(network.blocks._modules, start=1)}
    if not (is_of_timm and hasattr(network, "forward_features")):
        return {}
    infos = network.feature_info if isinstance(getattr(network, "feature_info", None), list) else []
    paths = {f"stage{number}": info["module"] for number, info in enumerate(infos, start=1)}
    return {name: path for name, path in paths.items() if part_at(network, path)} | {OUTPUT: "forward_features"}


def options_of_call(network: object) -> dict[str, Any]:
    """Return the options by which an image model of `transformers` takes any size; {} for other networks."""
    forward: Any = getattr(network, "forward", None)
    if not str(getattr(forward, "__module__", "")).startswith("transformers."):
        return {}
    words = inspect.signature(forward).parameters
    if "pixel_values" not in words:
        return {}
    return {"return_dict": True} | {name: True for name in words if name == "interpolate_pos_encoding"}


def is_of_librarys_call(network: object) -> bool:
    """Return whether a library, not a user's class or object, defines the call of a network."""
    owners = (network, *type(network).__mro__)
    owner: Any = next((owner for owner in owners if not vars(owner).keys().isdisjoint(CALL)), nn.Module)
    return owner is not network and owner.__module__.partition(".")[0] in LIBRARIES


def certain_input(network: object) -> Input | None:
    """Return the RGB that a network gets if nobody states it; None if it depends on what its call gives."""
    names = stage_paths(network)
    if options_of_call(network) or (names and is_of_librarys_call(network)):
        return UNKNOWN
    return None if names else Input()


def patch_of(network: object) -> int | None:
    """Return the distance between a transformer's patches, pixels; None without one, or with two.

    It is the stride of the projection `patch_embed.proj`, if there is one, since patches may overlap. Else it is
    `patch_size` of the network, its `patch_embed`, `embeds` or `config`.
    """
    parts = [getattr(network, name, None) for name in ("patch_embed", "embeds", "config")]
    step = getattr(getattr(parts[0], "proj", None), "stride", None)
    if isinstance(step, tuple) and isinstance(step[-1], int):
        return step[-1]
    for holder in (network, *parts):
        patch: Any = getattr(holder, "patch_size", None)
        sides = [patch] if isinstance(patch, int) else list(patch or ())[-2:]  # a third number counts frames
        if len(set(sides)) == 1:
            return int(sides[0])
    return None


def stated_stride(network: object) -> int | None:
    """Return a network's attribute `stride`, pixels per cell; None if it is missing, or a tuple as a convolution's."""
    stride = getattr(network, "stride", None)
    return stride if isinstance(stride, int) else None


def map_of_tokens(output: object, patch: int | None, size: Sequence[int]) -> Any:
    """Return tokens `(N, tokens, C)` as a map `(N, C, h, w)`, without the class and register tokens before them.

    An output of another form, with fewer tokens than patches, or over 16 more, is returned as it is.

    Args:
        patch: side of a patch, pixels; None if it is unknown.
        size: height and width of the images, pixels.

    Example:
        >>> tokens = torch.tensor([-1, 10, 11, 12, 13, 14, 15]).view(1, 7, 1)  # a class token, and 2 x 3 patches
        >>> map_of_tokens(tokens, 8, (16, 24))
        tensor([[[[10, 11, 12],
                  [13, 14, 15]]]])
    """
    if patch is None or not isinstance(output, Tensor) or output.ndim != 3:
        return output
    rows, columns = size[0] // patch, size[1] // patch
    leading = output.shape[1] - rows * columns
    if not 0 <= leading <= MOST_LEADING:
        return output
    return output[:, leading:].mT.unflatten(2, (rows, columns))


def maps_in(network: object, output: object, size: Sequence[int]) -> dict[str, Any]:
    """Return name → map, for the maps in an output of a network's call; tokens become maps.

    A dictionary's maps have its keys as names; a list's maps the names in timm's `feature_info`, else their indices.
    Members that are no maps are left out. A single output is returned under the name `OUTPUT`, even if it is no map.

    Args:
        size: height and width of the images, pixels.
    """
    patch = patch_of(network)
    output = getattr(output, "last_hidden_state", output)
    if isinstance(output, Mapping):
        members = dict(output)
    elif isinstance(output, list | tuple):
        info: Any = getattr(network, "feature_info", None)
        names = info.module_name() if hasattr(info, "module_name") else range(len(output))
        members = dict(zip(names, output, strict=False))
    else:
        return {OUTPUT: map_of_tokens(output, patch, size)}
    maps: dict[str, Any] = {}
    for name, member in members.items():
        read = map_of_tokens(member, patch, size)
        if is_map(read):
            maps[str(name)] = read
    return maps


def probe_size(multiple: int, sides: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of a probe's image: `sides`, rounded up to multiples of `multiple`."""
    height, width = sides
    return height + -height % multiple, width + -width % multiple


def check_map(features: Tensor, name: str) -> None:
    """Refuse a map `(…, h, w)` that is too coarse to distinguish positions.

    Raises:
        ValueError: if the map has fewer than 4 × 4 cells.
    """
    height, width = features.shape[-2:]
    if min(height, width) < MIN_CELLS:
        raise NoSuchMap(f"{name}: {height} x {width} cells, too few to distinguish positions: take a finer stage")


def is_map(output: object) -> bool:
    """Return whether an output is a tensor `(N, C, h, w)` of real numbers."""
    return isinstance(output, Tensor) and output.ndim == 4 and not output.is_complex()


def has_cells(output: Any) -> bool:
    """Return whether an output is a map of more than one cell, and no pooled vector."""
    return is_map(output) and output.shape[2:].numel() > 1


def form_of(output: object) -> str:
    """Return the shape and type of an output, for messages."""
    return f"{tuple(output.shape)} of {output.dtype}" if isinstance(output, Tensor) else type(output).__name__


def require_map(output: Any, name: str) -> Tensor:
    """Return an output of a network, if it is a map.

    Raises:
        ValueError: for anything but a tensor `(N, C, h, w)` of real numbers.
    """
    if not is_map(output):
        remedies = (
            f"name a part that gives one, NETWORK@PATH, or leave pooling and classifier out, or {OWN_METHOD}; tokens "
            "become a map by an attribute patch_size of the network, or as in docs/extend.md, 'A network of tokens'"
        )
        raise NoSuchMap(f"{name}: expected a map (N, C, h, w), got {form_of(output)}: {remedies}")
    return output


def require_stride(features: Tensor, name: str, stride: int, size: tuple[int, int]) -> None:
    """Refuse a map that has not as many cells as its stride gives: its cells would lie elsewhere than the stride says.

    Args:
        features: `(N, C, h, w)`.
        size: height and width of the image, pixels.

    Raises:
        ValueError: naming both sizes.
    """
    for count, side in zip(features.shape[2:], size, strict=True):
        if count not in (side // stride, -(-side // stride)):  # a last incomplete cell may be dropped or kept
            given = f"{tuple(features.shape)} of a {size[0]} x {size[1]} image"
            remedy = "cut its padding, pad its convolutions, or .permute(0, 3, 1, 2) a map of channels last"
            raise NoSuchMap(f"{name}: its map {given} has not the cells of stride {stride}: {remedy}")


def settled_stride(view: Any) -> Any:
    """Return the stride of a view, pixels per cell; if the view has none yet, measure it on a blank frame and set it.

    Returns:
        None for a video encoder that cannot encode the blank frame, for example because it takes frames of one size; it
        sets its stride with the first frame of a video.
    """
    if view.stride is None:
        size = probe_size(view.multiple, (256, 320))
        frame = torch.zeros(1, 3, *size, device=device_of(view))
        try:
            with eval_mode(view), random_state_kept():
                features = features_by(lambda images: next(view.encode(iter(images)))[None], frame)
            stride = max(round(size[0] / features.shape[2]), 1)
            require_stride(features, view.network_name, stride, size)
            check_map(features, view.network_name)
            view.stride = stride
        except Exception:  # of a user's code; `encode` raises it again for frames of a video
            view.stride = None  # `encode` may have set one before the error
    return view.stride
