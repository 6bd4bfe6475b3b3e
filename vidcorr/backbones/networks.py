"""Networks by name, for modules to train and benchmarks to evaluate."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import near
from ..functional.device import shared_copy
from .checkpoints import SUFFIXES, convert_line
from .description import RANDOM_WEIGHTS, Network, architecture_name
from .eval_mode import on_trial
from .outputs import describe_output
from .resnet import remove_strides
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
OTHER_FILES = (".safetensors", ".bin", ".tar", ".npz", ".pkl", ".onnx", ".yaml")
"""Endings of files in place of which a name was expected."""


def full_name(name: str) -> tuple[str, bool]:
    """Return the spec of a short name and whether the library's weights are wanted; another spec as it is, and False.

    Example:
        >>> full_name("dino-s16")
        ('timm:vit_small_patch16_224.dino', True)
        >>> full_name("torchvision:resnet18")
        ('torchvision:resnet18', False)
    """
    if name not in SHORT_NAMES:
        return name, False
    spec, _, _ = SHORT_NAMES[name].partition("@")
    return spec, spec.startswith("timm:")


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
    `package.module:callable` is imported and called without arguments; a short name (`vidcorr-r18`, `dino-b8`, …)
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
    if not separator:
        refuse_file(spec)
        import torchvision

        names = torchvision.models.list_models()
        meant = ""
        for close in get_close_matches(spec, [*names, "raw_colour", *SHORT_NAMES], 1):
            meant = f"; did you mean {'torchvision:' if close in names else ''}{close}?"
        raise ValueError(f"backbone {spec!r}: write timm:NAME, torchvision:NAME or package.module:callable{meant}")
    network: Any
    origin = f"weights of {library}" if pretrained else RANDOM_WEIGHTS
    seed = None if pretrained else torch.initial_seed()
    if library == "timm":
        network = _timm(name, pretrained)
    elif library == "torchvision":
        with _weights_of(spec, pretrained):
            network = build_torchvision(name, pretrained)
    elif library == "transformers":
        from .transformers_models import from_transformers

        network = from_transformers(name)
        origin = f"weights of {library}"
        seed = None
    elif pretrained:
        raise ValueError(f"backbone {spec}: pretrained=True needs a timm: or torchvision: name")
    else:
        state = torch.get_rng_state()
        network = imported(library, name)
        origin = f"weights of {spec}"  # random or loaded: only the callable knows
        if torch.equal(state, torch.get_rng_state()):  # it drew no numbers
            seed = None
    described = Network(
        name=architecture_name(spec.rpartition(":")[2]),
        weights=origin,
        spec=spec,
        seed=seed,
        loaded=origin != RANDOM_WEIGHTS,
    )
    if isinstance(network, nn.Module):
        # Six times faster in bfloat16 on a CPU, and faster on recent GPUs; values and checkpoints are the same.
        network = network.to(memory_format=torch.channels_last)
    return network, described


def refuse_file(text: str) -> None:
    """Refuse a file or folder that is no checkpoint of ours, in place of a network's name.

    Raises:
        ValueError: one line with the remedy.
    """
    if Path(text).is_dir():
        raise ValueError(f"{text}: is a folder: name a checkpoint in it")
    if Path(text).is_file():
        raise ValueError(f"{text}: no checkpoint of vidcorr; {convert_line(text)}")
    if "/" in text or text.endswith(OTHER_FILES):
        raise ValueError(f"{text}: no such file; a network is a checkpoint, timm:NAME, torchvision:NAME or module:name")


def _timm(name: str, pretrained: bool) -> nn.Module:
    import timm

    if not timm.is_model(name):
        raise ValueError(f"backbone timm:{name}: timm has no such model{near(name, timm.list_models())}")
    options: dict[str, Any] = {}  # options with which the network takes images of any size
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
        ValueError: if the callable cannot be imported, needs arguments, or does not return a module or a video encoder.
    """
    spec = f"{module}:{name}"
    built = import_named(module, name, f"backbone {spec}")
    try:
        inspect.signature(built).bind()
    except TypeError as error:
        raise ValueError(f"backbone {spec}: expected a callable without arguments: {error}") from error
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
    with on_trial(probe):
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
