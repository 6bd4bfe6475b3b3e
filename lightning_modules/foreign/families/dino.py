"""DINO's checkpoints, complete (teacher and student) or the backbone alone: a ViT in timm's names, or a ResNet."""

from ..foreign_file import State
from ..mapping import DAVIS, Converted, Family, frozen, resnet_name

TAKEN = {r"(?:backbone\.)?((?:cls_token|pos_embed|patch_embed|blocks|norm|conv1|bn1|layer\d).*)": r"\1"}
LEFT = {
    r"(?:backbone\.)?mask(?:ed)?_(?:token|embed)": "stands for masked patches in training",
    r"head\..+": "head",
    r"(?:backbone\.)?fc\..+": "classifier",
}
SIZES = {384: "small", 768: "base"}


def _convert(state: State, architecture: str | None) -> Converted:
    spec = architecture or _architecture({key.removeprefix("backbone."): value for key, value in state.items()})
    measured_by = "--config configs/benchmarks/davis_dino.yaml" if "vit" in spec else DAVIS
    return frozen(spec, state, TAKEN, LEFT, measured_by=measured_by)


def _architecture(state: State) -> str:
    patches = state.get("patch_embed.proj.weight")
    if patches is None:
        return f"torchvision:{resnet_name(state)}"
    width, _, patch, _ = patches.shape
    if width not in SIZES:
        raise ValueError(f"no transformer of DINO has width {width}; name it by --architecture timm:NAME")
    # of timm's weights of this form, `.dino` were trained with ImageNet's mean and deviation, as these
    return f"timm:vit_{SIZES[width]}_patch{patch}_224.dino"


DINO = Family("dino", lambda state: any(key.startswith("head.mlp.") for key in state), _convert)
