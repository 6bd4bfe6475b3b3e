"""Families of foreign checkpoints: rules that recognise their keys and rename them.

families.yaml is the table. Sources: the published code of the projects.
"""

import functools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml  # type: ignore[import-untyped]
from torch import Tensor
from torchvision.models import get_model_builder, list_models

from .. import build_network

State = dict[str, Tensor]
FROZEN = "lightning_modules.frozen_encoder.FrozenEncoder"
LIIR = "lightning_modules.liir.Liir"


class Converted(NamedTuple):
    """Foreign weights as a module of ours.

    Attributes:
        class_path: import path of its class.
        init_args: arguments of its constructor.
        state: the weights under its names.
        benchmark: name for `--on` and flags closest to the source's evaluation.
        unused: key → reason to leave it out.
        note: remark for the user.
    """

    class_path: str
    init_args: dict[str, Any]
    state: State
    benchmark: str = "davis"
    unused: Mapping[str, str] = {}
    note: str = ""


@dataclass(frozen=True)
class Family:
    """A kind of foreign checkpoint: an entry of families.yaml, which explains the fields.

    Attributes:
        make: (weights under their new names, the network's name if known) → the module.
    """

    make: Callable[[State, str | None], Converted]
    names: Mapping[str, str]
    left_out: Mapping[str, str] = field(default_factory=dict)
    signs: Sequence[str] = ()
    note: str = ""

    def convert(self, state: State, spec: str | None) -> Converted:
        """Convert weights to a module of ours.

        Raises:
            KeyError: if a key that the family needs is missing.
            ValueError: if no rule covers a key, two keys get the same name, or the network is not known.
        """
        renamed: State = {}
        unused: dict[str, str] = {}
        unknown: list[str] = []
        for key, tensor in state.items():
            reason = _by_first_rule(self.left_out, key)
            name = _by_first_rule(self.names, key)
            if reason:
                unused[key] = reason
            elif not name:
                unknown.append(key)
            elif name in renamed:
                said = f"two tensors of the file, one of them {key}, would both become {name}"
                raise ValueError(f"{said}; remove one, or name another family by --kind")
            else:
                renamed[name] = tensor
        if unknown:
            listed = ", ".join(sorted(unknown)[:3])
            if len(unknown) > 3:
                listed += f" and {len(unknown) - 3} more"
            raise ValueError(f"no rule covers these tensors: {listed}")
        made = self.make(renamed, spec)
        note = "; ".join(filter(None, (self.note, made.note)))
        return made._replace(unused=unused | dict(made.unused), note=note)

    def recognises(self, state: State) -> bool:
        """Return whether each sign of the family matches a key; a family without signs recognises nothing."""
        for sign in self.signs:
            if not any(re.fullmatch(sign, key) for key in state):
                return False
        return bool(self.signs)


def _by_first_rule(rules: Mapping[str, str], key: str) -> str | None:
    """Return the target of the first rule whose pattern matches a key; None if no rule does."""
    for pattern, target in rules.items():
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(target)
    return None


def without_prefix(state: Mapping[str, Tensor], prefix: str) -> State:
    """Return the weights whose names begin with a prefix, under the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def frozen(spec: str, state: State, benchmark: str = "davis", unused: Mapping[str, str] = {}) -> Converted:
    """Return the conversion to a `FrozenEncoder`.

    Args:
        spec: name of the network.
        state: weights under the network's own names.
        benchmark: name for `--on` and flags closest to the source's evaluation.
        unused: key → reason to leave it out.
    """
    weights = {f"encoder.network.{name}": tensor for name, tensor in state.items()}
    return Converted(FROZEN, {"spec": spec}, weights, benchmark, unused)


RESNETS = [name for name in list_models() if get_model_builder(name).__module__ == "torchvision.models.resnet"]


def resnet_of(state: State) -> str:
    """Return the name of torchvision's ResNet with the names and shapes nearest to the weights'."""
    shapes = _shapes_of(state)

    def differences(name: str) -> int:
        return len(_shapes_of(_weights_of(f"torchvision:{name}")) ^ shapes)

    return f"torchvision:{min(RESNETS, key=differences)}"


def _shapes_of(state: Mapping[str, Tensor]) -> set[tuple[str, torch.Size]]:
    """Return the weights' names with their shapes."""
    return {(name, tensor.shape) for name, tensor in state.items()}


@functools.cache
def _weights_of(spec: str) -> Mapping[str, Tensor]:
    """Return the names of a network's weights, with tensors on the meta device."""
    with torch.device("meta"):
        return build_network(spec).state_dict()


VFS_HEADS = {*(f"projector.{layer}" for layer in (0, 1, 3, 4, 6, 7)), *(f"predictor.{layer}" for layer in (0, 1, 3))}
"""Layers with weights in the heads of `VFSSimSiam`."""


def _vfs(state: State, spec: str | None) -> Converted:
    backbone = without_prefix(state, "backbone.")
    heads = [name for name in state if not name.startswith("backbone.")]
    spec = spec or resnet_of(backbone)
    # the released evaluation of R50 has a wider neighbourhood than that of R18
    benchmark = "davis_vfs_r50" if spec.endswith("resnet50") else "davis"
    layers = {name.rpartition(".")[0] for name in heads}
    if layers != VFS_HEADS:
        return frozen(spec, backbone, benchmark, dict.fromkeys(heads, "head of another form than VFSSimSiam's"))
    widths = {f"{head}_dim": len(state[f"{head}.0.weight"]) for head in ("projector", "predictor")}
    return Converted("lightning_modules.vfs_simsiam.VFSSimSiam", {"backbone": spec, **widths}, state, benchmark)


LIIR_BENCHMARK = "davis --protocol liir-reference --stage affinity"


def _liir(state: State, spec: str | None) -> Converted:
    places = state["backbone.position.places"][0]
    arguments = {"position": "1dape", "position_size": places.shape[-1], "bank": {"frames": 0}, "border": "zero"}
    return Converted(LIIR, arguments, state | {"backbone.position.places": places}, LIIR_BENCHMARK)


def _mast(state: State, spec: str | None) -> Converted:
    arguments = {"position": "none", "stages": 3, "bank": {"frames": 0}, "prior": None, "border": "zero"}
    changes = "radius=12 mixture_components=null foreground_gain=1.0"
    return Converted(LIIR, arguments, state, f"{LIIR_BENCHMARK} --change {changes}")


OWN_CHOICE = "davis --protocol vidcorr"
"""Evaluation of networks without a published protocol."""
SIZES = {384: "small", 768: "base", 1024: "large", 1280: "huge_plus", 1536: "giant"}
"""Width of a vision transformer → timm's word for its size."""


def _transformer_size(state: State, largest: int = 1536) -> tuple[str, int]:
    """Return timm's word for a vision transformer's size, and the side of its patches in pixels.

    Raises:
        ValueError: for a width that the family does not have.
    """
    width, _, patch, _ = state["patch_embed.proj.weight"].shape
    if width not in SIZES or width > largest:
        raise ValueError(f"no transformer of the family has width {width}; name it as architecture timm:NAME")
    return SIZES[width], patch


def _dino(state: State, spec: str | None) -> Converted:
    if "patch_embed.proj.weight" not in state:
        return frozen(spec or resnet_of(state), state)
    if spec is None:
        size, patch = _transformer_size(state, largest=768)
        # timm's `.dino` weights have this architecture and, as this file, ImageNet's mean and deviation
        spec = f"timm:vit_{size}_patch{patch}_224.dino"
    return frozen(spec, state, "davis_dino")


def _dinov2(state: State, spec: str | None) -> Converted:
    """Convert DINOv2 and DINOv3 by timm's functions; tensors that timm leaves out are listed here."""
    from timm.models import eva, vision_transformer

    third = "storage_tokens" in state
    biases = [name for name in state if name.endswith("attn.qkv.bias")]
    biased = False
    for name in biases:  # some models have no bias, and the bias of the keys is always zero
        queries, _, values = state[name].tensor_split(3)
        biased |= bool(queries.any()) or bool(values.any())
    if spec is None:
        size, patch = _transformer_size(state)
        kind = "dinov2"
        if third:
            kind = "dinov3_qkvb" if biased else "dinov3"
        elif "register_tokens" in state:
            kind = f"reg{state['register_tokens'].shape[1]}_dinov2"
        spec = f"timm:vit_{size}_patch{patch}_{kind}"
    zeros = biases if third and not biased else []
    unused = dict.fromkeys(zeros, "all zeros, which this network of timm leaves out")
    used = {name: tensor for name, tensor in state.items() if name not in unused}
    used["mask_token"] = torch.empty(0)  # timm recognises these files by this key
    with torch.device("meta"):
        network: Any = build_network(spec)
    library: Any = eva if third else vision_transformer
    weights = library.checkpoint_filter_fn(used, network)
    return frozen(spec, weights, OWN_CHOICE, unused)


RESNET = ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight")
"""Names of weights that every ResNet of a library has."""
NOT_NEEDED = {r"(fc|head|heads|classifier)\..+": "classifier", "mask_token": "stands for masked patches in training"}
"""Pattern of a library's weights that our network may lack → reason."""
PREFIX = re.compile(r"((encoder|backbone|module|model|base_encoder|student_backbone|backbone\.0)\.)*")
"""Prefixes that training code adds to the names of a network's weights."""


def _prefix_of(state: State, names: Collection[str]) -> str:
    """Return the prefix with which all names are in the state; empty if no prefix fits."""
    wanted = [name for name in names if not name.endswith("num_batches_tracked")]
    prefixes = sorted(key.removesuffix(wanted[0]) for key in state if key.endswith(wanted[0]))
    for prefix in filter(PREFIX.fullmatch, prefixes):
        if all(prefix + name in state for name in wanted):
            return prefix
    return ""


def _of_library(state: State, spec: str | None) -> Converted:
    """Take weights under the names of torchvision or timm or with a `PREFIX`, with or without the classifier."""
    prefix = _prefix_of(state, RESNET if spec is None else _weights_of(spec))
    unused = {name: f"without the prefix {prefix}" for name in state if not name.startswith(prefix)}
    state = without_prefix(state, prefix)
    if spec is None and "conv1.weight" not in state:
        raise ValueError("the keys do not show the network; name its architecture, such as timm:resnet18.a1_in1k")
    spec = spec or resnet_of(state)
    ours = _weights_of(spec)
    used: State = {}
    for name, tensor in state.items():
        reason = _by_first_rule(NOT_NEEDED, name)
        if name in ours or reason is None:
            used[name] = tensor
        else:
            unused[prefix + name] = reason
    benchmark = OWN_CHOICE if "patch_embed.proj.weight" in state else "davis"
    made = frozen(spec, used, benchmark, unused)
    return made._replace(note=f"names taken without their prefix {prefix}") if prefix else made


def _crw(state: State, spec: str | None) -> Converted:
    spec = spec or "vidcorr.backbones:crw_resnet18"
    return frozen(spec, state, "davis --protocol crw")


MAKERS = {"vfs": _vfs, "crw": _crw, "liir": _liir, "mast": _mast, "dino": _dino, "dinov2": _dinov2}
TABLE = yaml.safe_load(Path(__file__).with_name("families.yaml").read_text("utf-8"))
FAMILIES = {name: Family(MAKERS.get(name, _of_library), **entry) for name, entry in TABLE.items()}
"""Name → family, in the order of trial."""


def family_of(state: State, spec: str | None, source: str | Path) -> str:
    """Return the name of the weights' family, by their keys.

    Args:
        state: foreign weights.
        spec: name of the network, if known; its library decides if the keys do not.
        source: the file, for messages.

    Raises:
        ValueError: if neither keys nor name decide.
    """
    for name, family in FAMILIES.items():
        if family.recognises(state):
            return name
    if spec is not None:
        return "timm" if spec.startswith("timm:") else "torchvision"
    if "patch_embed.proj.weight" in state:
        raise ValueError(f"{source}: a vision transformer; name its kind: dino, or timm with architecture timm:NAME")
    held = ", ".join(list(state)[:4])
    raise ValueError(
        f"{source}: weights of no known family ({', '.join(FAMILIES)}), such as {held}; load them in a function of "
        "yours and name the network package.module:callable"
    )
