"""State dicts of torchvision and timm, with or without the classifier."""

import re

import torch

from ...backbones.networks import build_network
from ..foreign_file import State
from ..mapping import DAVIS, Converted, Family, frozen, resnet_name

CLASSIFIER = re.compile(r"(fc|head|heads|classifier)\..+")


def _convert(library: str, state: State, architecture: str | None) -> Converted:
    spec = architecture or f"{library}:{_resnet(library, state)}"
    with torch.device("meta"):
        own = build_network(spec).state_dict()
    left = {re.escape(key): "classifier" for key in state if key not in own and CLASSIFIER.fullmatch(key)}
    left |= {"mask_token": "stands for masked patches in training"} if "mask_token" not in own else {}
    transformer = "patch_embed.proj.weight" in state
    own_choice = f"{DAVIS} --trainer.callbacks.protocol vidcorr"
    return frozen(spec, state, {r"(.+)": r"\1"}, left, measured_by=own_choice if transformer else DAVIS)


def _resnet(library: str, state: State) -> str:
    if "conv1.weight" not in state:
        raise ValueError(
            "the keys do not show which network this is, nor how its images were normalised; name it by "
            f"--architecture, for example {library}:vit_small_patch16_224.dino"
        )
    return resnet_name(state)


TORCHVISION = Family(
    "torchvision",
    lambda state: {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight"} <= state.keys(),
    lambda state, architecture: _convert("torchvision", state, architecture),
)
TIMM = Family("timm", lambda state: False, lambda state, architecture: _convert("timm", state, architecture))
