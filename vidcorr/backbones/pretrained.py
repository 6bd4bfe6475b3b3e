"""Pretrained networks by short names (`--model dino-b8`); imports no torch."""

from typing import Any

SHORT_NAMES = {
    "dino-s16": "timm:vit_small_patch16_224.dino@block12",
    "dino-s8": "timm:vit_small_patch8_224.dino@block12",
    "dino-b16": "timm:vit_base_patch16_224.dino@block12",
    "dino-b8": "timm:vit_base_patch8_224.dino@block12",
    "dinov2-s14": "timm:vit_small_patch14_reg4_dinov2.lvd142m@block12",  # with registers
    "dinov2-b14": "timm:vit_base_patch14_reg4_dinov2.lvd142m@block12",
    "dinov2-l14": "timm:vit_large_patch14_reg4_dinov2.lvd142m@block24",
    "dinov3-s16": "timm:vit_small_patch16_dinov3.lvd1689m@block12",
    "dinov3-b16": "timm:vit_base_patch16_dinov3.lvd1689m@block12",
    "dinov3-l16": "timm:vit_large_patch16_dinov3.lvd1689m@block24",
    "mae-b16": "timm:vit_base_patch16_224.mae@block12",
    "supervised-r18": "timm:resnet18.tv_in1k@res4",
    "supervised-r50": "timm:resnet50.tv_in1k@res4",
}
"""Name → pretrained network and the stage of its published evaluation, or its last block.

Weights come from timm's cache, or over the network at first use.
"""


def read_spec(text: str) -> dict[str, Any]:
    """Read a backbone from the command line.

    Args:
        text: `SPEC`, `SPEC@STAGE` or `SPEC@STAGE/STRIDE`; SPEC is a spec of `build_feature_extractor`, or a short name
            that implies pretrained weights and a stage.

    Returns:
        Arguments of `FrozenEncoder`: spec, stage, stride and pretrained; None is its default.

    Raises:
        ValueError: if the stride is not a number.
    """
    given, _, view = text.partition("@")
    stage, _, stride = view.partition("/")
    if stride and not stride.isdecimal():
        raise ValueError(f"{text}: the stride {stride!r} is not a number; write SPEC@STAGE/STRIDE")
    spec, _, default_stage = SHORT_NAMES.get(given, given).partition("@")
    return {
        "spec": spec,
        "stage": stage or default_stage or None,
        "stride": int(stride) if stride else None,
        "pretrained": True if given in SHORT_NAMES else None,
    }
