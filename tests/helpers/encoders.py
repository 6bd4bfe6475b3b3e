"""Encoders for tests, as a user would write them; importing them needs no Lightning."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from vidcorr.backbones import Clips, Recurrent


class Blocky(nn.Module):
    """Mean colour of 4 × 4 cells: a user's own encoder of stride 4."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(images, 4)


class Wrapped(nn.Module):
    """A convolution in an attribute whose name is also a common prefix of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Conv2d(3, 4, 4, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


class Patches(nn.Sequential):
    """An encoder of stride 24, which no map of the blank image shows: a user states it."""

    stride = 24

    def __init__(self) -> None:
        super().__init__(nn.ZeroPad2d((0, 16, 0, 8)), nn.Conv2d(3, 4, 24, 24))


class TinyResNet(nn.Module):
    """A network with a ResNet's names, small enough to train within a test."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for number, stride in enumerate((1, 2, 2, 2), start=1):
            block = nn.Sequential(nn.Conv2d(width, width, 3, stride, 1), nn.BatchNorm2d(width), nn.ReLU())
            self.add_module(f"layer{number}", nn.Sequential(block))

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1)


def tiny_vit(size: int | tuple[int, int] = 32) -> nn.Module:
    """Return a ViT of timm with patches of 8 px: the one of the golden numbers of SiamMAE and Co-Settle."""
    from timm.models import VisionTransformer

    return VisionTransformer(size, 8, num_classes=0, embed_dim=48, depth=2, num_heads=3, dynamic_img_size=True)


def clip_network(numbers: Mapping[str, Tensor], mixed: bool = True) -> Callable[[Tensor], Tensor]:
    """Return a clip network of section 4 of the README beside the golden numbers of encoders of video."""

    def network(clip: Tensor) -> Tensor:
        z = nn.functional.conv3d(clip, numbers["weight"], numbers["bias"], stride=(2, 8, 8))
        if not mixed:
            return z
        z = torch.tanh(z)
        return z + torch.einsum("dc,nchw->ndhw", numbers["mix"], z.mean(2)).unsqueeze(2)

    return network


def recurrent_step(numbers: Mapping[str, Tensor]) -> Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]:
    """The gated toy network of section 5; the state's first token is a summary, not a cell."""

    def step(frame: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        patches = nn.functional.conv2d(frame[None], numbers["embed_weight"], numbers["embed_bias"], stride=8)[0]
        embedded = patches.flatten(1).T
        tokens = torch.cat([numbers["cls"].view(1, -1) + embedded.mean(0, keepdim=True), embedded])
        state = torch.zeros_like(tokens) if state is None else state
        update = torch.sigmoid(tokens @ numbers["input_update"] + state @ numbers["state_update"])
        reset = torch.sigmoid(tokens @ numbers["input_reset"] + state @ numbers["state_reset"]) * state
        new = torch.tanh(tokens @ numbers["input_new"] + (reset + reset.mean(0)) @ numbers["state_new"])
        state = (1 - update) * state + update * new
        return state[1:].T.reshape(-1, *patches.shape[1:]), state

    return step


class Smoothed(nn.Module):
    """Cells of 8 px, averaged with those of the frames before: its bound method `step` is a recurrent network."""

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.norm = nn.Conv2d(3, 8, 8, 8), nn.BatchNorm2d(8)

    def step(self, frame: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        cells = self.norm(self.cells(frame[None]))[0]
        state = cells if state is None else (cells + state) / 2
        return state, state


def recurrent() -> Recurrent:
    return Recurrent(Smoothed().step)


def clips() -> Clips:
    return Clips(nn.Sequential(nn.Conv3d(3, 8, (2, 8, 8), (2, 8, 8)), nn.BatchNorm3d(8)), window=4)


def clips_over(extractor: nn.Module) -> Clips:
    """An encoder of clips of four frames with the maps of an image extractor, so that nothing else may differ."""
    return Clips(lambda clip: extractor(clip[0]).transpose(0, 1)[None], 4, 1, layout="TCHW", mean=None)
