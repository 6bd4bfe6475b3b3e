"""The door to a network: its text, a file or a module becomes an `Encoder`."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..functional.device import random_state_kept
from .checkpoints import METADATA_KEY, load_weights, loaded, read_content, recipe_of, without_prefix
from .description import Network
from .encoder import Encoder
from .foreign import fitting, weights_in
from .liir_encoder import LiirEncoder
from .networks import OWN_CHECKPOINT, SUFFIXES, NamedNetwork, is_checkpoint, local_file, split_view
from .trust import allow, check_names, constructed, import_named, make, own_arguments
from .video import VideoEncoder


def load(network: Any, pretrained: bool = False, seed: int | None = 0) -> Encoder:
    """Load a network, from whatever names or holds it.

    Args:
        network: a name: `timm:NAME`, `torchvision:NAME`, `transformers:NAME`, `package.module:callable`, a short name
            such as `vidcorr-r18`, or `raw_colour`; the path of a checkpoint, or its address on the hub
            (`hf://OWNER/NAME/FILE`); the weights of a module of yours, `package.module:Class=FILE`; each with
            `@STAGE/STRIDE` for the encoder's defaults. Or a `NamedNetwork`, with its own weights and seed. Or a module:
            a LightningModule, a network, an extractor or a video encoder.
        pretrained: load the library's weights, for names of timm and torchvision.
        seed: seed of random weights; None draws them from torch's state.

    Raises:
        ValueError: one line, for an unknown name, a file that is missing, damaged or of another project, or code that a
            file may not name.

    Example:
        >>> load("torchvision:resnet18").view("res4", 8)(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 256, 8, 12])
    """
    if isinstance(network, str | Path):
        network = NamedNetwork(str(network), pretrained=pretrained, seed=seed)
    if not isinstance(network, NamedNetwork):
        return network if isinstance(network, Encoder) else Encoder(network)
    spec = network.spec
    own = OWN_CHECKPOINT.fullmatch(spec)
    with ExitStack() as stack:
        if network.seed is not None:
            stack.enter_context(random_state_kept())
            torch.manual_seed(network.seed)
        if own is not None:
            encoder = Encoder(own_module(*own.groups()))
        elif spec.endswith(SUFFIXES):
            encoder = encoder_from_checkpoint(spec)
        else:
            encoder = Encoder(network)
    encoder.default_stage = network.stage or encoder.default_stage
    encoder.default_stride = network.stride or encoder.default_stride
    return encoder


def build_feature_extractor(
    network: Any, stage: str | None = None, stride: int | None = None, pretrained: bool = False
) -> nn.Module:
    """Return a feature extractor of a network.

    Args:
        network: as `load` takes it. Random weights are drawn from torch's state.
        stage: a name, or names with + between them; None takes res4 of a ResNet, the last block of a ViT.
        stride: pixels per cell; None takes 8 for a ResNet and the patch of a ViT.
        pretrained: load the library's weights, for names of timm and torchvision.

    Returns:
        A module in eval mode: float RGB `(N, 3, H, W)` in [0, 1] → `(N, C, h, w)`, with `.stride`; or the video
        encoder itself.

    Raises:
        ValueError: as `load`; or if the network does not have the stage or the stride.

    Example:
        >>> extractor = build_feature_extractor("torchvision:resnet18", stage="res4", stride=8)
        >>> extractor(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 256, 8, 12])
    """
    encoder = load(network, pretrained, seed=None)
    return encoder.view(stage, stride)


def encoder_from_checkpoint(path: str | Path) -> Encoder:
    """Load the encoder by which benchmarks see the module of a checkpoint.

    A checkpoint states its encoder as a class of this library with its arguments, so that neither Lightning nor the
    module's own class is needed. For a module with features of its own, the module itself is loaded.

    Args:
        path: a checkpoint written by this project, a file from `vidcorr export`, or an address on the hub
            (`hf://OWNER/NAME/FILE`).

    Returns:
        The encoder on the CPU, in eval mode.

    Raises:
        ValueError: if the file is missing, damaged or of another project, names code that is not allowed, or does not
            fit its encoder.
    """
    path = local_file(path)
    checkpoint = read_content(path)
    recipe_of(checkpoint, path)  # refuses code that the file names, also for resuming it
    saved = checkpoint[METADATA_KEY].get("encoder")
    if saved is None:
        return Encoder(module_from_checkpoint(path))
    encoder = load(make(saved, path))
    load_weights(encoder.network, without_prefix(checkpoint["state_dict"], saved["prefix"]), path)
    encoder.described = encoder.described.with_weights_of(path)
    return encoder.eval()


def module_from_checkpoint(path: str | Path, **overrides: Any) -> Any:
    """Load the LightningModule that a checkpoint holds.

    Args:
        path: a checkpoint written by this project.
        overrides: arguments that override the saved arguments.

    Returns:
        The module on the CPU, in eval mode.

    Raises:
        ValueError: if the file is missing, damaged or of another project, names code that is not allowed, or does not
            fit its class.
    """
    path = local_file(path)
    checkpoint = read_content(path)
    return loaded(make(recipe_of(checkpoint, path), path, **overrides), checkpoint["state_dict"], path)


def own_module(module: str, name: str, file: str) -> nn.Module:
    """Load the weights of a module of the user's: a checkpoint of Lightning with its arguments, or a state dict.

    Args:
        module: the module of the class.
        name: a class, or a function that returns a module; without saved arguments it is called without any.
        file: the file.

    Raises:
        ValueError: one line, if the class cannot be imported or made, the file is damaged, or one does not fit the
            other.
    """
    path = local_file(file)
    content = read_content(path)
    allow(f"{module}.{name}")
    kind = import_named(module, name, f"network {module}:{name}")
    state, _, _ = weights_in(content, path)
    arguments = own_arguments(content.get("hyper_parameters", {}))
    if hasattr(kind, "encoder_in_checkpoint"):  # of our base: its arguments name networks
        arguments = check_names({"class_path": f"{module}.{name}", "init_args": arguments}, path)["init_args"]
    try:
        made = constructed(kind, arguments, path)
        own: nn.Module = loaded(made, fitting(state, made), path)
    except ValueError as error:
        remedy = f"name a function that returns the network for these weights, {module}:my_network={file}"
        raise ValueError(f"{error}; or {remedy}") from error
    return own


def require_name(backbone: object) -> None:
    """Refuse a module in place of a name, by which a checkpoint makes the network again.

    Raises:
        ValueError: one line that names the form to write.
    """
    if not isinstance(backbone, str):
        kind = type(backbone).__name__
        raise ValueError(f"backbone: expected a name such as my_module:my_network, got a {kind}")


def trainable_network(spec: str) -> tuple[nn.Module, Network]:
    """Build the network that a method trains: fresh, or with the weights of a checkpoint.

    Args:
        spec: a name of a raw network; or a checkpoint of ours, for example from `vidcorr convert`.

    Returns:
        The network, and its description, whose `spec` makes the network again.

    Raises:
        ValueError: for an unknown form of spec, or a checkpoint with a part of a network.
    """
    require_name(spec)
    _, view = split_view(spec)
    if view:
        raise ValueError(f"{spec}: a method trains a whole network: leave @{view} out")
    if not is_checkpoint(spec):
        return NamedNetwork(spec).build()
    encoder = encoder_from_checkpoint(spec)
    if encoder.recipe is None or isinstance(encoder.network, LiirEncoder | VideoEncoder):
        raise ValueError(f"{spec}: {type(encoder.network).__name__} has no full network to train")
    trainable: nn.Module = encoder.network.requires_grad_(True).train()
    return trainable, encoder.described
