"""The door to a network: its text, a file or a module becomes an `Encoder`."""

import copy
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..description import IMAGENET_MEAN, IMAGENET_STD, Input, Network, stated_input
from ..functional.device import random_state_kept
from .checkpoints import METADATA_KEY, is_foreign, load_weights, loaded, read_content, recipe_of, without_prefix
from .copies import Reference
from .encoder import Encoder, unwrapped
from .extractor import Dilated
from .families import fitted_to_library, taken
from .foreign import fitted, positions_resampled, weights_in
from .hub_models import is_folder_of_model, record_of_timm
from .liir_encoder import LiirEncoder
from .networks import (
    HUB,
    LIBRARIES,
    WITH_WEIGHTS,
    EncoderSpec,
    file_and_part,
    is_checkpoint,
    local_file,
    split_view,
    with_channels_last,
)
from .outputs import MapExtractor
from .pooling import pool_patches
from .trust import Refused, allow, check_recipe, constructed, import_named, import_path, make, own_arguments
from .video import VideoEncoder

FAMILY = "family:"
"""Prefix of a family of weights, `family:tcore=FILE`, whose names are those of another one."""
TRAINED = "as in training"
"""Source of the input of a network that a method of ours trains."""


def load(
    network: Any,
    pretrained: bool = False,
    seed: int | None = 0,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Encoder:
    """Load a network, from whatever names or holds it.

    Args:
        network: a name: `timm:NAME`, `torchvision:NAME`, `torchhub:OWNER/REPO:ENTRY`, `transformers:NAME`,
            `package.module:callable`, a short name such as `vidcorr-r18`, or `raw_colour`; the path of a checkpoint, or
            its address on the hub (`hf://OWNER/NAME/FILE`); a name with a file of its weights, `timm:NAME=FILE`,
            `package.module:Class=FILE`; each with `@STAGE/STRIDE` for the encoder's defaults. Or an `EncoderSpec`, with
            its own weights, seed and input. Or a module: a LightningModule, a network, an extractor, an `Encoder` or a
            video encoder.
        pretrained: load the library's weights, for names of timm and torchvision.
        seed: seed of random weights; None draws them from torch's state.
        mean: mean of RGB in [0, 1] in the network's training; None: as the network or its library states.
        std: standard deviation of RGB in [0, 1] in the network's training, given with `mean`.

    Raises:
        ValueError: one line, for an unknown name, a file that is missing, damaged or of another project, code that a
            file may not name, or a mean without a deviation.

    Example:
        >>> load("torchvision:resnet18").view("res4", 8)(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 256, 8, 12])
    """
    if isinstance(network, str | Path):
        network = EncoderSpec(str(network), pretrained=pretrained, seed=seed)
    if isinstance(network, EncoderSpec):
        encoder = _of_name(network)
    elif isinstance(network, Encoder):
        encoder = copy.copy(network)  # the caller's keeps its input
    else:
        module = unwrapped(network)
        # a method of ours without features of its own has those of its backbone
        encoder = Encoder(module) if getattr(module, "has_own_features", True) else module.evaluated
        encoder.user_module = Reference(module)
        encoder.is_ours = False  # the module stays where it is
    encoder.stated = stated_input(mean, std) or encoder.stated
    return encoder


def _of_name(named: EncoderSpec) -> Encoder:
    """Make a network by its name or file; its encoder has the input, stage and stride that the name states."""
    spec = named.spec
    with ExitStack() as stack:
        if named.seed is not None:
            stack.enter_context(random_state_kept())
            torch.manual_seed(named.seed)
        if named.name_and_file is not None:
            name, place = named.name_and_file
            family = name.removeprefix(FAMILY) if name.startswith(FAMILY) else None
            encoder = _of_foreign(place, family) if family else Encoder(with_weights_of(name, place))
        elif is_checkpoint(spec) and not named.is_stated:
            encoder = _of_checkpoint(spec)
        else:
            network, described = named.build()
            encoder = Encoder(network, described=described)
    encoder.is_ours = True
    encoder.stated = named.input or encoder.stated
    encoder.default_stage = named.stage or encoder.default_stage
    encoder.default_stride = named.stride or encoder.default_stride
    return encoder


def build_feature_extractor(
    network: Any,
    stage: str | None = None,
    stride: int | None = None,
    pretrained: bool = False,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    dilated: Dilated = False,
) -> Any:
    """Return a feature extractor of a network, which shares its weights and changes nothing in it.

    Args:
        network: as `load` takes it. Random weights are drawn from torch's state.
        stage: a name, or names with + between them; None takes res4 of a ResNet, the last block of a ViT.
        stride: pixels per cell; None takes 8 for a ResNet and the patch of a ViT.
        pretrained: load the library's weights, for names of timm and torchvision.
        mean: mean of RGB in [0, 1] in the network's training, as `load` takes it.
        std: standard deviation of RGB in [0, 1] in the network's training, given with `mean`.
        dilated: SiamFC's dilations, as `ResNetExtractor` takes them; of a ResNet only.

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
    return load(network, pretrained, seed=None, mean=mean, std=std).view(stage, stride, dilated)


def _of_checkpoint(place: str) -> Encoder:
    """Load the encoder by which benchmarks see the module of a checkpoint, on the CPU, in eval mode.

    Weights of another project are the network of their family.

    A checkpoint states its encoder as a class of this library with its arguments, so that neither Lightning nor the
    module's own class is needed. For a module with features of its own, the module itself is loaded.

    Raises:
        ValueError: if the file is missing, damaged or of another project, names code that is not allowed, or does not
            fit its encoder.
    """
    path, part = file_and_part(place)
    checkpoint = read_content(path)
    if part or is_foreign(checkpoint):
        return _of_foreign(place, None, checkpoint)
    recipe = recipe_of(checkpoint, path)  # refused too if the encoder does not need it, but who resumes does
    saved = checkpoint[METADATA_KEY].get("encoder")
    if saved is None:
        return Encoder(loaded(make(recipe, path), checkpoint["state_dict"], path))
    encoder = encoder_of(saved, path)
    load_weights(encoder.network, without_prefix(checkpoint["state_dict"], str(saved.get("prefix", ""))), path)
    encoder.described = encoder.described.with_weights_of(path)
    return encoder.eval()


def _of_foreign(place: str, family: str | None, content: Any = None) -> Encoder:
    """Load the network of another project's weights, on the CPU, in eval mode.

    Args:
        place: the file, or `FILE#PART`.
        family: name in `FAMILIES`; None: as the weights' names show.
        content: content of the file, if it was read.

    Raises:
        ValueError: one line, if the family is not known, or the weights do not fit its network.
    """
    path, part = file_and_part(place)
    record = record_of_timm(path.parent)
    if family is None and record:
        return Encoder(with_weights_of(f"timm:{record['architecture']}", place))
    if family is None and is_folder_of_model(str(path.parent)):
        raise ValueError(f"{path}: its folder is a network of transformers, {path.parent}; name the folder")
    content = read_content(path) if content is None else content
    found = taken(weights_in(content, path, part), path, family)
    encoder = encoder_of(found.recipe, path)
    is_plain = found.recipe["class_path"] == import_path(Encoder)
    module = encoder.network if is_plain else encoder.user_module.module
    weights = positions_resampled(fitted(found.state, module, path, drop_classifier=True), module, path)
    load_weights(module, weights, f"{path}, taken for {found.family}")
    encoder.described = encoder.described.with_weights_of(path)
    return encoder.eval()


def encoder_of(recipe: object, source: str | Path) -> Encoder:
    """Make the encoder of a recipe in a file, with fresh weights; code that it names has to be allowed.

    Args:
        recipe: `class_path` and `init_args`, as `Encoder.recipe` returns them.
        source: the file, for messages.

    Raises:
        ValueError: if the recipe names code that is not allowed, or the constructor refuses the arguments.
    """
    accepted = check_recipe(recipe, source)
    if accepted["class_path"] != import_path(Encoder):
        return load(make(recipe, source))
    made: Encoder = constructed(_encoder_by_name, accepted["init_args"], source)
    return made


def _encoder_by_name(
    spec: str,
    mean: Any = None,
    std: Any = None,
    stage: str | None = None,
    stride: int | None = None,
    arguments: dict | None = None,
) -> Encoder:
    """Make the encoder of the arguments in a checkpoint, without its weights."""
    stated = None if mean is None or std is None else Input.of(mean, std, "of the checkpoint")
    return _of_name(EncoderSpec(spec, stage, stride, seed=None, input=stated, arguments=arguments))


def module_from_checkpoint(path: str | Path, strict: bool = True, **overrides: Any) -> Any:
    """Load the LightningModule that a checkpoint holds.

    Args:
        path: a checkpoint written by this project.
        strict: refuse weights whose names differ.
        overrides: arguments that override the saved arguments.

    Returns:
        The module on the CPU, in eval mode.

    Raises:
        ValueError: if the file is missing, damaged or of another project, names code that is not allowed, or does not
            fit its class.
    """
    path = local_file(path)
    checkpoint = read_content(path)
    return loaded(make(recipe_of(checkpoint, path), path, **overrides), checkpoint["state_dict"], path, strict)


def with_weights_of(name: str, place: str) -> nn.Module:
    """Make a network by its name, and load the weights of a file.

    Args:
        name: a name of a library or of torch.hub; or of the user's class, or a function that returns a module: from a
            checkpoint of Lightning it gets its saved arguments, else it is called without any.
        place: the file, or `FILE#PART` of a file with several encoders.

    Raises:
        ValueError: one line, if the network cannot be made, the file is damaged, or one does not fit the other.
    """
    path, part = file_and_part(place)
    content = read_content(path)
    state = weights_in(content, path, part)
    try:
        if name.startswith((*LIBRARIES, HUB)):
            network, described = EncoderSpec(name).build(with_weights=False)
            if name.startswith("timm:"):
                network.pretrained_cfg = _record_beside(name, path)  # type: ignore[assignment]
            weights = fitted_to_library(state, network, name, path)
        else:
            network, described = _users_network(name, content, path)
            weights = fitted(state, network, path)
        load_weights(network, positions_resampled(weights, network, path), path)
    except Refused:
        raise
    except ValueError as error:
        remedy = f"name a function that returns the network for these weights, my_module:my_network={path}"
        raise ValueError(f"{error}; or {remedy}") from error
    network.described = described.with_weights_of(path)  # type: ignore[assignment]
    return with_channels_last(network.eval())


def _record_beside(name: str, path: Path) -> dict[str, Any]:
    """Return timm's record for weights of a file: that beside the file, else of a name with a tag timm's own.

    A name without a tag says nothing of the file's input: ImageNet's is taken, and the source says so.
    """
    import timm

    record = record_of_timm(path.parent)
    if "mean" in record:
        return record
    architecture, _, tag = name.removeprefix("timm:").partition(".")
    own = timm.get_pretrained_cfg(f"{architecture}.{tag}") if tag else None
    if own is not None:
        return own.to_dict()
    source = f"of {path.name} it is not known: ImageNet's taken"
    return {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "file": source}


def _users_network(name: str, content: Any, path: Path) -> tuple[nn.Module, Network]:
    """Make a network of the user's class or function with the arguments in a checkpoint, and describe it.

    Raises:
        ValueError: one line, if it cannot be made.
    """
    module, _, kind_name = name.partition(":")
    allow(f"{module}.{kind_name}")
    kind = import_named(module, kind_name, f"network {name}")
    arguments = own_arguments(content.get("hyper_parameters", {}))
    network: nn.Module = constructed(kind, arguments, path)
    described = Network.of(network)
    if not arguments:  # the name alone makes the network again
        described = described.model_copy(update={"spec": name})
    return network, described


def require_name(backbone: object) -> None:
    """Refuse a module in place of a name, by which a checkpoint makes the network again.

    Raises:
        ValueError: one line that names the form to write.
    """
    if not isinstance(backbone, str):
        kind = type(backbone).__name__
        raise ValueError(f"backbone: expected a name such as my_module:my_network, got a {kind}")


def trainable_network(spec: str) -> tuple[nn.Module, Network, Input]:
    """Build the network that a method trains: fresh, or with the weights of a checkpoint.

    Args:
        spec: a name of a raw network; or a checkpoint, or a file of weights of another project.

    Returns:
        The network; its description, whose `spec` makes the network again; and the input on which it is trained.

    Raises:
        ValueError: for an unknown form of spec, or a checkpoint with a part of a network.
    """
    require_name(spec)
    _, features = split_view(spec)
    if features:
        raise ValueError(f"{spec}: a method trains a whole network: leave @{features} out")
    if not is_checkpoint(spec) and WITH_WEIGHTS.fullmatch(spec) is None:
        network, described = EncoderSpec(spec).build()
        pool_patches(network)
        encoder = Encoder(network)
        return encoder.network, described, _training_input(encoder)
    encoder = load(spec)
    if encoder.recipe is None or isinstance(encoder.network, LiirEncoder | VideoEncoder):
        raise ValueError(f"{spec}: {type(encoder.network).__name__} has no full network to train")
    trainable: nn.Module = encoder.network.requires_grad_(True).train()
    pool_patches(trainable)
    trained_on = encoder.input if encoder.normalises else Input()
    return trainable, encoder.described, trained_on


def _training_input(encoder: Encoder) -> Input:
    """Return the input on which a fresh network is trained: the module's own, if it states one.

    A network of a library gets ImageNet's RGB, whatever the library's own weights were trained on; a user's module,
    RGB in [0, 1].
    """
    if encoder.stated is not None:
        return encoder.stated
    if encoder.view_class is None or not encoder.view_class.normalises:
        return Input()  # RGB in [0, 1], from which the network makes its input itself
    if encoder.view_class is MapExtractor:
        return Input(source=TRAINED)
    return Input(mean=IMAGENET_MEAN, std=IMAGENET_STD, source=TRAINED)
