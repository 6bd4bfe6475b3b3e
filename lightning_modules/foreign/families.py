"""The families of foreign checkpoints: how their keys are recognised, and what becomes of each key.

`FAMILIES` is the table. Sources: the code that each project published.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..backbones import build_network
from ..checkpoints.weights import listed
from .foreign_file import State

LEFT_OUT = "left out: "
"""Beginning of a rule for keys that our module has no place for; the reason follows."""
FROZEN = "lightning_modules.frozen_encoder.FrozenEncoder"
LIIR = "lightning_modules.liir.Liir"


class Converted(NamedTuple):
    """Foreign weights as a module of ours.

    Attributes:
        class_path: import path of its class.
        init_args: arguments of its constructor.
        state: the weights under its names.
        unused: key → reason to leave it out, of those that the rules of the family do not leave out.
        benchmark: config and flags of the evaluation that comes closest to the source's own.
    """

    class_path: str
    init_args: dict[str, Any]
    state: State
    unused: Mapping[str, str] = {}
    benchmark: str = "davis.yaml"


@dataclass(frozen=True)
class Family:
    """One kind of foreign checkpoint.

    Attributes:
        signs: regular expressions; a file is of this family if each matches one of its complete keys. Empty: the
            user names the family.
        rules: regular expression over a complete key → our name (`\\1` is its first group), or `LEFT_OUT` with the
            reason. The first that matches counts.
        make: weights under their new names, and the network's name where the user or the file gives it → the module.
        note: remark for the user.
    """

    signs: tuple[str, ...]
    rules: Mapping[str, str]
    make: Callable[[State, str | None], Converted]
    note: str = ""

    def convert(self, state: State, spec: str | None) -> Converted:
        """Convert weights to a module of ours.

        Raises:
            KeyError: if a key that the family needs is missing.
            ValueError: if no rule covers a key, two keys get one name, or the network is not known.
        """
        renamed, unused = rename(state, self.rules)
        made = self.make(renamed, spec)
        return made._replace(unused=unused | dict(made.unused))


def rename(state: State, rules: Mapping[str, str]) -> tuple[State, dict[str, str]]:
    """Give every key its name in our module, or a reason to leave it out.

    Returns:
        Weights under our names, and foreign key → why it is left out.

    Raises:
        ValueError: if no rule covers a key, or two keys get one name.

    Example:
        >>> rename({"net.a": 1, "queue": 2}, {r"net\\.(.+)": r"\\1", "queue": "left out: negatives"})
        ({'a': 1}, {'queue': 'negatives'})
    """
    renamed: State = {}
    unused: dict[str, str] = {}
    unknown: list[str] = []
    for key, tensor in state.items():
        matches = ((re.fullmatch(pattern, key), target) for pattern, target in rules.items())
        match, target = next((found for found in matches if found[0]), (None, ""))
        if match is None:
            unknown.append(key)
        elif target.startswith(LEFT_OUT):
            unused[key] = target.removeprefix(LEFT_OUT)
        elif (name := match.expand(target)) in renamed:
            raise ValueError(f"two tensors would become {name}, one of them is {key}")
        else:
            renamed[name] = tensor
    if unknown:
        raise ValueError(f"no rule says what these are: {listed(unknown)}")
    return renamed, unused


def frozen(
    spec: str, state: State, unused: Mapping[str, str] | None = None, benchmark: str = "davis.yaml"
) -> Converted:
    """Return the conversion to a `FrozenEncoder` of the network `spec`; see `Converted`."""
    weights = {f"encoder.network.{name}": tensor for name, tensor in state.items()}
    return Converted(FROZEN, {"spec": spec}, weights, unused or {}, benchmark)


RESNETS = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
)


def resnet_of(state: State) -> str:
    """Return the name of torchvision's ResNet whose names and shapes differ least from those of some weights."""
    theirs = {(name, tensor.shape) for name, tensor in state.items()}

    def differences(name: str) -> int:
        with torch.device("meta"):
            own = build_network(f"torchvision:{name}").state_dict()
        return len({(name, tensor.shape) for name, tensor in own.items()} ^ theirs)

    return f"torchvision:{min(RESNETS, key=differences)}"


VFS_HEADS = {
    *(f"projector.{layer}" for layer in (0, 1, 3, 4, 6, 7)),
    *(f"predictor.{layer}" for layer in (0, 1, 3)),
}
"""Layers with weights in the heads of `VFSSimSiam`."""


def _vfs(state: State, spec: str | None) -> Converted:
    backbone = {name.removeprefix("backbone."): state[name] for name in state if name.startswith("backbone.")}
    heads = [name for name in state if not name.startswith("backbone.")]
    spec = spec or resnet_of(backbone)
    # the released evaluation of R50 has a wider neighbourhood than that of R18
    benchmark = "davis_vfs_r50.yaml" if spec.endswith("resnet50") else "davis.yaml"
    if {name.rpartition(".")[0] for name in heads} != VFS_HEADS:
        return frozen(spec, backbone, dict.fromkeys(heads, "head of another form than VFSSimSiam's"), benchmark)
    widths = {f"{head}_dim": len(state[f"{head}.0.weight"]) for head in ("projector", "predictor")}
    arguments = {"backbone": spec, **widths}
    return Converted("lightning_modules.vfs_simsiam.VFSSimSiam", arguments, state, benchmark=benchmark)


LIIR_RULES = {
    r"feature_extraction\.pos_embed1": "backbone.position.places",
    r"feature_extraction\.((?:conv1|bn1|layer\d\.\d+\.\w+|layer\d\.\d+\.downsample\.\d)\.\w+)": r"backbone.\1",
    r"post_convolution\.(\w+)": r"backbone.affinity.\1",
    r"conv_semantic\..+": f"{LEFT_OUT}branch at 1/8 resolution, which the paper does not have",
    r"conv_semantic_k\..+": f"{LEFT_OUT}moving average of that branch",
    r"colorizer\..+": f"{LEFT_OUT}bank of that branch",
}
LIIR_BENCHMARK = "davis.yaml --trainer.callbacks.protocol liir-reference --trainer.callbacks.stage affinity"


def _liir(state: State, spec: str | None) -> Converted:
    places = state["backbone.position.places"][0]
    arguments = {"position": "1dape", "position_size": places.shape[-1], "bank_frames": 0, "border": "zero"}
    return Converted(LIIR, arguments, state | {"backbone.position.places": places}, benchmark=LIIR_BENCHMARK)


def _mast(state: State, spec: str | None) -> Converted:
    arguments = {"position": "none", "stages": 3, "bank_frames": 0, "mixture_components": None, "border": "zero"}
    changes = "'{radius: 12, mixture_components: null, foreground_gain: 1.0}'"
    return Converted(LIIR, arguments, state, benchmark=f"{LIIR_BENCHMARK} --trainer.callbacks.changes {changes}")


MASKED = f"{LEFT_OUT}stands for masked patches in training"
OWN_CHOICE = "davis.yaml --trainer.callbacks.protocol vidcorr"
"""Evaluation of networks whose authors published none that is ours."""
DINO_SIZES = {384: "small", 768: "base"}
DINOV2_SIZES = {384: "small", 768: "base", 1024: "large", 1280: "huge_plus", 1536: "giant"}


def _transformer_size(state: State, sizes: Mapping[int, str], family: str) -> tuple[str, int]:
    """Return timm's word for the size of a vision transformer, and the side of its patches."""
    width, _, patch, _ = state["patch_embed.proj.weight"].shape
    if width not in sizes:
        raise ValueError(f"no transformer of {family} has width {width}; name it by --architecture timm:NAME")
    return sizes[width], patch


def _dino(state: State, spec: str | None) -> Converted:
    if "patch_embed.proj.weight" not in state:
        return frozen(spec or resnet_of(state), state)
    if spec is None:
        size, patch = _transformer_size(state, DINO_SIZES, "DINO")
        # of timm's weights of this form, `.dino` were trained with ImageNet's mean and deviation, as these
        spec = f"timm:vit_{size}_patch{patch}_224.dino"
    return frozen(spec, state, benchmark="davis_dino.yaml")


def _dinov2(state: State, spec: str | None) -> Converted:
    """Convert DINOv2 and DINOv3 by timm's own functions; what those leave out is listed here."""
    from timm.models import eva, vision_transformer

    third = "storage_tokens" in state
    biases = [name for name in state if name.endswith("attn.qkv.bias")]
    # the bias of the keys, the middle third, is always zero; some models have none at all
    biased = any(bool((part != 0).any()) for name in biases for part in state[name].tensor_split(3)[::2])
    if spec is None:
        size, patch = _transformer_size(state, DINOV2_SIZES, "DINOv2")
        registers = f"_reg{state['register_tokens'].shape[1]}" if "register_tokens" in state else ""
        kind = f"_dinov3{'_qkvb' * biased}" if third else f"{registers}_dinov2"
        spec = f"timm:vit_{size}_patch{patch}{kind}"
    unused: dict[str, str] = {}
    if third and not biased:
        unused = dict.fromkeys(biases, "all zeros, which this network of timm leaves out")
    with torch.device("meta"):
        network: Any = build_network(spec)
    library: Any = eva if third else vision_transformer
    used = {name: tensor for name, tensor in state.items() if name not in unused}
    # a mask token is what timm knows these files by
    weights = library.checkpoint_filter_fn(used | {"mask_token": torch.empty(0)}, network)
    return frozen(spec, weights, unused, OWN_CHOICE)


def _of_library(state: State, spec: str | None) -> Converted:
    """Take weights under the names of torchvision or timm, with or without the classifier."""
    if spec is None and "conv1.weight" not in state:
        raise ValueError(
            "the keys do not show which network this is, nor how its images were normalised; name it by "
            "--architecture, for example timm:vit_small_patch16_224.dino"
        )
    spec = spec or resnet_of(state)
    with torch.device("meta"):
        own = build_network(spec).state_dict()
    classifier = re.compile(r"(fc|head|heads|classifier)\..+")
    unused = {name: "classifier" for name in state if name not in own and classifier.fullmatch(name)}
    if "mask_token" in state.keys() - own.keys():
        unused["mask_token"] = MASKED.removeprefix(LEFT_OUT)
    used = {name: tensor for name, tensor in state.items() if name not in unused}
    return frozen(spec, used, unused, OWN_CHOICE if "patch_embed.proj.weight" in state else "davis.yaml")


FAMILIES = {
    "vfs": Family(
        (r"backbone\.conv1\.conv\.weight",),
        {
            # the names of mm-style ConvModules
            r"backbone\.(layer\d\.\d+\.)?conv(\d)\.(conv|bn)\.(\w+)": r"backbone.\1\3\2.\4",
            r"backbone\.(layer\d\.\d+)\.downsample\.conv\.(\w+)": r"backbone.\1.downsample.0.\2",
            r"backbone\.(layer\d\.\d+)\.downsample\.bn\.(\w+)": r"backbone.\1.downsample.1.\2",
            r"img_head\.projection_fcs\.(\d+\.\w+)": r"projector.\1",
            r"img_head\.predictor_fcs\.(\d+\.\w+)": r"predictor.\1",
        },
        _vfs,
    ),
    "crw": Family(
        (r"encoder\.model\.conv1\..+",),
        {
            # released weights: padding as a layer, .0
            r"encoder\.model\.((?:layer\d\.\d+\.)?conv\d)\.1\.(weight)": r"\1.\2",
            r"encoder\.model\.((?:conv1|bn1|layer[123]\..+)\.\w+)": r"\1",
            r"selfsim_(fc|head)\..+": f"{LEFT_OUT}head",
            r"encoder\.model\.layer4\..+": f"{LEFT_OUT}not part of CRW's evaluation",
            r"encoder\.model\.fc\..+": f"{LEFT_OUT}classifier",
        },
        lambda state, spec: frozen(
            spec or "lightning_modules.backbones:crw_resnet18",
            state,
            benchmark="davis.yaml --trainer.callbacks.protocol crw",
        ),
        "taken as of model_type scratch, whose convolutions pad by reflection; the keys do not show it",
    ),
    "liir": Family((r"feature_extraction\.pos_embed1",), LIIR_RULES, _liir),
    "mast": Family(
        (r"post_convolution\.weight",),
        {
            r"feature_extraction\.layer4\..+": f"{LEFT_OUT}not before post_convolution, which takes 256 channels",
            r"feature_extraction\.fc\..+": f"{LEFT_OUT}classifier",
            **LIIR_RULES,
        },
        _mast,
        "MAST's coarse search in distant reference frames is not part of any protocol",
    ),
    "moco": Family(
        (r"encoder_q\.conv1\.weight",),
        {
            r"encoder_q\.((?:conv1|bn1|layer\d)\..+)": r"\1",
            r"encoder_q\.fc\..+": f"{LEFT_OUT}projector",
            r"encoder_k\..+": f"{LEFT_OUT}moving average",
            r"queue(_ptr)?": f"{LEFT_OUT}negatives",
        },
        lambda state, spec: frozen(spec or resnet_of(state), state),
    ),
    "dino": Family(
        (r"head\.mlp\..+",),
        {
            r"(?:backbone\.)?mask(?:ed)?_(?:token|embed)": MASKED,
            r"(?:backbone\.)?((?:cls_token|pos_embed|patch_embed|blocks|norm|conv1|bn1|layer\d).*)": r"\1",
            r"head\..+": f"{LEFT_OUT}head",
            r"(?:backbone\.)?fc\..+": f"{LEFT_OUT}classifier",
        },
        _dino,
    ),
    "dinov2": Family(
        (r"(backbone\.)?mask_token", r"(backbone\.)?blocks\.0\.ls1\.gamma"),
        {
            r"(?:backbone\.)?mask_token": MASKED,
            r"(?:dino|ibot)_head\..+": f"{LEFT_OUT}head",
            r".+\.bias_mask": f"{LEFT_OUT}zeros that the bias of the keys is multiplied by",
            r"(?:backbone\.)?rope_embed\.periods": f"{LEFT_OUT}fixed numbers that timm computes",
            r"(?:backbone\.)?local_cls_norm\.\w+": f"{LEFT_OUT}norm of the class token of local crops, in training",
            r"(?:backbone\.)?(.+)": r"\1",
        },
        _dinov2,
    ),
    "torchvision": Family(
        (r"conv1\.weight", r"bn1\.weight", r"layer1\.0\.conv1\.weight"), {r"(.+)": r"\1"}, _of_library
    ),
    "timm": Family((), {r"(.+)": r"\1"}, _of_library),
}
"""Name → family, in the order in which they are tried."""


def family_of(state: State, spec: str | None, source: str | Path) -> str:
    """Return the name of the family that weights are of, by their keys.

    Args:
        state: foreign weights.
        spec: name of the network where the user or the file gives it; its library decides where the keys do not.
        source: the file, for messages.

    Raises:
        ValueError: if neither decides.
    """
    for name, family in FAMILIES.items():
        if family.signs and all(any(re.fullmatch(sign, key) for key in state) for sign in family.signs):
            return name
    if spec is not None:
        return "timm" if spec.startswith("timm:") else "torchvision"
    if "patch_embed.proj.weight" in state:
        raise ValueError(
            f"{source}: a vision transformer whose keys do not show how images were normalised; give --kind dino, "
            "or --kind timm --architecture timm:NAME"
        )
    held = ", ".join(list(state)[:4])
    raise ValueError(f"{source}: of no known family ({', '.join(FAMILIES)}); it has {held}, …")
