"""Networks by name, for modules to train and benchmarks to evaluate; ResNets and the features of their stages."""

import copy
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..errors import near
from ..functional.device import M, shared_copy
from .checkpoints import SUFFIXES
from .description import RANDOM_WEIGHTS, Network, architecture_name
from .extractor import Dilated, FeatureExtractor, describe_output
from .torchvision_models import build_torchvision
from .trust import allow, import_named, reason
from .video import VideoEncoder

SHORT_NAMES = {
    "vidcorr-r18": "vidcorr.backbones:vidcorr_r18@res4",  # ours, in the package: weights/vidcorr-r18.md is its card
    "dino-s16": "timm:vit_small_patch16_224.dino@block12",
    "dino-s8": "timm:vit_small_patch8_224.dino@block12",
    "dino-b16": "timm:vit_base_patch16_224.dino@block12",
    "dino-b8": "timm:vit_base_patch8_224.dino@block12",
    "dinov2-s14": "timm:vit_small_patch14_reg4_dinov2.lvd142m@block12",  # with registers
    "dinov2-b14": "timm:vit_base_patch14_reg4_dinov2.lvd142m@block12",
    "dinov2-l14": "timm:vit_large_patch14_reg4_dinov2.lvd142m@block24",
    "dinov3-s16": "timm:vit_small_patch16_dinov3.lvd1689m@block12",
    "dinov3-b16": "timm:vit_base_patch16_dinov3.lvd1689m@block12",
    "dinov3-l16": "timm:vit_large_patch16_dinov3.lvd1689m@block24",
    "mae-b16": "timm:vit_base_patch16_224.mae@block12",
    "supervised-r18": "timm:resnet18.tv_in1k@res4",
    "supervised-r50": "timm:resnet50.tv_in1k@res4",
}
"""Name → pretrained network and the stage of its published evaluation, or its last block.

Weights of timm come from its cache, or over the network at first use.
"""
FILE_SUFFIXES = (*SUFFIXES, ".safetensors")
"""Endings of the files that hold a network."""


def full_name(name: str) -> tuple[str, bool]:
    """Return the spec of a short name and whether the library's weights are wanted; another spec as it is, and False.

    Example:
        >>> full_name("dino-s16")
        ('timm:vit_small_patch16_224.dino', True)
        >>> full_name("torchvision:resnet18")
        ('torchvision:resnet18', False)
    """
    spec = SHORT_NAMES[name].partition("@")[0] if name in SHORT_NAMES else name
    return spec, name in SHORT_NAMES and spec.startswith("timm:")


def split_view(text: str) -> tuple[str, str]:
    """Split `SPEC@STAGE/STRIDE` into SPEC and `STAGE/STRIDE`; an `@` in the path of a file belongs to the path."""
    if text.endswith(FILE_SUFFIXES) or Path(text).exists():
        return text, ""
    path, _, view = text.rpartition("@")
    if path.endswith(FILE_SUFFIXES) or Path(path).is_file():
        return path, view
    spec, _, view = text.partition("@")
    return spec, view


def read_spec(text: str) -> dict[str, Any]:
    """Read a backbone from the command line.

    Args:
        text: `SPEC`, `SPEC@STAGE` or `SPEC@STAGE/STRIDE`; SPEC is a spec of `build_feature_extractor`, or a short name
            that implies trained weights and a stage.

    Returns:
        Arguments of `FrozenEncoder`: spec, stage, stride and pretrained; None is its default.

    Raises:
        ValueError: if the stride is not a number.
    """
    given, view = split_view(text)
    stage, _, stride = view.partition("/")
    if stride and not stride.isdecimal():
        raise ValueError(f"{text}: the stride {stride!r} is not a number; write SPEC@STAGE/STRIDE")
    spec, pretrained = full_name(given)
    default_stage = SHORT_NAMES.get(given, "").partition("@")[2]
    return {
        "spec": spec,
        "stage": stage or default_stage or None,
        "stride": int(stride) if stride else None,
        "pretrained": pretrained or None,
    }


def build_network(spec: str, pretrained: bool = False) -> nn.Module:
    """Build a network by its name, without its classifier.

    `timm:NAME` and `torchvision:NAME` take a name of that library, `transformers:NAME` a name of its hub or a folder;
    `package.module:callable` is imported and called without arguments; a short name (`vidcorr-r18`, see `SHORT_NAMES`)
    has its trained weights. Residual blocks of the ResNets start at zero (SimSiam, section 4).

    Args:
        spec: the name, for example `torchvision:resnet18` or `timm:vit_small_patch16_224`.
        pretrained: load the library's weights (supervised or otherwise), from its cache or over the network.

    Returns:
        A module that maps normalised RGB `(N, 3, H, W)` to pooled features `(N, C)`; or the result of an imported
        callable, unchanged, which may be a video encoder (`VideoEncoder`).

    Raises:
        ValueError: if the name has no prefix or the library does not know it.

    Example:
        >>> network = build_network("torchvision:resnet18")
        >>> network(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 512])
    """
    return named_network(spec, pretrained)[0]


def named_network(spec: str, pretrained: bool = False) -> tuple[Any, Network]:
    """Build a network as `build_network` does, and describe it.

    Returns:
        The network, and its description: its full name, the source of its weights, and the seed of random weights.

    Raises:
        ValueError: if the name has no prefix or the library does not know it.
    """
    spec, is_pretrained = full_name(spec)
    pretrained = pretrained or is_pretrained
    library, separator, name = spec.partition(":")
    seed: int | None = torch.initial_seed()
    if not separator:
        import torchvision

        known = {name: f"torchvision:{name}" for name in torchvision.models.list_models()}
        known |= {name: name for name in ("raw_colour", *SHORT_NAMES)}
        meant = "".join(f"; did you mean {known[name]}?" for name in get_close_matches(spec, known, 1))
        raise ValueError(f"backbone {spec!r}: write timm:NAME, torchvision:NAME or package.module:callable{meant}")
    network: Any
    origin = f"weights of {library}" if pretrained else RANDOM_WEIGHTS
    if library == "timm":
        network = _timm(name, pretrained)
    elif library == "torchvision":
        with _weights_of(spec, pretrained):
            network = build_torchvision(name, pretrained)
    elif library == "transformers":
        from .transformers_models import from_transformers

        network, origin = from_transformers(name), f"weights of {library}"
    elif pretrained:
        raise ValueError(f"backbone {spec}: pretrained=True needs a timm: or torchvision: name")
    else:
        state = torch.get_rng_state()
        network, origin = imported(library, name), f"weights of {spec}"  # random or loaded: only the callable knows
        seed = None if torch.equal(state, torch.get_rng_state()) else seed
    described = Network(
        name=architecture_name(spec.rpartition(":")[2]),
        weights=origin,
        spec=spec,
        seed=None if origin == f"weights of {library}" else seed,
        loaded=origin != RANDOM_WEIGHTS,
    )
    if isinstance(network, nn.Module):
        # Six times faster in bfloat16 on a CPU, and faster on recent GPUs; values and checkpoints are the same.
        network = network.to(memory_format=torch.channels_last)
    return network, described


def _timm(name: str, pretrained: bool) -> nn.Module:
    import timm

    if not timm.is_model(name):
        raise ValueError(f"backbone timm:{name}: timm has no such model{near(name, timm.list_models())}")
    options: dict[str, Any] = {}  # for images of any size
    file = timm.models.model_entrypoint(name).__module__.removeprefix("timm.models.")
    if file in ("vision_transformer", "vision_transformer_hybrid", "deit", "eva"):
        options = {"dynamic_img_size": True, "dynamic_img_pad": True}  # padded to complete patches
    elif file in ("swin_transformer", "swin_transformer_v2"):
        options = {"dynamic_img_size": True}
    with _weights_of(f"timm:{name}", pretrained):
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)


@contextmanager
def _weights_of(spec: str, pretrained: bool) -> Iterator[None]:
    """Say what to do if the weights of a library's network are neither cached nor can be downloaded."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise ValueError(
            f"backbone {spec}: its weights cannot be downloaded ({reason(error)}); copy the file here and convert it: "
            f"vidcorr convert FILE OUT.ckpt --architecture {spec}"
        ) from error


def imported(module: str, name: str) -> nn.Module:
    """Import the user's callable, and call it without arguments.

    Raises:
        ValueError: if it cannot be imported, or does not return a module or a video encoder.
    """
    spec = f"{module}:{name}"
    built = import_named(module, name, f"backbone {spec}")
    network: nn.Module = built()
    allow(spec)  # the user's call has named and run it; a file that names it has passed the gate
    if not isinstance(network, nn.Module | VideoEncoder):
        raise ValueError(f"backbone {spec}: expected a module or a video encoder, got a {type(network).__name__}")
    return network


def pooled_width(network: nn.Module) -> int:
    """Return the number of channels `C` of a network's map or pooled feature, by a pass of a blank 64 × 64 image.

    Raises:
        ValueError: if the network's output is neither `(N, C, h, w)` nor `(N, C)`, or it ends with a linear layer.
    """
    probe = shared_copy(network).eval()
    called: list[str] = []
    for name, part in probe.named_modules():
        if next(part.children(), None) is None:
            part.register_forward_hook(lambda module, inputs, output, name=name: called.append(name))
    with torch.inference_mode():
        output = probe(torch.zeros(1, 3, 64, 64))
    kind = type(network).__name__
    if not isinstance(output, Tensor) or output.ndim not in (2, 4):
        raise ValueError(f"{kind}: expected a map (N, C, h, w), got {describe_output(output)}")
    if output.ndim == 2 and called and isinstance(probe.get_submodule(called[-1]), nn.Linear):
        raise ValueError(
            f"{kind}: ends with the linear layer {called[-1]}, as a classifier does: return the features before, for "
            f"example by network.{called[-1]} = torch.nn.Identity()"
        )
    return output.shape[1]


LAYER_OF_STAGE = {"res2": "layer1", "res3": "layer2", "res4": "layer3", "res5": "layer4"}
NATURAL_STRIDE = {"res2": 4, "res3": 8, "res4": 16, "res5": 32}
SIAMFC_DILATION = {"res4": 2, "res5": 4}


def is_resnet(network: nn.Module) -> bool:
    """Return whether a network has a ResNet's parts under the names that torchvision and timm both use."""
    return all(hasattr(network, part) for part in ("conv1", "bn1", "maxpool", *LAYER_OF_STAGE.values()))


def named_blocks(network: nn.Module) -> dict[str, nn.Module]:
    """Return the blocks of a ResNet in order, `res2.b1` and so on → module."""
    layers = {stage: network.get_submodule(layer).children() for stage, layer in LAYER_OF_STAGE.items()}
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
        ValueError: if a stage does not exist, or if `stride` cannot be reached by removing strides.
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
                remove_strides(network.get_submodule(layer))
        self.dilated = dilated
        if dilated:
            for name, dilation in SIAMFC_DILATION.items():
                for index, block in enumerate(network.get_submodule(LAYER_OF_STAGE[name]).children()):
                    released = dilated == "released"
                    _dilate(block, dilation // 2 if released and index == 0 else dilation, only_first=released)
        self.normalise = normalise
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


def resnet_maps(network: nn.Module, images: Tensor) -> Tensor:
    """Return the last map of a ResNet, before its pooling: normalised `(N, 3, H, W)` → `(N, C, h, w)`."""
    x = images
    for part in (*_stem(network), *map(network.get_submodule, LAYER_OF_STAGE.values())):
        x = part(x)
    return x


def _stem(network: nn.Module) -> list[nn.Module]:
    activation = "relu" if hasattr(network, "relu") else "act1"  # timm's name
    return [network.get_submodule(name) for name in ("conv1", "bn1", activation, "maxpool")]


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
