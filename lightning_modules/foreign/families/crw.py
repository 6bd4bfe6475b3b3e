"""Checkpoints of the contrastive random walk (CRW, videowalk)."""

from ..foreign_file import State
from ..mapping import DAVIS, Converted, Family, frozen

TAKEN = {
    r"encoder\.model\.((?:layer\d\.\d+\.)?conv\d)\.1\.(weight)": r"\1.\2",  # released weights: padding as a layer, .0
    r"encoder\.model\.((?:conv1|bn1|layer[123]\..+)\.\w+)": r"\1",
}
LEFT = {
    r"selfsim_(fc|head)\..+": "head",
    r"encoder\.model\.layer4\..+": "left out in CRW's evaluation",
    r"encoder\.model\.fc\..+": "classifier",
}

NOTE = "taken as of model_type scratch, whose convolutions pad by reflection; the keys do not show it"
MEASURED_BY = f"{DAVIS} --trainer.callbacks.protocol crw"


def _convert(state: State, architecture: str | None) -> Converted:
    spec = architecture or "lightning_modules.backbones:crw_resnet18"
    return frozen(spec, state, TAKEN, LEFT, NOTE, MEASURED_BY)


CRW = Family("crw", lambda state: any(key.startswith("encoder.model.conv1.") for key in state), _convert)
