"""The door to a network: its text, a file or a module becomes an `Encoder`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..functional.device import random_state_kept
from ..videos.digests import file_digest
from .checkpoints import (
    SUFFIXES,
    load_weights,
    loaded,
    local_file,
    module_from_checkpoint,
    on_hub,
    read_content,
    recipe_of,
    saved_encoder_of,
    without_prefix,
)
from .description import RANDOM_WEIGHTS, Network
from .encoder import Encoder
from .foreign import fitting, weights_in
from .networks import SHORT_NAMES, full_name, named_network
from .trust import (
    TRUSTED,
    allow,
    check_names,
    constructed,
    import_named,
    make,
    named_code,
    own_arguments,
    package_of,
)

OWN_CHECKPOINT = re.compile(r"([\w.]+):(\w+)=(.+)")
"""A checkpoint of a user's own LightningModule: `package.module:Class=FILE`."""


@dataclass(frozen=True)
class NamedNetwork:
    """A network by its text, and the features that the text chooses.

    Args:
        text: `NAME`, `NAME@STAGE` or `NAME@STAGE/STRIDE`; NAME as for `load`. A short name implies trained weights and
            a stage.
        stage: name of the features; None is the text's, and without one the benchmark's choice.
        stride: pixels per feature cell; None is the text's, and without one the benchmark's choice.
        pretrained: load the library's weights, for names of timm and torchvision.
        seed: seed of random weights; None draws them from torch's state.

    Attributes:
        spec: full name, path of a checkpoint (of a file on the hub the path in its cache), or `Class=FILE`.

    Raises:
        ValueError: if the stride is not a number, or a file of the hub is not to be had.
    """

    text: str
    stage: str | None = None
    stride: int | None = None
    pretrained: bool = False
    seed: int | None = 0
    spec: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        given, view = split_view(self.text)
        stage, _, stride = view.partition("/")
        default_stage = SHORT_NAMES.get(given, "").partition("@")[2]
        if on_hub(given):
            given = str(local_file(given))
        spec, is_trained = full_name(given)
        found = {
            "spec": spec,
            "stage": self.stage or stage or default_stage or None,
            "stride": self.stride or (int(stride) if stride else None),
            "pretrained": is_trained or (self.pretrained and _of_library(spec)),
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        """Name of the row in tables: the text; random weights are named."""
        return f"{self.text}, {RANDOM_WEIGHTS}" if self.is_random else self.text

    @property
    def is_random(self) -> bool:
        """True if the weights are random, so that seeds make different networks."""
        return _of_library(self.spec) and not self.pretrained

    @property
    def file(self) -> Path | None:
        """The checkpoint of a path; None for other networks."""
        path = Path(self.spec)
        return path if is_checkpoint(self.spec) and path.is_file() else None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `FrozenEncoder` that the text gives."""
        given = {"stage": self.stage, "stride": self.stride, "pretrained": self.pretrained}
        return {"spec": self.spec} | {name: value for name, value in given.items() if value}

    def identity(self) -> dict[str, Any]:
        """Return view and weights: the bytes of a checkpoint, or a name with its seed."""
        view = {"stage": self.stage, "stride": self.stride}
        if self.file is not None:
            return view | {"sha256": file_digest(self.file)}
        return view | {"spec": self.spec, "pretrained": self.pretrained, "seed": self.seed}

    @property
    def is_reusable(self) -> bool:
        """True if the identity settles the features: no code of the user makes them."""
        if self.file is None:
            is_ours = ":" not in self.spec or package_of(self.spec) in TRUSTED
            return is_ours and not OWN_CHECKPOINT.fullmatch(self.spec)
        content = read_content(self.file, whole=False)
        recipe = saved_encoder_of(content, self.file) or recipe_of(content, self.file)
        return all(package_of(name) in TRUSTED for name in named_code(recipe))


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
    with _seeded(network.seed):
        if own is not None:
            encoder = Encoder(own_module(*own.groups()))
        elif is_checkpoint(spec):
            encoder = encoder_from_checkpoint(spec)
        else:
            built, described = named_network(spec, pretrained or network.pretrained)
            encoder = Encoder(built, described=described)
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
        A module in eval mode: float RGB `(N, 3, H, W)` in [0, 1] → `(N, C, h, w)`, with `.stride`. Of a video encoder
        itself, with its networks in eval mode.

    Raises:
        ValueError: as `load`; or if the network does not have the stage or the stride.

    Example:
        >>> extractor = build_feature_extractor("torchvision:resnet18", stage="res4", stride=8)
        >>> extractor(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 256, 8, 12])
    """
    encoder = load(network, pretrained, seed=None)
    return encoder.view(stage, stride)


def is_checkpoint(spec: object) -> bool:
    """Return whether a spec is the path of a checkpoint, or its address on the hub."""
    return isinstance(spec, Path) or (isinstance(spec, str) and (spec.endswith(SUFFIXES) or on_hub(spec)))


def split_view(text: str) -> tuple[str, str]:
    """Split `NAME@STAGE/STRIDE` into NAME and `STAGE/STRIDE`; an `@` in the path of a file belongs to the path."""
    if text.endswith(SUFFIXES) or Path(text).exists():
        return text, ""
    path, _, view = text.rpartition("@")
    if path.endswith(SUFFIXES) or Path(path).is_file():
        return path, view
    spec, _, view = text.partition("@")
    return spec, view


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
    saved = saved_encoder_of(checkpoint, path)
    if saved is None:
        return Encoder(module_from_checkpoint(path))
    encoder = load(make(saved, path))
    load_weights(encoder.network, without_prefix(checkpoint["state_dict"], saved["prefix"]), path)
    encoder.described = encoder.described.with_weights_of(path)
    return encoder.eval()


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
    if not is_checkpoint(spec):
        return named_network(spec)
    encoder = encoder_from_checkpoint(spec)
    if not encoder.is_named or encoder.is_video:
        raise ValueError(f"{spec}: {type(encoder.network).__name__} has no full network to train")
    trainable: nn.Module = encoder.network.requires_grad_(True).train()
    return trainable, encoder.described


def _of_library(spec: str) -> bool:
    """Return whether a name is one of timm or torchvision, which make networks with random or trained weights."""
    return spec.startswith(("timm:", "torchvision:"))


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Draw a block's random weights by a seed, and restore torch's state; None draws from the state itself."""
    if seed is None:
        yield
        return
    with random_state_kept():
        torch.manual_seed(seed)
        yield
