"""Checkpoints of the contrastive random walk (CRW, videowalk)."""

from torch import nn

from ..networks import build_network
from .mapping import DAVIS, Converted, Family, frozen
from .reading import State

TAKEN = {
    r"encoder\.model\.((?:layer\d\.\d+\.)?conv\d)\.1\.(weight)": r"\1.\2",  # released weights: padding as a layer, .0
    r"encoder\.model\.((?:conv1|bn1|layer[123]\..+)\.\w+)": r"\1",
}
LEFT = {
    r"selfsim_(fc|head)\..+": "head",
    r"encoder\.model\.layer4\..+": "left out in CRW's evaluation",
    r"encoder\.model\.fc\..+": "classifier",
}

NOTE = "taken as of model_type scratch, whose convolutions pad by reflection; the keys do not tell"
MEASURED_BY = f"{DAVIS} --trainer.callbacks.protocol crw"


def crw_resnet18() -> nn.Module:
    """CRW's encoder: a ResNet-18 that ends with res4 and whose convolutions pad by reflection.

    Source: videowalk, `model_type` scratch. That it leaves out the stride of res4 is the extractor's matter (stride 8).
    """
    network = build_network("torchvision:resnet18")
    network.layer4 = nn.Sequential()
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
            module.padding_mode = "reflect"
    return network


def _convert(state: State, architecture: str | None) -> Converted:
    spec = architecture or "lightning_modules.backbones:crw_resnet18"
    return frozen(spec, state, TAKEN, LEFT, NOTE, MEASURED_BY)


CRW = Family("crw", lambda state: any(key.startswith("encoder.model.conv1.") for key in state), _convert)
