"""Short names of strong backbones of timm, for the command line: `--model dino-b8`."""

from typing import Any, NamedTuple


class ShortName(NamedTuple):
    """A pretrained network with a short name.

    Attributes:
        spec: the name that `build_feature_extractor` takes; the weights are the library's own.
        stage: stage of the features: that of the published evaluation, or the last block where there is none.
        description: method, network and pretraining, for people.
    """

    spec: str
    stage: str
    description: str


SHORT_NAMES = {
    "dino-s16": ShortName("timm:vit_small_patch16_224.dino", "block12", "DINO, ViT-S/16, ImageNet"),
    "dino-s8": ShortName("timm:vit_small_patch8_224.dino", "block12", "DINO, ViT-S/8, ImageNet"),
    "dino-b16": ShortName("timm:vit_base_patch16_224.dino", "block12", "DINO, ViT-B/16, ImageNet"),
    "dino-b8": ShortName("timm:vit_base_patch8_224.dino", "block12", "DINO, ViT-B/8, ImageNet"),
    "dinov2-s14": ShortName("timm:vit_small_patch14_reg4_dinov2.lvd142m", "block12", "DINOv2 with registers, ViT-S/14"),
    "dinov2-b14": ShortName("timm:vit_base_patch14_reg4_dinov2.lvd142m", "block12", "DINOv2 with registers, ViT-B/14"),
    "dinov2-l14": ShortName("timm:vit_large_patch14_reg4_dinov2.lvd142m", "block24", "DINOv2 with registers, ViT-L/14"),
    "dinov3-s16": ShortName("timm:vit_small_patch16_dinov3.lvd1689m", "block12", "DINOv3, ViT-S/16"),
    "dinov3-b16": ShortName("timm:vit_base_patch16_dinov3.lvd1689m", "block12", "DINOv3, ViT-B/16"),
    "dinov3-l16": ShortName("timm:vit_large_patch16_dinov3.lvd1689m", "block24", "DINOv3, ViT-L/16"),
    "mae-b16": ShortName("timm:vit_base_patch16_224.mae", "block12", "MAE, ViT-B/16, ImageNet"),
    "supervised-r18": ShortName("timm:resnet18.tv_in1k", "res4", "supervised, ResNet-18, ImageNet"),
    "supervised-r50": ShortName("timm:resnet50.tv_in1k", "res4", "supervised, ResNet-50, ImageNet"),
}
"""Name → network. Weights come from timm's cache, or over the network when they are first asked for."""


def read_spec(text: str) -> dict[str, Any]:
    """Read a backbone as `compare` and `--model` take it.

    Args:
        text: `SPEC`, `SPEC@STAGE` or `SPEC@STAGE/STRIDE`; SPEC is one of `build_feature_extractor`, or a short name,
            which brings its weights and stage.

    Returns:
        Arguments of `FrozenEncoder`: spec, stage, stride and pretrained; None is its default.

    Raises:
        ValueError: if the stride is not a number.
    """
    spec, _, view = text.partition("@")
    stage, _, stride = view.partition("/")
    if stride and not stride.isdecimal():
        raise ValueError(f"{text}: the stride {stride!r} is not a number; write SPEC@STAGE/STRIDE")
    network = SHORT_NAMES.get(spec)
    return {
        "spec": network.spec if network else spec,
        "stage": stage or (network.stage if network else None),
        "stride": int(stride) if stride else None,
        "pretrained": True if network else None,
    }
