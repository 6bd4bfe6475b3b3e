"""ResNets: views of their stages, dilations, folded BatchNorms; the package's own one, and CRW's."""

from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..description import IMAGENET_MEAN, IMAGENET_STD, UNKNOWN
from ..functional.device import random_state_kept
from .copies import M, device_of, module_copy, type_of_weights
from .extractor import Dilated, FeatureExtractor, NoSuchMap, eval_mode, features_by, has_parts, unwatched

LAYER_OF_STAGE = {"res2": "layer1", "res3": "layer2", "res4": "layer3", "res5": "layer4"}
STRIDE = 8
"""Pixels per cell of a view for which no stride is named."""
SIDE = 64
"""Side in pixels of the blank image on which a ResNet's strides are measured."""
SIAMFC_DILATION = {"res4": 2, "res5": 4}
WEIGHTS = Path(__file__).parent / "weights" / "vidcorr-r18.safetensors"


def is_resnet(network: object) -> bool:
    """Return whether a network has a ResNet's parts under the names that torchvision and timm both use."""
    if isinstance(network, GraphModule | nn.ModuleDict):  # torchvision's and timm's feature extractors of a ResNet
        return False
    return has_parts(network, "conv1", "bn1", "maxpool", *LAYER_OF_STAGE.values())


def named_blocks(network: nn.Module) -> dict[str, nn.Module]:
    """Return the blocks of a ResNet in order, `res2.b1` and so on → module.

    Example:
        >>> from torchvision.models import resnet18
        >>> list(named_blocks(resnet18()))
        ['res2.b1', 'res2.b2', 'res3.b1', 'res3.b2', 'res4.b1', 'res4.b2', 'res5.b1', 'res5.b2']
    """
    blocks: dict[str, nn.Module] = {}
    for stage, layer in LAYER_OF_STAGE.items():
        for number, block in enumerate(network.get_submodule(layer).children(), start=1):
            blocks[f"{stage}.b{number}"] = block
    return blocks


def stage_of(block: str) -> str:
    """Return the stage in the name of a block or stage: `res4` for `res4.b1` and for `res4`.

    Example:
        >>> stage_of("res4.b1"), stage_of("res4")
        ('res4', 'res4')
    """
    return block.partition(".")[0]


def maps_of(wanted: Collection[str], blocks: Iterable[tuple[str, nn.Module]], x: Tensor) -> dict[str, Tensor]:
    """Return name → map, from one pass through the blocks of a ResNet; the map of a stage is its last block's.

    Args:
        wanted: names of stages (`res4`) and blocks (`res4.b1`); names that occur in no block are left out.
        blocks: name and block, in order.
        x: map `(N, C, h, w)` before the first block.

    Example:
        >>> of_res2 = [("res2.b1", nn.Conv2d(3, 4, 1)), ("res2.b2", nn.Conv2d(4, 4, 2, stride=2))]
        >>> blocks = [*of_res2, ("res3.b1", nn.Conv2d(4, 8, 2, stride=2))]
        >>> maps = maps_of(["res2", "res3.b1"], blocks, torch.zeros(1, 3, 16, 16))
        >>> maps["res2"].shape, maps["res3.b1"].shape
        (torch.Size([1, 4, 8, 8]), torch.Size([1, 8, 4, 4]))
    """
    maps: dict[str, Tensor] = {}
    for block_name, block in blocks:
        x = block(x)
        for name in (block_name, stage_of(block_name)):
            if name in wanted:
                maps[name] = x  # a stage's later block replaces the map of an earlier block
    return maps


def folded_copy(network: M) -> M:
    """Return a copy with every BatchNorm folded into the convolution before it: faster, with equal maps up to rounding.

    The copy has weights of its own, so make a new copy after training. It is channels last. A BatchNorm is recognised
    by its place among the parts: torchvision, timm and this project register it right after its convolution.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.BatchNorm2d(8)).eval()
        >>> folded = folded_copy(network)
        >>> [type(layer).__name__ for layer in folded], folded[0].bias.requires_grad
        (['Conv2d', 'Identity', 'BatchNorm2d'], True)
        >>> images = torch.rand(1, 3, 8, 8)
        >>> folded(images).allclose(network(images), atol=1e-6), type(network[1]).__name__
        (True, 'BatchNorm2d')
    """
    fast = module_copy(network, shares_tensors=False)
    for module in list(fast.modules()):
        children: list[tuple[str, Any]] = list(module.named_children())
        for (first, convolution), (second, norm) in pairwise(children):
            # a norm without running statistics depends on the batch
            if type(convolution) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d or norm.running_mean is None:
                continue
            # under `weight_norm`, `spectral_norm`, pruning or LoRA a convolution computes its weight at each call
            has_own_weight = "weight" in dict(convolution.named_parameters())
            # folding would change what a forward hook of the two sees
            if has_own_weight and not has_hooks(convolution) and not has_hooks(norm):
                setattr(module, first, fuse_conv_bn_eval(convolution, norm))
                setattr(module, second, nn.Identity())
    return fast.to(memory_format=torch.channels_last)


def has_hooks(module: nn.Module) -> bool:
    """Return whether a module has forward hooks of its own.

    Example:
        >>> layer = nn.Conv2d(3, 8, 3)
        >>> hook = layer.register_forward_pre_hook(lambda module, inputs: None)
        >>> has_hooks(layer), has_hooks(nn.Conv2d(3, 8, 3))
        (True, False)
    """
    return bool(module._forward_hooks or module._forward_pre_hooks)


class ResNetExtractor(FeatureExtractor):
    """A view of the stages of a ResNet.

    Args:
        network: a ResNet in torchvision's or timm's naming. It is not copied, and its strides and dilations are
            changed: pass a copy (`module_copy`) to keep yours.
        stage: `res2 … res5`, a block (`res4.b1`), or several with + between them; None is res4.
        stride: pixels per cell, one of the strides of the network's stages: stages with a larger stride lose it. None
            is 8; a stage with a smaller stride keeps it.
        dilated: remove the strides of res4 and res5 and dilate their 3×3 convolutions by 2 and 4, as in VFS's code:
            half of it in the first block of a stage, and in blocks of two 3×3 convolutions (ResNet-18 and 34) none in
            the second. "text": all of them (VFS, section 4.2).
        is_whole: keep all strides; without a stage, take the network's last stage in place of res4.

    Raises:
        ValueError: if a stage does not exist, or its stride is smaller than `stride`, or the network cannot reach
            `stride` by removing strides.

    Example:
        >>> from torchvision.models import resnet18
        >>> view = ResNetExtractor(resnet18(), "res4")
        >>> view.stride, view.map_of(torch.zeros(1, 3, 64, 96)).shape
        (8, torch.Size([1, 256, 8, 12]))
        >>> def of(*arguments, **options):
        ...     with torch.device("meta"):  # without numbers
        ...         return ResNetExtractor(resnet18(), *arguments, **options)
        >>> of("res4", 16).stride, [of(stage).stride for stage in ("res2", "res3", "res5", "res4.b1")]
        (16, [4, 8, 8, 8])
        >>> of("res3", 16)
        Traceback (most recent call last):
            ...
        vidcorr.backbones.extractor.NoSuchMap: res3 of this ResNet has stride 8, not 16: name @res3/8, @res4/16, ...
        >>> for dilated in ("text", True):
        ...     view = of("res5", dilated=dilated)
        ...     print(view.stride, view.dilated, view.blocks["res5_b1"].conv1.dilation)
        8 text (4, 4)
        8 True (2, 2)
        >>> of("res5", 16, dilated=True)
        Traceback (most recent call last):
            ...
        vidcorr.backbones.extractor.NoSuchMap: res5 of this ResNet has stride 8, not 16: leave the stride out
        >>> with torch.device("meta"):
        ...     ResNetExtractor(crw_resnet18(), dilated=True).map_of(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 256, 8, 8])
    """

    input = UNKNOWN
    reads = "its parts"

    def __init__(
        self,
        network: nn.Module,
        stage: str | None = None,
        stride: int | None = None,
        dilated: Dilated = False,
        is_whole: bool = False,
    ) -> None:
        blocks = named_blocks(network)
        # Three cases: a whole network keeps its strides (`is_whole`, for training); with `dilated`, dilations take the
        # place of strides above STRIDE, 8; else stages with a larger stride than `stride`, or STRIDE, lose it.
        own_strides = strides_of(network)
        last_stage = list(own_strides)[-1]
        super().__init__(stage or (last_stage if is_whole else "res4"), [*own_strides, *blocks], "this ResNet")
        if stride is not None and stride not in own_strides.values():
            raise ValueError(f"stride {stride}: this ResNet's strides can be {sorted({*own_strides.values()})} or None")
        if dilated:
            _dilate_as_siamfc(network, as_released=dilated != "text")
        # the largest stride that a stage may keep; with `dilated` always STRIDE
        coarsest = stride if stride is not None and not dilated else STRIDE
        for name, layer in LAYER_OF_STAGE.items():
            if own_strides.get(name, 0) > coarsest and not is_whole:
                remove_strides(network.get_submodule(layer))
        self.dilated = dilated
        self.stem = _stem(network)
        # only the blocks up to the last one that a stage of the view names
        needed = [index for index, name in enumerate(blocks) if {name, stage_of(name)} & set(self.stages)]
        self.names = list(blocks)[: needed[-1] + 1]
        self.blocks = nn.ModuleDict({name.replace(".", "_"): blocks[name] for name in self.names})  # no dot in a key
        present_strides = own_strides if is_whole else strides_of(network)  # after strides were removed
        strides = {present_strides[stage_of(name)] for name in self.stages}
        if len(strides) > 1 or stride not in (None, *strides):
            wanted = "" if stride is None else f", not {stride}"
            # what the message advises: each stage at its own stride, without finer ones than the default
            fitting = ", ".join(f"@{name}/{pixels}" for name, pixels in own_strides.items() if pixels >= STRIDE)
            said = " and ".join(map(str, sorted(strides)))
            remedy = "leave the stride out" if dilated else f"name {fitting}"
            raise NoSuchMap(f"{self.stage} of this ResNet has stride {said}{wanted}: {remedy}")
        self.stride = strides.pop()
        self.eval()

    @classmethod
    def whole(cls, network: nn.Module, stage: str | None = None) -> Self:
        """Return a view that keeps all strides; without a stage, of the last stage."""
        return cls(network, stage, is_whole=True)

    def map_of(self, images: Tensor) -> Tensor:
        """Return the maps of the stages, joined along the channels to `(N, C, h, w)`, from one pass up to the last."""
        blocks = zip(self.names, self.blocks.values(), strict=True)
        return self.joined(maps_of(self.stages, blocks, self.stem(images)))

    folded = folded_copy


def strides_of(network: nn.Module) -> dict[str, int]:
    """Return stage → stride in pixels of a ResNet, measured on a blank image; stages without blocks are left out.

    Example:
        >>> from torchvision.models import resnet18
        >>> strides_of(resnet18())
        {'res2': 4, 'res3': 8, 'res4': 16, 'res5': 32}
    """
    blocks = named_blocks(network).items()
    blank = torch.zeros(1, 3, SIDE, SIDE, device=device_of(network), dtype=type_of_weights(network))
    with eval_mode(network), unwatched(network):  # the blocks, after the layers before res2 (`_stem`)
        maps = features_by(lambda x: maps_of(LAYER_OF_STAGE, blocks, _stem(network)(x)), blank)
    return {name: round(SIDE / each.shape[2]) for name, each in maps.items()}


def _stem(network: nn.Module) -> nn.Sequential:
    """Return the layers of a ResNet before its first block: `(N, 3, H, W)` → `(N, C, h, w)`."""
    activation = "relu" if hasattr(network, "relu") else "act1"  # timm's name
    return nn.Sequential(*(network.get_submodule(name) for name in ("conv1", "bn1", activation, "maxpool")))


def remove_strides(blocks: nn.Module) -> None:
    """Set the strides of a stage's convolutions and poolings, including timm's blurred poolings, to 1 in place.

    Example:
        >>> convolution = nn.Conv2d(3, 2, 3, stride=2, padding=1)
        >>> blocks = nn.Sequential(convolution, nn.AvgPool2d(2, padding=1), nn.MaxPool2d(3, 2, padding=1))
        >>> blocks(torch.zeros(1, 3, 32, 64)).shape
        torch.Size([1, 2, 5, 9])
        >>> remove_strides(blocks)
        >>> blocks(torch.zeros(1, 3, 32, 64)).shape, blocks[1](torch.tensor([[[1.0, 2.0]]]))
        (torch.Size([1, 2, 32, 64]), tensor([[[1., 2.]]]))
    """
    for module in blocks.modules():
        if "stride" in vars(module):
            module.stride = (1, 1) if isinstance(module, nn.Conv2d) else 1  # type: ignore[assignment]
        if isinstance(module, nn.AvgPool2d):
            module.kernel_size = 1  # a window of 2 would make the map smaller than that of the convolutions
            module.padding = 0


def _dilate_as_siamfc(network: nn.Module, as_released: bool) -> None:
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
        ...     _dilate_as_siamfc(network, as_released)
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
                convolution._reversed_padding_repeated_twice = [dilation] * 4  # for padding modes other than zeros
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
    """Return torchvision's ResNet-18 without res5 and classifier, with random weights; residual branches start at 0."""
    from torchvision.models import resnet18

    network = resnet18(zero_init_residual=True)
    network.layer4 = nn.Sequential()
    network.fc = nn.Identity()
    return network


def crw_resnet18() -> nn.Module:
    """Return CRW's encoder: a ResNet-18 that ends with res4, with convolutions that pad by reflection.

    Source: videowalk, `model_type` scratch. Its stride is 16; views have stride 8, as in CRW's evaluation.

    Example:
        >>> with torch.device("meta"):
        ...     network = crw_resnet18()
        >>> network.conv1.padding_mode, strides_of(network)
        ('reflect', {'res2': 4, 'res3': 8, 'res4': 16})
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
        >>> network.conv1.padding_mode, strides_of(network)
        ('reflect', {'res2': 4, 'res3': 8, 'res4': 8, 'res5': 8})
    """
    return _crw_training("resnet18")


def crw_training_resnet50() -> nn.Module:
    """Return a ResNet-50 made as `crw_training_resnet18`, for VFS's Tables 7 and 8; CRW's code has no ResNet-50.

    Example:
        >>> with torch.device("meta"):
        ...     network = crw_training_resnet50()
        >>> network.conv1.padding_mode, strides_of(network)
        ('reflect', {'res2': 4, 'res3': 8, 'res4': 8, 'res5': 8})
    """
    return _crw_training("resnet50")


def _crw_training(name: str) -> nn.Module:
    """Return a ResNet without classifier and without the strides of res4 and res5, padding by reflection."""
    from torchvision.models import get_model

    network: nn.Module = get_model(name)
    network.fc = nn.Identity()
    for layer in ("layer3", "layer4"):
        remove_strides(network.get_submodule(layer))
    return _reflecting(network)


def _reflecting(network: nn.Module) -> nn.Module:
    """Make the convolutions of a network pad by reflection, in place, and return it; 1×1 convolutions pad nothing.

    Example:
        >>> network = _reflecting(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)))
        >>> [convolution.padding_mode for convolution in convolutions_of(network)]
        ['reflect', 'zeros']
    """
    for convolution in convolutions_of(network):
        if convolution.kernel_size != (1, 1):
            convolution.padding_mode = "reflect"
    return network
