"""ResNets of torchvision or timm, seen at a stage, with strides removed as a benchmark needs it.

Stages follow the papers: `res2 … res5` are torchvision's `layer1 … layer4`; `res4.b1` is the first block of res4.
"""

import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..functional.device import M
from .extractor import Dilated, FeatureExtractor
from .networks import build_network

LAYER_OF_STAGE = {"res2": "layer1", "res3": "layer2", "res4": "layer3", "res5": "layer4"}
NATURAL_STRIDE = {"res2": 4, "res3": 8, "res4": 16, "res5": 32}
WEIGHTS = Path(__file__).parent / "weights"
SIAMFC_DILATION = {"res4": 2, "res5": 4}


def is_resnet(network: nn.Module) -> bool:
    """Return whether a network has a ResNet's parts under the names that torchvision and timm both use."""
    return all(hasattr(network, part) for part in ("conv1", "bn1", "maxpool", *LAYER_OF_STAGE.values()))


def named_blocks(network: nn.Module) -> dict[str, nn.Module]:
    """Return the blocks of a ResNet in order, `res2.b1` and so on → module."""
    layers = {stage: getattr(network, layer) for stage, layer in LAYER_OF_STAGE.items()}
    return {f"{stage}.b{n}": block for stage, layer in layers.items() for n, block in enumerate(layer, start=1)}


def stage_of(block: str) -> str:
    """Return the stage of a block: `res4.b1` → `res4`."""
    return block.partition(".")[0]


def folded_copy(network: M) -> M:
    """Return a copy with every BatchNorm folded into the convolution before it: the same maps to rounding, faster.

    The copy does not share weights: make a new copy after training. It is channels last. The blocks of torchvision,
    timm and this project register a BatchNorm right after its convolution.
    """
    fast = copy.deepcopy(network)
    for module in list(fast.modules()):
        for (first, convolution), (second, norm) in itertools.pairwise(list(module.named_children())):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(convolution, norm))
                setattr(module, second, nn.Identity())
    return fast.to(memory_format=torch.channels_last)


class ResNetExtractor(FeatureExtractor):
    """A view of the stages of a ResNet.

    It changes strides and dilations of the network, so pass a copy (`shared_copy`).

    Args:
        network: a ResNet in torchvision's or timm's naming, taken over by this view.
        normalise: applied to RGB in [0, 1] first.
        stage: `res2 … res5`, a block (`res4.b1`), or a list of names.
        stride: pixels per cell at most; strides of later stages are removed. None keeps the network's strides.
        dilated: remove the strides of res4 and res5 and give their 3×3 convolutions dilation 2 and 4
            (VFS, section 4.2, as in SiamFC's evaluation). "released": as in the released code of VFS: half the dilation
            in the first block of a stage, and in blocks of two 3×3 convolutions (ResNet-18 and 34) none in the second.

    Raises:
        ValueError: if a stage does not exist or removing strides does not give the stride.
    """

    def __init__(
        self,
        network: nn.Module,
        normalise: nn.Module,
        stage: str | list[str] = "res4",
        stride: int | None = None,
        dilated: Dilated = False,
    ) -> None:
        blocks = named_blocks(network)
        super().__init__(stage, [*dict.fromkeys(map(stage_of, blocks)), *blocks], "this ResNet")
        if stride is not None and stride not in NATURAL_STRIDE.values():
            raise ValueError(f"stride {stride}: a ResNet's strides can be {sorted(NATURAL_STRIDE.values())} or None")
        coarsest = 8 if dilated else stride or NATURAL_STRIDE["res5"]
        for name, layer in LAYER_OF_STAGE.items():
            if NATURAL_STRIDE[name] > coarsest:
                remove_strides(getattr(network, layer))
        self.dilated = dilated
        if dilated:
            for name, dilation in SIAMFC_DILATION.items():
                for index, block in enumerate(getattr(network, LAYER_OF_STAGE[name])):
                    released = dilated == "released"
                    _dilate(block, dilation // 2 if released and index == 0 else dilation, only_first=released)
        self.normalise = normalise
        self.architecture: str | None = getattr(network, "architecture", None)
        self.weights_origin: str | None = getattr(network, "weights_origin", None)
        self.weights_seed: int | None = getattr(network, "weights_seed", None)
        self.stem = nn.Sequential(*_stem(network))
        last = max(n for n, name in enumerate(blocks) if {name, stage_of(name)} & {*self.parts})
        needed = list(blocks.items())[: last + 1]
        self.blocks = nn.ModuleDict({name.replace(".", "_"): block for name, block in needed})  # a key holds no dot
        self.set_strides({part: min(NATURAL_STRIDE[stage_of(part)], coarsest) for part in self.parts})
        self.eval()

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return the maps of `parts` by name."""
        found: dict[str, Tensor] = {}
        x = self.stem(self.normalise(images))
        for key, block in self.blocks.items():
            x = block(x)
            found |= {part: x for part in (key.partition("_")[0], key.replace("_", ".")) if part in self.parts}
        return found

    folded = folded_copy


def resnet_maps(network: Any, images: Tensor) -> Tensor:
    """Return the last map of a ResNet, before its pooling: normalised `(N, 3, H, W)` → `(N, C, h, w)`."""
    x = images
    for part in (*_stem(network), *(getattr(network, layer) for layer in LAYER_OF_STAGE.values())):
        x = part(x)
    return x


def _stem(network: Any) -> Iterator[nn.Module]:
    yield network.conv1
    yield network.bn1
    yield network.relu if hasattr(network, "relu") else network.act1
    yield network.maxpool


def remove_strides(blocks: nn.Module) -> None:
    """Set the strides of a stage's convolutions and poolings to 1, in place; timm's blurred poolings too."""
    for module in blocks.modules():
        if isinstance(stride := getattr(module, "stride", None), int | tuple):
            module.stride = 1 if isinstance(stride, int) else (1,) * len(stride)  # type: ignore[assignment]
            if isinstance(module, nn.AvgPool2d):
                module.kernel_size, module.padding = 1, 0


def _dilate(block: nn.Module, dilation: int, only_first: bool) -> None:
    convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    for module in convolutions[:1] if only_first else convolutions:
        module.dilation = module.padding = (dilation, dilation)
        module._reversed_padding_repeated_twice = [dilation] * 4  # used by padding modes other than zeros


def crw_resnet18() -> nn.Module:
    """Return CRW's encoder: a ResNet-18 that ends with res4, with convolutions that pad by reflection.

    Source: videowalk, `model_type` scratch. The extractor removes the stride of res4 (stride 8).
    """
    network = build_network("torchvision:resnet18")
    network.layer4 = nn.Sequential()
    return _reflecting(network)


def vidcorr_r18() -> nn.Module:
    """Return the encoder that comes with this project: a ResNet-18 that ends with res4, trained by VFS with negatives.

    Its card is `weights/vidcorr-r18.md`. It takes RGB normalised as ImageNet's. The file holds float16.
    """
    with torch.device("meta"):  # draws no random weights
        network = build_network("torchvision:resnet18")
        network.layer4 = nn.Sequential()
    stored = load_file(WEIGHTS / "vidcorr-r18.safetensors")
    weights = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in stored.items()}
    network.load_state_dict(weights, assign=True)
    return network


def crw_training_resnet18() -> nn.Module:
    """Return the network that CRW trains: ResNet-18 at stride 8 up to res5, padding by reflection.

    The convolutions of res4 and res5 have stride 1 and no dilation. Residual blocks start as in torchvision, not at
    zero.

    Source: videowalk, `model_type` scratch.
    """
    from torchvision.models import resnet18

    network = resnet18()
    network.fc = nn.Identity()
    for layer in (network.layer3, network.layer4):
        remove_strides(layer)
    return _reflecting(network)


def _reflecting(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
            module.padding_mode = "reflect"
    return network
