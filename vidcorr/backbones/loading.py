"""The door to a network: its text, a file or a module becomes an `Encoder`."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..description import UNKNOWN, Input, Network, stated_input
from ..functional.device import random_state_kept
from .encoder import Encoder
from .extractor import Dilated, unwrapped
from .families import converted, family_of, fitted_to_library, input_of_family, under_own_names, weights_in
from .files.saved_models import (
    METADATA_KEY,
    check_metadata,
    is_foreign,
    load_weights,
    read_content,
    recipe_of,
    without_prefix,
)
from .files.trust import Refused, closed, import_named, is_module, know, make, own_arguments, require_small
from .networks import LIBRARIES, USERS_CALLABLE, EncoderSpec, build

FAMILY = "family:"
TRAINED = "as in training"


def load(
    network: object,
    pretrained: bool = False,
    seed: int | None = 0,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Encoder:
    """Load a network, from whatever names or holds it.

    Args:
        network: a name: `timm:NAME`, `torchvision:NAME`, `transformers:NAME`, `package.module:callable`, a short name
            such as `vidcorr-r18`, or `raw_colour`; the path of a checkpoint; a name with a file of its weights,
            `timm:NAME=FILE`, `package.module:Class=FILE`; each with `@STAGE/STRIDE` for the encoder's defaults. Or an
            `EncoderSpec`, with its own weights, seed and input. Or a module: a LightningModule, a network, an
            extractor, an `Encoder` or a video encoder.
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
        encoder = _load_name(network)
    elif isinstance(network, Encoder):
        encoder = network
    else:
        # the user's module stays on its device
        encoder = _around(unwrapped(network)).changed(is_ours=False)
    stated = stated_input(mean, std)
    return encoder if stated is None else encoder.changed(stated=stated)


def _around(module: Any, **facts: Any) -> Encoder:
    """Return the encoder of a module; of a method of vidcorr without features of its own, its property `evaluated`."""
    if getattr(module, "has_own_features", True):  # a network that is no method of vidcorr lacks the attribute
        return Encoder(module, **facts)
    facts.pop("described", None)
    return module.evaluated.changed(user_module=(module,), **facts)


def _load_name(spec: EncoderSpec, of_file: str = "") -> Encoder:
    """Return the encoder of a spec's name or file; the spec's input, stage and stride override those of the file."""
    with ExitStack() as stack:
        if spec.seed is not None:
            stack.enter_context(random_state_kept())
            torch.manual_seed(spec.seed)
        name, file, part = spec.located
        if file is not None:
            encoder = _load_file(name, file, part)
        else:
            network, described = build(spec, not of_file, of_file)
            encoder = _around(network, described=described, made_by=spec)
    return encoder.changed(
        is_ours=True,
        stated=spec.input or encoder.stated,
        default_stage=spec.stage or encoder.default_stage,
        default_stride=spec.stride or encoder.default_stride,
    )


def build_feature_extractor(
    network: object,
    stage: str | None = None,
    stride: int | None = None,
    pretrained: bool = False,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    dilated: Dilated = False,
) -> Any:
    """Return a feature extractor of a network, which shares its weights and changes nothing in it.

    Args: as `load`, with random weights drawn from torch's state; and as `Encoder.view`, where None is by default res4
    at 8 px a cell of a ResNet, the last block of a ViT.

    Returns:
        A module in eval mode: float RGB `(N, 3, H, W)` in [0, 1] → `(N, C, h, w)`, with `.stride`; for a video encoder
        a copy of the encoder over the same network.

    Raises:
        ValueError: one line, if `load` refuses the network, or the network does not have the stage or the stride.

    Example:
        >>> extractor = build_feature_extractor("torchvision:resnet18", stage="res4", stride=8)
        >>> extractor(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 256, 8, 12])
    """
    return load(network, pretrained, seed=None, mean=mean, std=std).view(stage, stride, dilated)


def _load_file(name: str, path: Path, part: str) -> Encoder:
    """Load the weights of a file into the network of a name, or that the file names, on the CPU, in eval mode.

    Args:
        name: as `load` takes it before `=FILE`, or `family:NAME`. A class gets the arguments that a checkpoint of
            Lightning has saved. Empty: a checkpoint of ours names its network, other files are known by their weights.
        part: name of an encoder of several in the file; empty for the whole file.
    """
    content = read_content(path)
    family = name.removeprefix(FAMILY) if name.startswith(FAMILY) else ""
    is_of_library = name.startswith(LIBRARIES)
    if not (part or family or is_of_library or is_foreign(content)):
        return _load_checkpoint(content, path, name)
    state = weights_in(content, path, part)
    if family or not name:
        family = family or family_of(state, None, path)
        fields, weights = converted(family, state, path)
        encoder = _encoder_of_fields(fields, path)
        (module,) = encoder.user_module  # for Liir and CoSettle the module that wraps the network
        weights = under_own_names(weights, module, path, drop_classifier=True)
        load_weights(module, weights, f"{path}, taken for {family}")
        described = encoder.described.with_weights_of(path, content)
        return encoder.eval().changed(stated=input_of_family(family), described=described)
    module_name, _, member = name.partition(":")
    arguments = None
    if USERS_CALLABLE.fullmatch(name) and is_module(import_named(module_name, member, f"backbone {name}")):
        arguments = own_arguments(content.get("hyper_parameters"))
    spec = EncoderSpec(name, arguments=arguments, label=str(path))
    try:
        network, described = build(spec, with_weights=False)
        family = family_of(state, name, path)
        if is_of_library:
            load_weights(network, fitted_to_library(state, family, network, name, path), path)
        else:
            load_weights(network, under_own_names(state, network, path), path)
    except Refused:  # another function would be refused too
        raise
    except ValueError as error:
        remedy = f"name a function that returns the network for these weights, my_module:my_network={path}"
        raise ValueError(f"{error}; or {remedy}") from error
    encoder = Encoder(network.eval(), described=described.with_weights_of(path, content), made_by=spec)
    # counts only if nothing else states the input
    of_family = input_of_family(family)
    return encoder.changed(stated=of_family) if of_family is not None and encoder.input == UNKNOWN else encoder


def _load_checkpoint(checkpoint: Any, path: Path, name: str) -> Encoder:
    """Load the encoder that a checkpoint of ours states, or else its module, of a class with features of its own.

    Args:
        name: of the network or of the checkpoint's class, as the user gives it; empty: as the file states.
    """
    check_metadata(checkpoint, path)
    about = checkpoint[METADATA_KEY]
    stated = about.get("encoder")
    if name:
        know(name)
        if isinstance(stated, dict) and name.replace(":", ".") != about.get("class_path"):
            stated = {**stated, "spec": name}
    if stated is None:
        recipe = recipe_of(checkpoint, path)
        package, _, kind = recipe["class_path"].rpartition(".")
        encoder = _encoder_of_fields({"spec": f"{package}:{kind}", "arguments": recipe["init_args"]}, path)
        (module,) = encoder.user_module
        if hasattr(module, "configure_model"):  # Lightning's hook, which may make layers
            module.configure_model()
        load_weights(module, checkpoint["state_dict"], path)
    else:
        prefix = stated.pop("prefix", "") if isinstance(stated, dict) else ""
        if stated == {}:
            remedy = f"give my_module:my_network={path}, a function of yours, or load_from_checkpoint(…, backbone=it)"
            raise Refused(f"{path}: its network was a module without a name: {remedy}")
        encoder = _encoder_of_fields(stated, path)
        load_weights(encoder.network, without_prefix(checkpoint["state_dict"], str(prefix)), path)
    return encoder.eval().changed(described=encoder.described.with_weights_of(path, checkpoint))


def _encoder_of_fields(stated: object, path: Path) -> Encoder:
    """Make the encoder that a file states, without loading the file's weights."""
    require_small(stated, path)
    return _load_name(replace(EncoderSpec.of(closed(stated, path), path), label=str(path)), of_file=str(path))


def module_from_checkpoint(path: str | Path, strict: bool = True, **overrides: object) -> Any:
    """Load the LightningModule that a checkpoint of this project holds, on the CPU, in eval mode.

    Args:
        strict: refuse weights whose names differ.
        overrides: arguments that override the saved arguments.

    Raises:
        ValueError: if the file is missing, damaged or of another project, names code that is not allowed, or does not
            fit its class.
    """
    path = Path(path)
    checkpoint = read_content(path)
    check_metadata(checkpoint, path)
    arguments = checkpoint.get("hyper_parameters", {})
    module = make({"class_path": checkpoint[METADATA_KEY].get("class_path"), "init_args": arguments}, path, **overrides)
    module.configure_model()  # Lightning's hook, which may make layers
    load_weights(module, checkpoint["state_dict"], path, strict)
    module.described = Network.of(module).with_weights_of(path, checkpoint)
    return module.eval()


def trainable_network(spec: object) -> Encoder:
    """Build the network that a method trains, with random weights or with the weights of a file.

    Its input is the one that the network or its weights state. Without a statement, a library's network gets ImageNet's
    mean and deviation, whatever the library's weights were trained on, and a user's module gets RGB in [0, 1].

    Args:
        spec: a name, file or checkpoint of a whole network, or the fields of `EncoderSpec.to_dict`, whose stage is the
            map that is trained; or a module.

    Returns:
        An encoder of the network, which is in training mode, and whose weights all take gradients.

    Raises:
        ValueError: for an unknown form of spec, a stride, or a checkpoint with a part of a network.
    """
    if isinstance(spec, nn.Module):  # a checkpoint cannot name it: `load_from_checkpoint(FILE, backbone=module)`
        encoder = load(spec)
        named = EncoderSpec("", encoder.default_stage)
    elif spec is None:
        remedy = "load_from_checkpoint(FILE, backbone=module)"
        raise ValueError(f"backbone: the network was a module without a name: {remedy}")
    else:
        named = EncoderSpec.of(spec, "backbone")
        if named.stride:
            raise ValueError(f"{named.text}: a network is trained at its own strides: leave /{named.stride} out")
        encoder = load(named)
    kind = type(encoder.network).__name__
    is_of_video_or_liir = getattr(encoder.network, "in_order", False) or hasattr(encoder.network, "made_with")
    if is_of_video_or_liir or (named.text and encoder.spec is None):
        raise ValueError(f"{named.text}: {kind} has no full network to train: name a network")
    if isinstance(encoder.network, torch.jit.ScriptModule):
        raise ValueError(f"backbone: {kind} is TorchScript, which is not trained: give its module")
    encoder.network.requires_grad_(True).train()
    stated = encoder.stated
    if stated is None:
        # of a network that makes its own views, its code prepares RGB in [0, 1]
        stated = Input() if encoder.makes_views else encoder.input.model_copy(update={"source": TRAINED})
    return encoder.changed(default_stage=named.stage, default_stride=None, stated=stated)
