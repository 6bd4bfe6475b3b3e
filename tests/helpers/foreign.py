"""Plain ResNets whose every statistic counts, and their features without our code."""

import torch
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models.resnet import ResNet


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


def features(network: ResNet, images: Tensor, stage: int = 4) -> Tensor:
    """Compute the features of a plain torchvision ResNet after `layer1 … layerN`, from RGB in [0, 1]."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = network.maxpool(network.relu(network.bn1(network.conv1((images - mean) / std))))
    for number in range(1, stage + 1):
        x = getattr(network, f"layer{number}")(x)
    return x
