"""Checkpoints of other projects: their keys and shapes with random values, and their networks from plain parts."""

import json
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models.resnet import ResNet

from tests.helpers.references import GOLDEN

KEYS = GOLDEN / "checkpoint_keys.json"


def random_state(kind: str) -> dict[str, Tensor]:
    """Random values under the real keys of a public checkpoint, variances positive."""
    return {name: _random(name, shape) for name, shape in json.loads(KEYS.read_text())[kind]["keys"].items()}


def lively_resnet18() -> ResNet:
    """A ResNet-18 without classifier whose every parameter and statistic counts."""
    network = resnet18()
    network.fc = nn.Identity()
    enliven(network)
    return network.eval()


def enliven(network: nn.Module) -> None:
    """Give BatchNorms weights and statistics that a fresh network does not have."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


def mm_style(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's names as VFS's ConvModules have them."""
    named = {}
    for name, tensor in state.items():
        parts = name.split(".")
        if parts[-3:-1] in (["downsample", "0"], ["downsample", "1"]):
            parts[-2] = ("conv", "bn")[int(parts[-2])]
        else:
            kind, number = parts[-2][:-1], parts[-2][-1]
            parts[-2:-1] = [f"conv{number}", kind]
        named[".".join(["backbone", *parts])] = tensor
    return named


def features(network: ResNet, images: Tensor, stage: int = 4) -> Tensor:
    """Compute the features of a plain torchvision ResNet after `layer1 … layerN`, from RGB in [0, 1]."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = network.maxpool(network.relu(network.bn1(network.conv1((images - mean) / std))))
    for number in range(1, stage + 1):
        x = getattr(network, f"layer{number}")(x)
    return x


class Mast(nn.Module):
    """MAST's encoder under the names of its code: normalised Lab → features of stride 4; it skips `layer4`."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_extraction = resnet18()
        block = self.feature_extraction.layer3[0]
        block.conv1.stride = block.downsample[0].stride = (1, 1)
        self.post_convolution = nn.Conv2d(256, 64, 3, 1, 1)

    def forward(self, lab: Tensor) -> Tensor:
        net = self.feature_extraction
        return self.post_convolution(net.layer3(net.layer2(net.layer1(net.bn1(net.conv1(lab)).relu()))))


def reflecting_resnet18() -> ResNet:
    """CRW's encoder as its released weights have it: padding as a separate layer, res4 without stride, no res5."""
    network = lively_resnet18()
    network.layer4 = nn.Sequential()
    for module in network.layer3.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and child.padding != (0, 0):
                pad = nn.ReflectionPad2d(child.padding[0])
                child.padding = (0, 0)
                setattr(parent, name, nn.Sequential(pad, child))
    return network


def _random(name: str, shape: list[int | str]) -> Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    shape = [2 if isinstance(side, str) else side for side in shape]
    return torch.rand(shape) + 0.5 if name.endswith("running_var") else torch.randn(shape) * 0.05


def write(path, state, entry="state_dict", **beside):
    torch.save({entry: OrderedDict(state), **beside}, path)
    return path
