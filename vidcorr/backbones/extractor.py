"""The contract of the views that benchmarks see: a network's maps, with their stage, stride and input."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from ..description import Input
from ..functional.device import to_device
from .copies import Changeable

PositionRule = Literal["network", "dino"]
"""Interpolation of a transformer's position embedding: with antialiasing to the new size, or as in DINO's code."""
Dilated = bool | Literal["text"]
"""SiamFC's dilations in place of the strides of res4 and res5, as in VFS's code; "text": as in VFS, section 4.2."""

OUTPUT = "features"
UNDILATED = "dilations are for ResNets: set dilated to false, and stage to null or a stage of the network"


class NoSuchMap(ValueError):
    """A network has no map under the name of a stage, or its output is not a map."""


class View(Changeable, nn.Module, ABC):
    """A view of a network: its maps, and the facts that benchmarks read.

    Attributes:
        stage: name of the map.
        stride: pixels per cell; None for a video encoder that does not know it yet.
        multiple: pixels; benchmarks pad the sides of images to a multiple of it, and cut the result.
        network_name: name of the network in messages.
        user_module: the user's module of which this is a view, in a tuple, so that it is no part of the view; empty for
            a view made by its class.
        described: description of the named network (`Network`); None if the network has no name.
        input: the RGB that the network gets.
        normalises: the view normalises RGB by `input`; False if the network's own code prepares its images.
        ignores: fields of a protocol that change no number of these maps.
        in_order: the view encodes a video as a whole, from its first frame.
        dilated: SiamFC's dilations of a ResNet; False: none.
    """

    stage: str = OUTPUT
    stride: Any = None
    multiple: int = 1
    network_name: str
    user_module: tuple[Any, ...] = ()
    described: Any = None
    input: Input = Input()
    normalises: bool = True
    ignores: Collection[str] = ("position_embedding", "final_norm")
    in_order: bool = False
    dilated: Dilated = False

    def feature_extractor(self, stage: str | None = None, stride: int | None = None, dilated: Dilated = False) -> Self:
        """Return this view, if it has the stage, stride and dilations that are asked for; None and False ask for any.

        Raises:
            ValueError: if it has others: a view cannot change them.
        """
        wanted = {"stage": stage, "stride": stride, "dilated": dilated or None}
        for name, value in wanted.items():
            own = getattr(self, name)
            if value not in (None, own):
                raise ValueError(f"{type(self).__name__}: has {name} {own}, not {value}: give its network instead")
        return self

    def folded(self) -> Any:
        """Return a copy with BatchNorms folded into convolutions; itself, for a network without them."""
        return self


class FeatureExtractor(View):
    """Maps float RGB `(N, 3, H, W)` in [0, 1] to a feature map `(N, C, h, w)`.

    Args:
        stage: name of the map; or names with + between them: their maps are concatenated along the channels.
        network_name: name of the network in messages.

    Attributes:
        stages: the names in `stage`, in its order.
        positions: interpolation of a position embedding, set by a protocol; other networks ignore it.
        final_norm: apply a transformer's final norm to its maps, set by a protocol; other networks ignore it.
    """

    stride: int
    positions: PositionRule = "network"
    final_norm: bool = True

    def __init__(self, stage: str, network_name: str) -> None:
        super().__init__()
        self.network_name = network_name
        self.stage = stage
        self.stages = stage.split("+")

    def joined(self, maps: Mapping[str, Tensor]) -> Tensor:
        """Return the maps `(N, C, h, w)` of the stages, concatenated along the channels in the order of `stages`."""
        chosen = [maps[name] for name in self.stages]
        return chosen[0] if len(chosen) == 1 else torch.cat(chosen, dim=1)

    @abstractmethod
    def map_of(self, images: Tensor) -> Tensor:
        """Return the map `(N, C, h, w)` of images `(N, 3, H, W)`, which `prepared` has checked and normalised."""

    def exemplar(self, crops: Tensor) -> Tensor:
        """Return the map of SiamFC's exemplars: crops `(N, 3, a, a)` in [0, 1] of the object that is tracked.

        A head that was trained to map exemplars and search regions differently overrides this method.
        """
        return self(crops)

    def prepared(self, images: Tensor) -> Tensor:
        """Return images as the network takes them: normalised by `input`, if the view normalises.

        Raises:
            ValueError: if the images are not float RGB of four dimensions.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            given = f"{images.dtype} {tuple(images.shape)}"
            raise ValueError(f"images must be float RGB (N, 3, H, W) in [0, 1], got {given}")
        if not self.normalises or self.input.is_unit:
            return images
        return normalised(images, self.input).contiguous(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Return the map of float RGB `(N, 3, H, W)` in [0, 1]: `(N, C, h, w)`.

        Raises:
            ValueError: if the images are not float RGB of four dimensions.
        """
        return self.map_of(self.prepared(images))


def normalised(images: Tensor, stated: Input) -> Tensor:
    """Return images `(…, 3, H, W)`, RGB in [0, 1], minus the mean and divided by the deviation of a stated input.

    The result is float32 or finer.
    """
    constants = to_device(torch.tensor([stated.mean, stated.std], dtype=torch.float32), images.device)
    mean, std = constants.view(2, 3, 1, 1)
    return (images - mean) / std


def is_of_library(network: object, library: str) -> bool:
    """Return whether a library defines a network's class or one of its base classes."""
    return any(base.__module__.startswith(f"{library}.") for base in type(network).__mro__)


WRAPPERS = {"DataParallel", "DistributedDataParallel", "AveragedModel", "ModelEma", "ModelEmaV2", "ModelEmaV3"}
SHARDED = {"DistributedDataParallel", "FullyShardedDataParallel", "FSDPModule"}


@cache
def is_sharded(kind: Any) -> bool:
    """Return whether modules of a class share their work with other processes, also behind their call."""
    return any(base.__name__ in SHARDED for base in kind.__mro__)


def wrappers_of(network: Any) -> list[Any]:
    """Return a network in its wrappers, from the outermost to the network itself: of torch.compile, and of `WRAPPERS`.

    Example:
        >>> network = nn.Conv2d(3, 8, 8, 8)
        >>> [type(each).__name__ for each in wrappers_of(torch.optim.swa_utils.AveragedModel(network))]
        ['AveragedModel', 'Conv2d']
    """
    inner = getattr(network, "_orig_mod", None)
    if inner is None and any(base.__name__ in WRAPPERS for base in type(network).__mro__):
        inner = network.ema if hasattr(network, "ema") else network.module
    return [network] if inner is None else [network, *wrappers_of(inner)]


def unwrapped(network: object) -> Any:
    """Return the network inside its wrappers (`wrappers_of`); a network without a wrapper as it is."""
    return wrappers_of(network)[-1]


def makes_views(module: object) -> bool:
    """Return whether a module has a method `feature_extractor(stage, stride)`; not an attribute that is a network."""
    method = getattr(module, "feature_extractor", None)
    return callable(method) and {"stage", "stride"} <= inspect.signature(method).parameters.keys()


def has_parts(network: object, *names: str) -> bool:
    """Return whether a network has all attributes of these names, and none is None: users remove a part by None."""
    return all(getattr(network, name, None) is not None for name in names)


def modules_inside(function: Callable[..., object]) -> nn.ModuleList:
    """Return the modules that a function computes with: a method's object, and modules in a closure's variables.

    A module itself gives an empty list.
    """
    closed_over = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    values = [getattr(function, "__self__", None), *closed_over]
    return nn.ModuleList(value for value in values if isinstance(value, nn.Module))


@contextmanager
def attribute_set(holder: object, name: str, value: object) -> Iterator[None]:
    """Set an attribute of an object, such as a network's `forward`, during a block, and restore it."""
    own = dict(vars(holder))  # the object's own attributes; one of its class is back after `delattr` alone
    setattr(holder, name, value)
    try:
        yield
    finally:
        delattr(holder, name)
        if name in own:
            setattr(holder, name, own[name])


def features_by(function: Callable[[Tensor], object], images: Tensor) -> Any:
    """Return the output of a function for images, float RGB `(N, 3, H, W)` in [0, 1], without gradients.

    Inference mode is off, because a network may keep tensors, for example a table of positions, and training cannot use
    inference tensors.
    """
    with torch.inference_mode(False), torch.no_grad():
        return function(images.clone() if images.is_inference() else images)


def parts_of(module: nn.Module) -> Iterator[nn.Module]:
    """Yield a module and all modules in it, a shared one more than once; faster than `modules`, for each frame."""
    rest = [module]
    while rest:
        part = rest.pop()
        yield part
        rest += filter(None, part._modules.values())


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Set a module to eval mode during a block, and restore the mode of every submodule.

    BatchNorm then takes its running statistics and does not update them, so weights and buffers stay as they were.

    Example:
        >>> network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout().eval())
        >>> with eval_mode(network):
        ...     print(network[0].training)
        False
        >>> network[0].training, network[1].training
        (True, False)
    """
    if not any(part.training for part in parts_of(module)):
        yield
        return
    modes = {part: part.training for part in module.modules()}
    try:
        module.eval()
        yield
    finally:
        # a user's own `train` may do more than to set the flag, so it is called where the mode changed; it also sets
        # the mode of a module's parts, so the flags are set again at the end
        for part, was_training in modes.items():
            if part.training != was_training:
                part.train(was_training)
        for part, was_training in modes.items():
            part.training = was_training
