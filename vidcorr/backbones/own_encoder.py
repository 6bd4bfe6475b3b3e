"""The encoder of the package: a ResNet-18 that ends with res4, without torchvision, whose import takes a second."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

WEIGHTS = Path(__file__).parent / "weights" / "vidcorr-r18.safetensors"


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions with a shortcut, under torchvision's names.

    Args:
        channels: channels of the input.
        width: channels of the output.
        stride: stride of the first convolution, and of the shortcut.
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            shortcut = nn.Conv2d(channels, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return `(N, width, h / stride, w / stride)` of `(N, channels, h, w)`."""
        residual = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        residual += self.downsample(x)
        activated: Tensor = self.relu(residual)
        return activated


class ShortResNet18(nn.Module):
    """ResNet-18 up to res4, under torchvision's names; `layer4` is empty."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential()

    def forward(self, images: Tensor) -> Tensor:
        """Return pooled features `(N, 256)` of normalised RGB `(N, 3, H, W)`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for layer in (self.layer1, self.layer2, self.layer3):
            x = layer(x)
        return x.mean((2, 3))


def vidcorr_r18() -> nn.Module:
    """Return the encoder that comes with this project: a ResNet-18 that ends with res4, trained by VFS with negatives.

    Its card is `weights/vidcorr-r18.md`. It takes RGB normalised as ImageNet's. The file holds float16.
    """
    with torch.device("meta"):  # draws no random weights
        network = ShortResNet18()
    weights = load_file(WEIGHTS)
    for name, tensor in weights.items():
        if tensor.is_floating_point():
            weights[name] = tensor.float()
    network.load_state_dict(weights, assign=True)
    return network
