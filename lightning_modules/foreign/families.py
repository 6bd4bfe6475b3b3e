"""The families of foreign checkpoints: how their keys are recognised, what each becomes, and why some are left out.

`FAMILIES` is the table; what a row cannot say is a function above it. Sources: the code that each project published.
"""

import re
from collections.abc import Callable
from typing import Any

import torch

from ..backbones.liir_encoder import LiirEncoder
from ..backbones.networks import build_network
from .foreign_file import ForeignFile, State
from .mapping import DAVIS, FROZEN, Converted, Family, frozen, rename, resnet_name

OWN_CHOICE = f"{DAVIS} --trainer.callbacks.protocol vidcorr"
MASKED = "stands for masked patches in training"
CLASSIFIER = re.compile(r"(fc|head|heads|classifier)\..+")

VFS_BACKBONE = {
    r"backbone\.conv1\.conv\.(\w+)": r"conv1.\1",
    r"backbone\.conv1\.bn\.(\w+)": r"bn1.\1",
    r"backbone\.(layer\d\.\d+)\.conv(\d)\.conv\.(\w+)": r"\1.conv\2.\3",
    r"backbone\.(layer\d\.\d+)\.conv(\d)\.bn\.(\w+)": r"\1.bn\2.\3",
    r"backbone\.(layer\d\.\d+)\.downsample\.conv\.(\w+)": r"\1.downsample.0.\2",
    r"backbone\.(layer\d\.\d+)\.downsample\.bn\.(\w+)": r"\1.downsample.1.\2",
}
"""The names of mm-style ConvModules."""
VFS_HEADS = {
    r"img_head\.projection_fcs\.(\d+\.\w+)": r"projector.\1",
    r"img_head\.predictor_fcs\.(\d+\.\w+)": r"predictor.\1",
}
VFS_HEAD_WEIGHTS = {
    *(f"projector.{layer}.{name}" for layer in (0, 1, 3, 4, 6, 7) for name in ("weight", "bias")),
    *(f"predictor.{layer}.{name}" for layer in (0, 1, 3) for name in ("weight", "bias")),
}
"""Parameters of the heads of VFSSimSiam."""


def _vfs(state: State, architecture: str | None) -> Converted:
    left = {r"img_head\..+": "head of another form than VFSSimSiam's"}
    backbone, of_head = rename(state, VFS_BACKBONE, left)
    spec = architecture or f"torchvision:{resnet_name(backbone)}"
    heads, _ = rename({key: state[key] for key in of_head}, VFS_HEADS | {r"(.+)": r"\1"}, {})
    # the released evaluation of R50 has a wider neighbourhood than that of R18
    measured_by = "--config configs/benchmarks/davis_vfs_r50.yaml" if spec.endswith("resnet50") else DAVIS
    if {name for name in heads if name.endswith(("weight", "bias"))} != VFS_HEAD_WEIGHTS:
        return frozen(spec, state, VFS_BACKBONE, left, measured_by=measured_by)
    arguments = {
        "backbone": spec,
        "projector_dim": len(heads["projector.0.weight"]),
        "predictor_dim": len(heads["predictor.0.weight"]),
    }
    weights = {f"backbone.{name}": tensor for name, tensor in backbone.items()} | heads
    return Converted("lightning_modules.vfs_simsiam.VFSSimSiam", arguments, weights, measured_by=measured_by)


LIIR_ENCODER = {
    r"feature_extraction\.pos_embed1": "backbone.position.places",
    r"feature_extraction\.((?:conv1|bn1|layer\d\.\d+\.\w+|layer\d\.\d+\.downsample\.\d)\.\w+)": r"backbone.\1",
    r"post_convolution\.(\w+)": r"backbone.affinity.\1",
}
MAST_BLOCKS = {
    r"feature_extraction\.conv1\.0\.(\w+)": r"backbone.conv1.\1",
    r"feature_extraction\.conv1\.1\.(\w+)": r"backbone.bn1.\1",
    r"feature_extraction\.(layer\d\.\d)\.left\.0\.(\w+)": r"backbone.\1.conv1.\2",
    r"feature_extraction\.(layer\d\.\d)\.left\.1\.(\w+)": r"backbone.\1.bn1.\2",
    r"feature_extraction\.(layer\d\.\d)\.left\.3\.(\w+)": r"backbone.\1.conv2.\2",
    r"feature_extraction\.(layer\d\.\d)\.left\.4\.(\w+)": r"backbone.\1.bn2.\2",
    r"feature_extraction\.(layer\d\.\d)\.shortcut\.(\d)\.(\w+)": r"backbone.\1.downsample.\2.\3",
}
"""The names of MAST's own code."""
LIIR_LEFT = {
    r"conv_semantic\..+": "branch at 1/8 resolution, which the paper does not have",
    r"conv_semantic_k\..+": "moving average of that branch",
    r"colorizer\..+": "bank of that branch",
}
LIIR_MEASURED = f"{DAVIS} --trainer.callbacks.protocol liir-reference --trainer.callbacks.stage affinity"
LIIR_CLASS = "lightning_modules.liir.Liir"


def _liir(state: State, architecture: str | None) -> Converted:
    renamed, unused = rename(state, LIIR_ENCODER, LIIR_LEFT)
    places = renamed["backbone.position.places"][0]
    arguments = {"position": "1dape", "position_size": places.shape[-1], "bank_frames": 0, "border": "zero"}
    weights = renamed | {"backbone.position.places": places}
    return Converted(LIIR_CLASS, arguments, weights, unused, measured_by=LIIR_MEASURED)


def _mast(state: State, architecture: str | None) -> Converted:
    left = {r"feature_extraction\.fc\..+": "classifier"}
    last = state.get("feature_extraction.layer4.0.conv1.weight")
    stages = 4 if last is None or len(last) == 256 else 3
    if stages == 3:
        left[r"feature_extraction\.layer4\..+"] = "not on the way to post_convolution, which takes 256 channels"
    renamed, unused = rename(state, MAST_BLOCKS | LIIR_ENCODER, left)
    arguments = {"position": "none", "stages": stages, "bank_frames": 0, "mixture_components": None, "border": "zero"}
    note = "MAST's coarse search in distant reference frames is not part of any protocol"
    changes = "'{radius: 12, mixture_components: null, foreground_gain: 1.0}'"
    measured_by = f"{LIIR_MEASURED} --trainer.callbacks.changes {changes}"
    return Converted(LIIR_CLASS, arguments, renamed, unused, note, measured_by)


DINO_SIZES = {384: "small", 768: "base"}


def _dino_network(state: State) -> str:
    state = {key.removeprefix("backbone."): value for key, value in state.items()}
    patches = state.get("patch_embed.proj.weight")
    if patches is None:
        return f"torchvision:{resnet_name(state)}"
    width, _, patch, _ = patches.shape
    if width not in DINO_SIZES:
        raise ValueError(f"no transformer of DINO has width {width}; name it by --architecture timm:NAME")
    # of timm's weights of this form, `.dino` were trained with ImageNet's mean and deviation, as these
    return f"timm:vit_{DINO_SIZES[width]}_patch{patch}_224.dino"


DINOV2_SIZES = {384: "small", 768: "base", 1024: "large", 1280: "huge_plus", 1536: "giant"}
DINOV2_LEFT = {
    "mask_token": MASKED,
    r"(?:dino|ibot)_head\..+": "head",
    r".+\.bias_mask": "zeros that the bias of the keys is multiplied by",
    r"rope_embed\.periods": "fixed numbers that timm computes",
    r"local_cls_norm\.\w+": "norm of the class token of local crops, in training",
}


def _dinov2(state: State, architecture: str | None) -> Converted:
    """Convert DINOv2 and DINOv3 by timm's own functions; what those leave out is told here."""
    from timm.models import eva, vision_transformer

    plain = {name.removeprefix("backbone."): tensor for name, tensor in state.items()}
    third = "storage_tokens" in plain
    spec, left = architecture or _dinov2_network(plain, third), dict(DINOV2_LEFT)
    if third and not _has_bias(plain):
        left[r"blocks\.\d+\.attn\.qkv\.bias"] = "all zeros, which this network of timm leaves out"
    taken, unused = rename(plain, {r"(.+)": r"\1"}, left)
    with torch.device("meta"):
        network: Any = build_network(spec)
    library: Any = eva if third else vision_transformer
    # a mask token is what timm knows the files by
    converted = library.checkpoint_filter_fn(taken | {"mask_token": plain["mask_token"]}, network)
    weights = {f"encoder.network.{name}": tensor for name, tensor in converted.items()}
    return Converted(FROZEN, {"spec": spec}, weights, unused, measured_by=OWN_CHOICE)


def _dinov2_network(state: State, third: bool) -> str:
    width, _, patch, _ = state["patch_embed.proj.weight"].shape
    if width not in DINOV2_SIZES:
        raise ValueError(f"no transformer of DINOv2 has width {width}; name it by --architecture timm:NAME")
    if third:
        return f"timm:vit_{DINOV2_SIZES[width]}_patch{patch}_dinov3{'_qkvb' * _has_bias(state)}"
    registers = f"_reg{state['register_tokens'].shape[1]}" if "register_tokens" in state else ""
    return f"timm:vit_{DINOV2_SIZES[width]}_patch{patch}{registers}_dinov2"


def _has_bias(state: State) -> bool:
    """Return whether the queries or values have a bias; that of the keys is always zero, and some models have none."""
    biases = (tensor for name, tensor in state.items() if name.endswith("attn.qkv.bias"))
    return any(bool((part != 0).any()) for bias in biases for part in bias.tensor_split(3)[::2])


def _is_dinov2(state: State) -> bool:
    plain = {name.removeprefix("backbone.") for name in state}
    return {"mask_token", "patch_embed.proj.weight"} <= plain and "blocks.0.ls1.gamma" in plain


def _of_library(library: str) -> Callable[[State, str | None], Converted]:
    """Return the conversion of a state dict of torchvision or timm, with or without the classifier."""

    def convert(state: State, architecture: str | None) -> Converted:
        if architecture is None and "conv1.weight" not in state:
            raise ValueError(
                "the keys do not show which network this is, nor how its images were normalised; name it by "
                f"--architecture, for example {library}:vit_small_patch16_224.dino"
            )
        spec = architecture or f"{library}:{resnet_name(state)}"
        with torch.device("meta"):
            own = build_network(spec).state_dict()
        left = {re.escape(key): "classifier" for key in state if key not in own and CLASSIFIER.fullmatch(key)}
        left |= {"mask_token": MASKED} if "mask_token" not in own else {}
        transformer = "patch_embed.proj.weight" in state
        measured_by = OWN_CHOICE if transformer else DAVIS
        return frozen(spec, state, {r"(.+)": r"\1"}, left, measured_by=measured_by)

    return convert


FAMILIES = {
    "vfs": Family(lambda state: "backbone.conv1.conv.weight" in state, rules=_vfs),
    "crw": Family(
        lambda state: any(key.startswith("encoder.model.conv1.") for key in state),
        taken={
            # released weights: padding as a layer, .0
            r"encoder\.model\.((?:layer\d\.\d+\.)?conv\d)\.1\.(weight)": r"\1.\2",
            r"encoder\.model\.((?:conv1|bn1|layer[123]\..+)\.\w+)": r"\1",
        },
        left={
            r"selfsim_(fc|head)\..+": "head",
            r"encoder\.model\.layer4\..+": "left out in CRW's evaluation",
            r"encoder\.model\.fc\..+": "classifier",
        },
        architecture=lambda state: "lightning_modules.backbones:crw_resnet18",
        note="taken as of model_type scratch, whose convolutions pad by reflection; the keys do not show it",
        measured_by=lambda spec: f"{DAVIS} --trainer.callbacks.protocol crw",
    ),
    "liir": Family(lambda state: "feature_extraction.pos_embed1" in state, rules=_liir),
    "mast": Family(
        lambda state: "post_convolution.weight" in state and "feature_extraction.pos_embed1" not in state, rules=_mast
    ),
    "moco": Family(
        lambda state: "encoder_q.conv1.weight" in state,
        taken={r"encoder_q\.((?:conv1|bn1|layer\d)\..+)": r"\1"},
        left={r"encoder_q\.fc\..+": "projector", r"encoder_k\..+": "moving average", r"queue(_ptr)?": "negatives"},
        architecture=lambda state: f"torchvision:{resnet_name(state, 'encoder_q.')}",
    ),
    "dino": Family(
        lambda state: any(key.startswith("head.mlp.") for key in state),
        taken={r"(?:backbone\.)?((?:cls_token|pos_embed|patch_embed|blocks|norm|conv1|bn1|layer\d).*)": r"\1"},
        left={
            r"(?:backbone\.)?mask(?:ed)?_(?:token|embed)": MASKED,
            r"head\..+": "head",
            r"(?:backbone\.)?fc\..+": "classifier",
        },
        architecture=_dino_network,
        measured_by=lambda spec: "--config configs/benchmarks/davis_dino.yaml" if "vit" in spec else DAVIS,
    ),
    "dinov2": Family(_is_dinov2, rules=_dinov2),
    "torchvision": Family(
        lambda state: {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight"} <= state.keys(),
        rules=_of_library("torchvision"),
    ),
    "timm": Family(lambda state: False, rules=_of_library("timm")),
}
"""Name → family, in the order in which they are tried."""


def family_of(file: ForeignFile, kind: str = "auto", architecture: str | None = None) -> str:
    """Return the name of the family that a file belongs to.

    Args:
        file: result of `read_foreign`.
        kind: its name in `FAMILIES`, or "auto" to go by the keys.
        architecture: what the user says the network is; its library decides where the keys leave it open.

    Raises:
        ValueError: if there is no such family, the keys leave it open, or the file is one of ours.
    """
    if "vidcorr" in file.beside:
        raise ValueError(f"{file.path}: already a checkpoint of vidcorr, no conversion is needed")
    if kind in FAMILIES:
        return kind
    if kind != "auto":
        raise ValueError(f"kind {kind!r}: there are auto, {', '.join(FAMILIES)}")
    if file.architecture == LiirEncoder.architecture:
        raise ValueError(f"{file.path}: Liir's encoder without what it was made with; use the checkpoint it came from")
    if file.architecture is not None:
        return "timm" if file.architecture.startswith("timm:") else "torchvision"
    for name, family in FAMILIES.items():
        if family.recognises(file.state):
            return name
    library = (architecture or "").partition(":")[0]
    if library in ("timm", "torchvision"):
        return library
    if "patch_embed.proj.weight" in file.state:
        raise ValueError(
            f"{file.path}: a vision transformer whose keys do not show how images were normalised; give --kind dino, "
            "or --kind timm --architecture timm:NAME"
        )
    raise ValueError(
        f"{file.path}: of no known family ({', '.join(FAMILIES)}); it has {', '.join(list(file.state)[:4])}, …"
    )
