"""Checkpoints of DINOv2 and DINOv3: mask token, register tokens and layer scale under their own names.

Sources: facebookresearch/dinov2 and facebookresearch/dinov3, `hubconf.py` and `models/vision_transformer.py`.
"""

import torch

from ..foreign_file import State
from ..mapping import Converted, Family, frozen

SIZES = {384: "small", 768: "base", 1024: "large", 1280: "huge_plus", 1536: "giant"}
TAKEN = {
    r"(?:backbone\.)?(cls_token|pos_embed|patch_embed\.proj\.\w+|norm\.\w+)": r"\1",
    r"(?:backbone\.)?(?:register_tokens|storage_tokens)": "reg_token",
    r"(?:backbone\.)?(blocks\.\d+\.(?:norm\d|attn\.qkv|attn\.proj|mlp\.fc\d)\.\w+)": r"\1",
    r"(?:backbone\.)?(blocks\.\d+)\.mlp\.w12\.(\w+)": r"\1.mlp.fc1.\2",
    r"(?:backbone\.)?(blocks\.\d+)\.mlp\.w3\.(\w+)": r"\1.mlp.fc2.\2",
}
LAYER_SCALE = {r"(?:backbone\.)?(blocks\.\d+\.ls[12]\.gamma)": r"\1"}
LAYER_SCALE_V3 = {r"(?:backbone\.)?(blocks\.\d+)\.ls([12])\.gamma": r"\1.gamma_\2"}
LEFT = {
    r"(?:backbone\.)?mask_token": "stands for masked patches in training",
    r"(?:dino|ibot)_head\..+": "head",
    r"(?:backbone\.)?.+\.bias_mask": "zeros that the bias of the keys is multiplied by",
    r"(?:backbone\.)?rope_embed\.periods": "fixed numbers that timm computes",
    r"(?:backbone\.)?local_cls_norm\.\w+": "norm of the class token of local crops, in training",
}
MEASURED_BY = "--config configs/benchmarks/davis.yaml --trainer.callbacks.protocol vidcorr"


def _convert(state: State, architecture: str | None) -> Converted:
    plain = {name.removeprefix("backbone."): tensor for name, tensor in state.items()}
    third = "storage_tokens" in plain
    spec = architecture or _architecture(plain, third)
    left, taken = dict(LEFT), TAKEN | (LAYER_SCALE_V3 if third else LAYER_SCALE)
    if third:
        left[r"(?:backbone\.)?blocks\.\d+\.attn\.qkv\.bias"] = "given as biases of queries and values"
    converted = frozen(spec, state, taken, left, measured_by=MEASURED_BY)
    weights = converted.state
    prefix = "encoder.network."
    if third and _has_bias(plain):
        weights |= {prefix + name: tensor for name, tensor in _split_biases(plain).items()}
    elif not third and f"{prefix}reg_token" in weights:
        positions = weights[f"{prefix}pos_embed"]  # timm adds the class token's position once and for all
        weights[f"{prefix}cls_token"] = weights[f"{prefix}cls_token"] + positions[:, :1]
        weights[f"{prefix}pos_embed"] = positions[:, 1:]
    return converted


def _architecture(state: State, third: bool) -> str:
    width, _, patch, _ = state["patch_embed.proj.weight"].shape
    if width not in SIZES:
        raise ValueError(f"no transformer of DINOv2 has width {width}; name it by --architecture timm:NAME")
    if third:
        return f"timm:vit_{SIZES[width]}_patch{patch}_dinov3{'_qkvb' * _has_bias(state)}"
    registers = state.get("register_tokens")
    return f"timm:vit_{SIZES[width]}_patch{patch}{f'_reg{registers.shape[1]}' if registers is not None else ''}_dinov2"


def _has_bias(state: State) -> bool:
    """Return whether the queries or values have a bias; that of the keys is always zero, and some models have none."""
    biases = (tensor for name, tensor in state.items() if name.endswith("attn.qkv.bias"))
    return any(bool((part != 0).any()) for bias in biases for part in bias.tensor_split(3)[::2])


def _split_biases(state: State) -> State:
    """Return the biases of queries and values, which timm stores separately."""
    split: State = {}
    for name, bias in state.items():
        if name.endswith("attn.qkv.bias"):
            query, _, value = bias.tensor_split(3)
            split[name.replace("qkv.bias", "q_bias")] = torch.clone(query)
            split[name.replace("qkv.bias", "v_bias")] = torch.clone(value)
    return split


def _recognises(state: State) -> bool:
    plain = {name.removeprefix("backbone.") for name in state}
    return {"mask_token", "patch_embed.proj.weight"} <= plain and "blocks.0.ls1.gamma" in plain


DINOV2 = Family("dinov2", _recognises, _convert)
