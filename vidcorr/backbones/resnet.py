"""ResNets: their stages' strides and dilations, folded BatchNorms; the package's own one, and CRW's."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.fx import GraphModule
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..description import IMAGENET_MEAN, IMAGENET_STD
from ..functional.device import random_state_kept
from .copies import M, module_copy
from .extractor import has_parts

LAYER_OF_STAGE = {"res2": "layer1", "res3": "layer2", "res4": "layer3", "res5": "layer4"}
SIAMFC_DILATION = {"res4": 2, "res5": 4}
WEIGHTS = Path(__file__).parent / "weights" / "vidcorr-r18.safetensors"


def is_resnet(network: object) -> bool:
    """Return whether a network has a ResNet's parts under the names that torchvision and timm both use."""
    if isinstance(network, GraphModule | nn.ModuleDict):  # torchvision's and timm's feature extractors of a ResNet
        return False
    return has_parts(network, "conv1", "bn1", "maxpool", *LAYER_OF_STAGE.values())


def folded_copy(network: M) -> M:
    """Return a copy with every BatchNorm folded into the convolution before it: faster, with equal maps up to rounding.

    The copy has weights of its own, and is channels last. A BatchNorm is taken by its place among the parts, right
    after its convolution, as torchvision, timm and this project register it; elsewhere the copy computes other maps,
    which `NetworkView.folded` finds out.
    """
    fast = module_copy(network, shares_tensors=False).eval()
    for module in list(fast.modules()):
        children: list[tuple[str, Any]] = list(module.named_children())
        for (first, convolution), (second, norm) in pairwise(children):
            # a norm without running statistics depends on the batch
            if type(convolution) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d or norm.running_mean is None:
                continue
            # under `weight_norm`, `spectral_norm`, pruning or LoRA a convolution computes its weight at each call
            has_own_weight = "weight" in dict(convolution.named_parameters())
            # folding would change what a forward hook of the two sees
            are_watched = any(part._forward_hooks or part._forward_pre_hooks for part in (convolution, norm))
            if has_own_weight and not are_watched:
                setattr(module, first, fuse_conv_bn_eval(convolution, norm))
                setattr(module, second, nn.Identity())
    return fast.to(memory_format=torch.channels_last)


def remove_strides(blocks: nn.Module) -> None:
    """Set the strides of a stage's convolutions and poolings, including timm's blurred poolings, to 1 in place."""
    for module in blocks.modules():
        if "stride" in vars(module):
            module.stride = (1, 1) if isinstance(module, nn.Conv2d) else 1  # type: ignore[assignment]
        if isinstance(module, nn.AvgPool2d):
            # a window of 2 would make the map smaller than that of the convolutions
            module.kernel_size = 1
            module.padding = 0


def dilate_as_siamfc(network: nn.Module, as_released: bool) -> None:
    """Dilate the 3×3 convolutions of res4 and res5, in place.

    Args:
        network: a ResNet.
        as_released: as in VFS's code, dilate only the first 3×3 convolution of each block, by half the dilation in a
            stage's first block.

    Example:
        >>> from torchvision.models import resnet18, resnet50
        >>> for made, as_released in ((resnet18, False), (resnet18, True), (resnet50, True)):
        ...     with torch.device("meta"):
        ...         network = made()
        ...     dilate_as_siamfc(network, as_released)
        ...     print([each.dilation[0] for each in convolutions_of(network) if each.kernel_size == (3, 3)])
        [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4]
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 2, 1, 4, 1]
        [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 4, 4]
    """
    for name, full_dilation in SIAMFC_DILATION.items():
        for index, block in enumerate(network.get_submodule(LAYER_OF_STAGE[name]).children()):
            dilation = full_dilation // 2 if as_released and index == 0 else full_dilation
            for convolution in convolutions_of(block):
                if convolution.kernel_size != (3, 3):
                    continue
                convolution.dilation = convolution.padding = (dilation, dilation)
                # for padding modes other than zeros
                convolution._reversed_padding_repeated_twice = [dilation] * 4
                if as_released:
                    break


def convolutions_of(network: nn.Module) -> Iterator[nn.Conv2d]:
    """Iterate over the 2-D convolutions of a network."""
    return (module for module in network.modules() if isinstance(module, nn.Conv2d))


def vidcorr_r18() -> nn.Module:
    """Return the encoder that comes with this project: a ResNet-18 that ends with res4, trained by VFS with negatives.

    Its card is `weights/vidcorr-r18.md`. It takes RGB normalised as ImageNet's. The file holds float16, the network
    float32.
    """
    with random_state_kept():  # it draws weights, which those of the file replace
        network = _up_to_res4()
    network.load_state_dict(load_file(WEIGHTS))
    network.pretrained_cfg = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "file": "its card"}
    return network


def _up_to_res4() -> Any:
    from torchvision.models import resnet18

    network = resnet18(zero_init_residual=True)
    network.layer4 = nn.Sequential()
    network.fc = nn.Identity()
    return network


def crw_resnet18() -> nn.Module:
    """Return CRW's encoder: a ResNet-18 that ends with res4, with convolutions that pad by reflection.

    Source: videowalk, `model_type` scratch. Its stride is 16; views have stride 8, as in CRW's evaluation.
    """
    return _reflecting(_up_to_res4())


def crw_training_resnet18() -> nn.Module:
    """Return the network that CRW trains: ResNet-18 at stride 8 up to res5, padding by reflection.

    The convolutions of res4 and res5 have stride 1 and no dilation. Residual blocks start as in torchvision, not at
    zero.
    Source: videowalk, `model_type` scratch.

    Example:
        >>> with torch.device("meta"):
        ...     network = crw_training_resnet18()
        >>> network.conv1.padding_mode, network.layer3[0].conv1.stride
        ('reflect', (1, 1))
    """
    return _crw_training("resnet18")


def crw_training_resnet50() -> nn.Module:
    """Return a ResNet-50 made as `crw_training_resnet18`, for VFS's Tables 7 and 8; CRW's code has no ResNet-50."""
    return _crw_training("resnet50")


def _crw_training(name: str) -> nn.Module:
    from torchvision.models import get_model

    network: nn.Module = get_model(name)
    network.fc = nn.Identity()
    for layer in ("layer3", "layer4"):
        remove_strides(network.get_submodule(layer))
    return _reflecting(network)


def _reflecting(network: nn.Module) -> nn.Module:
    """Make the convolutions of a network pad by reflection, in place, and return it; 1×1 convolutions pad nothing."""
    for convolution in convolutions_of(network):
        if convolution.kernel_size != (1, 1):
            convolution.padding_mode = "reflect"
    return network
