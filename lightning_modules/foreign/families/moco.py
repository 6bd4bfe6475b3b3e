"""MoCo's checkpoints: the query encoder, in torchvision's names."""

from ..foreign_file import State
from ..mapping import Converted, Family, frozen, resnet_name

TAKEN = {r"encoder_q\.((?:conv1|bn1|layer\d)\..+)": r"\1"}
LEFT = {
    r"encoder_q\.fc\..+": "projector",
    r"encoder_k\..+": "moving average",
    r"queue(_ptr)?": "negatives",
}


def _convert(state: State, architecture: str | None) -> Converted:
    return frozen(architecture or f"torchvision:{resnet_name(state, 'encoder_q.')}", state, TAKEN, LEFT)


MOCO = Family("moco", lambda state: "encoder_q.conv1.weight" in state, _convert)
