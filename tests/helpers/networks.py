"""Kinds of networks that people bring, each by a function that a name may call; importing them needs no Lightning."""

from collections import namedtuple
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock

from tests.helpers.encoders import TinyResNet, clips as clips, tiny_vit
from vidcorr.backbones import Clips, build_feature_extractor

WIDTH = 8
HiddenStates = namedtuple("HiddenStates", "last_hidden_state")


class OfClips(nn.Module):
    """A 3-D convolution over an image, as a clip of one frame."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Conv3d(3, WIDTH, (1, 8, 8), (1, 8, 8))

    def forward(self, images: Tensor) -> Tensor:
        return self.cells(images[:, :, None])[:, :, 0]


class OfCells(nn.Module):
    """Cells of 8 px, of which the networks below make their outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Conv2d(3, WIDTH, 8, 8)


class Tokens(OfCells):
    """Tokens of patches, after a class token and a register."""

    patch_size = (8, 8)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.cells(images).flatten(2).mT
        return torch.cat([tokens[:, :2] * 0, tokens], dim=1)


class OfHub(Tokens):
    """Tokens in the form of a model of Hugging Face."""

    patch_size = None

    def __init__(self) -> None:
        super().__init__()
        self.config = nn.Module()
        self.config.patch_size = 8

    def forward(self, images: Tensor) -> HiddenStates:  # type: ignore[override]
        return HiddenStates(super().forward(images))


class Dino(OfCells):
    """A transformer in the layout of DINO's code: its call gives the class token, a method its last blocks'."""

    patch_size = 8

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()) for _ in range(3))

    def get_intermediate_layers(self, x: Tensor, n: int = 1) -> list[Tensor]:
        x = self.cells(x).flatten(2).mT
        x = torch.cat([x.mean(1, keepdim=True), x], dim=1)
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return outputs[-n:]

    def forward(self, images: Tensor) -> Tensor:
        return Dino.get_intermediate_layers(self, images)[0][:, 0]


class Dino3(Dino):
    """A transformer with the words of DINOv3's code: tokens of its last blocks, without class and register tokens."""

    def get_intermediate_layers(  # type: ignore[override]
        self,
        x: Tensor,
        *,
        n: int = 1,
        reshape: bool = False,
        return_class_token: bool = False,
        return_extra_tokens: bool = False,
        norm: bool = True,
    ) -> tuple[Tensor, ...]:
        return tuple(tokens[:, 1:] for tokens in super().get_intermediate_layers(x, n))


class Fpn(ResNet):
    """A subclass with an own forward: the sum of its stages, at stride 4."""

    def __init__(self) -> None:
        super().__init__(BasicBlock, [1, 1, 1, 1])
        self.fc = nn.Identity()
        self.lateral = nn.ModuleList(nn.Conv2d(channels, WIDTH, 1) for channels in (64, 128, 256, 512))

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        total: Any = 0.0
        for stage, lateral in zip((self.layer1, self.layer2, self.layer3, self.layer4), self.lateral, strict=True):
            x = stage(x)
            total = total + nn.functional.interpolate(lateral(x), (images.shape[2] // 4, images.shape[3] // 4))
        return total


class NeckOfZeros(Fpn):
    """The last map, and a layer that begins at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral = nn.Conv2d(512, 512, 1)
        nn.init.zeros_(self.lateral.weight)

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x + self.lateral(x)


class Taken(nn.Module):
    """A network that takes a ResNet's parts, and joins two of its maps."""

    def __init__(self) -> None:
        super().__init__()
        for name, part in TinyResNet().named_children():
            self.add_module(name, part)

    def forward(self, images: Tensor) -> Tensor:
        fine = self.layer2(self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(images))))))
        return torch.cat([fine, nn.functional.interpolate(self.layer3(fine), fine.shape[2:])], dim=1)


class WithoutRes5(ResNet):
    """CRW's ResNet: `layer4` and what follows are None."""

    def __init__(self) -> None:
        super().__init__(BasicBlock, [1, 1, 1, 1])
        self.layer4 = self.avgpool = self.fc = None

    def forward(self, images: Tensor) -> Tensor:
        return self.layer3(self.layer2(self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(images)))))))


class Gem(ResNet):
    """A subclass whose call pools the last map by a generalised mean, and projects it."""

    def __init__(self) -> None:
        super().__init__(BasicBlock, [1, 1, 1, 1], num_classes=WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3))


class Stages(Gem):
    """Gives the maps of its stages, as backbones of detectors do."""

    def forward(self, images: Tensor) -> Any:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            maps.append(x)
        return tuple(maps)


class Half(Fpn):
    """Gives a map in half precision."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).half()


class Small(Gem):
    """A ResNet for pictures of 32 px: strides 1, 2, 4 and 8."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.maxpool = nn.Identity()


class Lazy(nn.Module):
    """A layer whose weights have no shape before the first call."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LazyConv2d(WIDTH, 8, 8)

    def forward(self, images: Tensor) -> Tensor:
        return self.cells(images)


class Overlapping(nn.Module):
    """Tokens of patches of 16 px that overlap by half."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.patch_size = 16
        self.patch_embed.proj = nn.Conv2d(3, WIDTH, 16, 8, padding=4)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patch_embed.proj(images).flatten(2).mT
        return torch.cat([tokens[:, :1] * 0, tokens], dim=1)


class Tied(OfCells):
    """Two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(WIDTH, WIDTH, 1), nn.Conv2d(WIDTH, WIDTH, 1)
        self.second.weight = self.first.weight

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.first(self.cells(images)).relu())


class ClassToken(timm.models.VisionTransformer):
    """A transformer of timm whose call gives its class token through a head."""

    def __init__(self) -> None:
        super().__init__(32, 16, num_classes=WIDTH, embed_dim=48, depth=2, num_heads=3, dynamic_img_size=True)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.forward_features(images)[:, 0])


class Grey(Fpn):
    """Pools the map of another picture."""

    def forward(self, images: Tensor) -> Tensor:
        return self._forward_impl(images.mean(1, keepdim=True).expand_as(images))


class Adapted(timm.models.VisionTransformer):
    """A transformer of timm with a neck."""

    def __init__(self) -> None:
        super().__init__(32, 16, num_classes=0, embed_dim=48, depth=2, num_heads=3, dynamic_img_size=True)
        self.neck = nn.Conv2d(48, WIDTH, 1)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.forward_features(images)[:, 1:]
        return self.neck(tokens.mT.unflatten(2, (images.shape[2] // 16, images.shape[3] // 16)))


class VJepa(nn.Module):
    """Tokens of a clip, as V-JEPA 2.1 gives them, of tubelets of two frames."""

    patch_size = 8

    def __init__(self) -> None:
        super().__init__()
        self.video = nn.Conv3d(3, WIDTH, (2, 8, 8), (2, 8, 8))

    def forward(self, clip: Tensor) -> Tensor:
        return self.video(clip).flatten(2).mT


class Stated(nn.Conv2d):
    """A convolution that states its input."""

    input_mean = (0.1, 0.2, 0.3)
    input_std = (0.2, 0.2, 0.2)

    def __init__(self) -> None:
        super().__init__(3, WIDTH, 8, 8)


class WithEncoder(nn.Module):
    """A stranger's module without a forward pass, as many a LightningModule."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = TinyResNet()
        self.head = nn.Linear(8, 2)


class Classifier(OfCells):
    """A classifier whose method gives the maps of its cells."""

    def forward(self, images: Tensor) -> Tensor:
        return self.cells(images).mean((2, 3))

    def feature_extractor(self, stage: str | None = None, stride: int | None = None) -> nn.Module:
        return build_feature_extractor(self.cells, stage, stride)


class Several(OfCells):
    """Gives a tuple, of which nobody knows which is the map."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.cells(images), images


class Maps(nn.Module):
    """Two maps by names, behind a BatchNorm whose statistics move in training."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.norm, self.coarse = nn.Conv2d(3, 4, 4, 4), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 2, 2)

    def forward(self, images: Tensor) -> Any:
        fine = self.norm(self.fine(images))
        return {"fine": fine, "coarse": self.coarse(fine)}


class InList(Maps):
    def forward(self, images: Tensor) -> Any:
        return list(super().forward(images).values())


def features_only() -> nn.Module:
    network = timm.create_model("test_resnet", features_only=True)
    network.pretrained_cfg = {}  # its record is of other weights
    return network


def plain() -> nn.Module:
    return nn.Conv2d(3, WIDTH, 8, 8)


def extractor() -> nn.Module:
    return build_feature_extractor(TinyResNet(), "res4", 8)


def vit() -> nn.Module:
    return tiny_vit(64)


def clips_of_tokens() -> nn.Module:
    return Clips(VJepa(), window=4)
