"""The contract of the views that benchmarks see: a network's maps, with their stage, stride and input."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from ..description import IMAGENET_MEAN, IMAGENET_STD, Input, Network
from ..functional.device import to_device
from .copies import Changeable, type_of_weights

PositionRule = Literal["network", "dino"]
"""Interpolation of a transformer's position embedding: with antialiasing to the new size, or as in DINO's code."""
Dilated = bool | Literal["text"]
"""SiamFC's dilations in place of the strides of res4 and res5, as in VFS's code; "text": as in VFS, section 4.2."""

OUTPUT = "features"
"""Stage name of a network's last map."""
UNDILATED = "dilations are for ResNets: set dilated to false, and stage to null or a stage of the network"


class NoSuchMap(ValueError):
    """A network has no map under the name of a stage, or its output is not a map."""


class Normalise(nn.Module):
    """Subtract a mean and divide by a deviation, channel by channel; the constants stay out of checkpoints.

    Args:
        mean: mean of the channels of RGB in [0, 1].
        std: standard deviation of the channels of RGB in [0, 1].

    Example:
        >>> normalise = Normalise(mean=(0, 0, 1), std=(1, 2, 4))
        >>> normalise(torch.ones(1, 3, 1, 1)).flatten(), normalise.state_dict()
        (tensor([1.0000, 0.5000, 0.0000]), OrderedDict())
        >>> normalised = normalise(torch.ones(1, 3, 4, 4).double())
        >>> normalised.dtype, normalise.std.dtype, normalised.is_contiguous(memory_format=torch.channels_last)
        (torch.float32, torch.float32, True)
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalise images `(N, C, H, W)` in [0, 1].

        Returns:
            `(N, C, H, W)` in the type of the module's buffers, whatever the type of the images; channels last in
            memory, in which convolutions are faster.
        """
        normalised = (images - self.mean) / self.std
        return normalised.to(self.mean.dtype).contiguous(memory_format=torch.channels_last)


class View(Changeable, nn.Module, ABC):
    """A view of a network: its maps, and the facts that benchmarks read.

    Attributes:
        stage: name of the map.
        stride: pixels per cell; None for a video encoder that does not know it yet.
        multiple: pixels; benchmarks pad the sides of images to a multiple of it, and cut the result.
        network_name: name of the network in messages.
        user_module: `Reference` to the user's module of which this is a view; None for a view made by its class.
        described: description of the named network (`Network`); None if the network has no name.
        input: the RGB that the network gets; the class attribute is the default for networks of this kind.
        normalises: the view normalises RGB by `input`; False if the network's own code prepares its images.
        ignores: fields of a protocol that change no number of these maps. `position_embedding` and `final_norm` change
            maps of transformers only.
        in_order: the view encodes a video as a whole, from its first frame.
        reads: what the view calls in place of the network: the name of a method of the network, or "its parts".
            `kind_of` checks that the network's own call computes the same maps. None: the view calls the network.
        takes_copy: `Encoder.view` gives the constructor a copy of the network, which shares the tensors; the view may
            change strides and mode of this copy. False: it gives the network itself.
        dilated: SiamFC's dilations of a ResNet; False: none.
    """

    stage: str = OUTPUT
    stride: Any = None
    multiple: int = 1
    network_name: str
    user_module: Any = None
    described: Any = None
    input: Input = Input()
    normalises: bool = True
    ignores: Collection[str] = ("position_embedding", "final_norm")
    in_order: bool = False
    reads: str | None = None
    takes_copy: bool = True
    dilated: Dilated = False

    @classmethod
    def whole(cls, network: nn.Module, stage: str | None = None) -> Self:
        """Return a view for training: of the last stage, if none is named; the network keeps its strides.

        The constructor may put the network into eval mode, so the caller restores the mode (`TrainedViews.view_of`).
        """
        return cls(network, stage)

    def feature_extractor(self, stage: str | None = None, stride: int | None = None, dilated: Dilated = False) -> Self:
        """Return this view, if it has the stage, stride and dilations that are asked for; None and False ask for any.

        Raises:
            ValueError: if it has others: a view cannot change them.

        Example:
            >>> view = RawColour()
            >>> view.feature_extractor(stride=4).stride, view.stride
            (4, 8)
            >>> View.feature_extractor(view, stride=4)  # as most views, which have one stride
            Traceback (most recent call last):
                ...
            ValueError: RawColour: has stride 8, not 4: give its network instead
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
        known: names of the network's maps.
        network_name: name of the network in messages.

    Attributes:
        stages: the names in `stage`, in its order.
        positions: interpolation of a position embedding, set by a protocol; other networks ignore it.
        final_norm: apply a transformer's final norm to its maps, set by a protocol; other networks ignore it.
        called: `Reference` to the network; `by_call` then computes within the network's own call, so that the network's
            hooks run. None: `by_call` is `map_of`.

    Raises:
        ValueError: if the network has no such stage.
    """

    stride: int
    positions: PositionRule = "network"
    final_norm: bool = True
    called: Any = None

    def __init__(self, stage: str, known: Collection[str], network_name: str) -> None:
        super().__init__()
        self.network_name = network_name
        self.stage = stage
        self.stages = stage.split("+")  # one name, or several, whose maps are joined
        self.require_stages(known)  # `known`: names of the network's maps

    def require_stages(self, known: Collection[str]) -> None:
        """Refuse stages that a network does not have.

        Raises:
            ValueError: with the names that it has.

        Example:
            >>> RawColour("colour+res4")
            Traceback (most recent call last):
                ...
            vidcorr.backbones.extractor.NoSuchMap: stage 'res4': raw colour has colour; null is its default
        """
        for name in self.stages:
            if name not in known:
                raise NoSuchMap(f"stage {name!r}: {self.network_name} has {', '.join(known)}; null is its default")

    def set_stride(self, stride: int, wanted: int | None) -> None:
        """Set the view's stride, for a network that can have one only.

        Args:
            stride: the stride of the network's maps, pixels per cell.
            wanted: the stride that the caller asks for; None takes any.

        Raises:
            ValueError: if another stride is wanted.
        """
        if wanted not in (None, stride):
            raise ValueError(f"the stride of {self.stage} is {stride}, not {wanted}; leave stride out")
        self.stride = stride

    def common_stride(self, strides: Sequence[int]) -> int:
        """Return the one stride of the stages' maps: maps of several strides cannot be concatenated.

        Args:
            strides: pixels per cell, one of each stage.

        Raises:
            ValueError: if the strides differ.

        Example:
            >>> RawColour().common_stride([8, 8])
            8
            >>> RawColour().common_stride([4, 8])
            Traceback (most recent call last):
                ...
            vidcorr.backbones.extractor.NoSuchMap: stage 'colour': its parts have strides [4, 8]
        """
        if len(set(strides)) > 1:
            raise NoSuchMap(f"stage {self.stage!r}: its parts have strides {list(strides)}")
        return strides[0]

    def require_one_stride(self, maps: Mapping[str, Tensor], height: int) -> int:
        """Return the one stride of the stages' maps, pixels per cell: the images' height divided by the maps' height.

        Args:
            maps: stage → `(N, C, h, w)`.
            height: height of the images, pixels.

        Raises:
            ValueError: if the stages' strides differ.
        """
        return self.common_stride([round(height / maps[name].shape[2]) for name in self.stages])

    def joined(self, maps: Mapping[str, Tensor]) -> Tensor:
        """Return the maps `(N, C, h, w)` of the stages, concatenated along the channels in the order of `stages`.

        Example:
            >>> view = RawColour().changed(stages=["fine", "coarse"])
            >>> view.joined({"coarse": torch.zeros(1, 8, 4, 4), "fine": torch.zeros(1, 3, 4, 4)}).shape
            torch.Size([1, 11, 4, 4])
        """
        chosen = [maps[name] for name in self.stages]
        return chosen[0] if len(chosen) == 1 else torch.cat(chosen, dim=1)

    def numbered(self, prefix: str, maps: Iterable[Tensor]) -> dict[str, Tensor]:
        """Return stage → map, for this view's stages with a prefix: `block3`, `block7`, …

        Args:
            prefix: the names without their numbers, such as `block`.
            maps: one map per stage, in ascending order of the stages' numbers.

        Example:
            >>> RawColour().changed(stages=["block7", "block3"]).numbered("block", [torch.zeros(1), torch.ones(1)])
            {'block3': tensor([0.]), 'block7': tensor([1.])}
        """
        names = [f"{prefix}{index + 1}" for index in stage_indices(self.stages, prefix)]
        return dict(zip(names, maps, strict=True))

    def by_call(self, images: Tensor) -> Tensor:
        """Return the map that `map_of` computes, from within the network's own call.

        So the network's forward hooks run, and its `compile()` takes effect. Images are prepared, as for `map_of`.

        Example:
            >>> from vidcorr.backbones.copies import Reference
            >>> network = nn.Identity()  # its `forward` is replaced by `map_of`
            >>> hook = network.register_forward_hook(lambda module, inputs, output: 2 * output)
            >>> view, images = RawColour(), torch.ones(1, 3, 8, 8)
            >>> view.changed(called=Reference(network)).by_call(images).flatten(), view.by_call(images).flatten()
            (tensor([2., 2., 2.]), tensor([1., 1., 1.]))
        """
        network: Any = None if self.called is None else self.called.module  # None: `map_of` directly
        # torch.compile cannot trace a call whose `forward` is replaced. So `map_of` is traced alone; a network with
        # hooks is called outside of the compiled code
        is_traced = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
        if network is None or (is_traced and not (network._forward_pre_hooks or network._forward_hooks)):
            return self.map_of(images)
        call = torch.compiler.disable(self._call) if is_traced else self._call
        return call(network, images)

    def _call(self, network: Any, images: Tensor) -> Tensor:
        """Return the map of a call of the network, with `map_of` in place of its `forward`: so its hooks run."""
        with attribute_set(network, "forward", self.map_of):
            features: Tensor = network(images)
        return features

    @abstractmethod
    def map_of(self, images: Tensor) -> Tensor:
        """Return the map `(N, C, h, w)` of images `(N, 3, H, W)`, which `prepared` has checked and normalised."""

    def exemplar(self, crops: Tensor) -> Tensor:
        """Return the map of SiamFC's exemplars: crops `(N, 3, a, a)` in [0, 1] of the object that is tracked.

        A head that was trained to map exemplars and search regions differently overrides this method.
        """
        return self(crops)

    def prepared(self, images: Tensor) -> Tensor:
        """Return images as the network takes them: normalised by `input`, then in the type of the network's weights.

        A view that does not normalise (`normalises` is False) gets the images back as they are.

        Raises:
            ValueError: if the images are not float RGB of four dimensions.

        Example:
            >>> view = RawColour().changed(input=Input(mean=(0, 0, 1), std=(1, 0.5, 0.5)))
            >>> view.prepared(torch.ones(1, 3, 1, 1)).flatten()
            tensor([1., 2., 0.])
            >>> view.prepared(torch.ones(1, 1, 8, 8))
            Traceback (most recent call last):
                ...
            ValueError: images must be float RGB (N, 3, H, W) in [0, 1], got torch.float32 (1, 1, 8, 8)
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            given = f"{images.dtype} {tuple(images.shape)}"
            raise ValueError(f"images must be float RGB (N, 3, H, W) in [0, 1], got {given}")
        if not self.normalises:
            return images
        if not self.input.is_unit:  # unit: mean 0 and deviation 1, which change nothing
            images = normalised(images, self.input).contiguous(memory_format=torch.channels_last)
        return images.to(type_of_weights(self))

    def forward(self, images: Tensor) -> Tensor:
        """Return the map of float RGB `(N, 3, H, W)` in [0, 1]: `(N, C, h, w)`.

        Raises:
            ValueError: if the images are not float RGB of four dimensions.
        """
        return self.by_call(self.prepared(images))  # within the network's own call, so that its hooks run


def normalised(images: Tensor, stated: Input) -> Tensor:
    """Return images `(…, 3, H, W)`, RGB in [0, 1], minus the mean and divided by the deviation of a stated input.

    The result is float32 or finer.

    Example:
        >>> normalised(torch.ones(1, 3, 1, 1), Input(mean=(0, 0.5, 1), std=(1, 0.5, 0.25))).flatten()
        tensor([1., 1., 0.])
    """
    constants = to_device(torch.tensor([stated.mean, stated.std], dtype=torch.float32), images.device)
    mean, std = constants.view(2, 3, 1, 1)
    return (images - mean) / std


def is_of_library(network: object, library: str) -> bool:
    """Return whether a library defines a network's class or one of its base classes.

    Example:
        >>> is_of_library(nn.Linear(2, 3), "torch"), is_of_library(nn.Linear(2, 3), "timm")
        (True, False)
    """
    return any(base.__module__.startswith(f"{library}.") for base in type(network).__mro__)


def has_parts(network: object, *names: str) -> bool:
    """Return whether a network has all attributes of these names, and none is None: users remove a part by None.

    Example:
        >>> has_parts(nn.Linear(2, 3), "weight", "bias"), has_parts(nn.Linear(2, 3, bias=False), "weight", "bias")
        (True, False)
    """
    return all(getattr(network, name, None) is not None for name in names)


def modules_inside(function: Callable[..., Any]) -> nn.ModuleList:
    """Return the modules that a function computes with: a method's object, and modules in a closure's variables.

    A module itself gives an empty list.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> modules_inside(layer.forward)[0] is layer, len(modules_inside(layer))
        (True, 0)
    """
    closed_over = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    values = [getattr(function, "__self__", None), *closed_over]
    return nn.ModuleList(value for value in values if isinstance(value, nn.Module))


@contextmanager
def unwatched(network: nn.Module) -> Iterator[None]:
    """Remove a user's forward hooks from a network during a block, and put them back.

    Hooks of torch, and hooks that the network's own parts registered, stay.

    Example:
        >>> network = nn.Identity()
        >>> hook = network.register_forward_hook(lambda module, inputs, output: output + 1)
        >>> with unwatched(network):
        ...     network(torch.zeros(1))
        tensor([0.])
        >>> network(torch.zeros(1))
        tensor([1.])
    """
    own_parts = set(network.modules())
    saved: list[tuple[dict[int, Any], dict[int, Any]]] = []  # a part's hooks, and a copy of them
    for part in own_parts:
        for hooks in (part._forward_hooks, part._forward_pre_hooks):
            saved.append((hooks, dict(hooks)))
            for key, hook in list(hooks.items()):
                is_of_torch = getattr(hook, "__module__", "").startswith("torch.")
                # the network's own hook is a method of a part, or a function that closes over a part
                if not is_of_torch and own_parts.isdisjoint(modules_inside(hook)):
                    del hooks[key]
    try:
        yield
    finally:
        for hooks, before in saved:
            hooks.clear()
            hooks.update(before)


@contextmanager
def attribute_set(holder: Any, name: str, value: Any) -> Iterator[None]:
    """Set an attribute of an object, such as a network's `forward`, during a block, and restore it.

    Example:
        >>> network = nn.Identity()
        >>> with attribute_set(network, "training", False):
        ...     print(network.training)
        False
        >>> network.training
        True
    """
    own = dict(vars(holder))  # the object's own attributes; one of its class is back after `delattr` alone
    setattr(holder, name, value)
    try:
        yield
    finally:
        delattr(holder, name)
        if name in own:
            setattr(holder, name, own[name])


class RawColour(FeatureExtractor):
    """Baseline without training: the feature of a cell is its mean colour.

    A trained encoder should propagate labels better than this.

    Args:
        stage: `colour`, the only stage.
        stride: pixels per cell; None is 8.

    Raises:
        ValueError: for another stage.

    Example:
        >>> RawColour(stride=16)(torch.rand(1, 3, 64, 90)).shape
        torch.Size([1, 3, 4, 6])
    """

    described = Network(name="raw colour")
    input = Input(mean=IMAGENET_MEAN, std=IMAGENET_STD, source="of raw colour")

    def __init__(self, stage: str = "colour", stride: int | None = None) -> None:
        super().__init__(stage, known=["colour"], network_name=self.described.name)
        self.stride = stride or 8

    def feature_extractor(self, stage: str | None = None, stride: int | None = None, dilated: Dilated = False) -> Self:
        """Return raw colour at a stride; None keeps the stride.

        Raises:
            ValueError: for another stage, or dilations.
        """
        return super().feature_extractor(stage, dilated=dilated).changed(stride=stride or self.stride)

    def map_of(self, images: Tensor) -> Tensor:
        """Return the mean colours of cells: `(N, 3, H, W)` → `(N, 3, h, w)`, h and w rounded up.

        A cell that the right or lower border cuts has the mean of its pixels within the image.
        """
        return nn.functional.avg_pool2d(images, self.stride, ceil_mode=True)


def stage_names(prefix: str, count: int) -> list[str]:
    """Return `count` names of stages, a prefix with numbers from 1: block1, block2, …

    Example:
        >>> stage_names("block", 3)
        ['block1', 'block2', 'block3']
    """
    return [f"{prefix}{number}" for number in range(1, count + 1)]


def stage_indices(stages: Iterable[str], prefix: str) -> list[int]:
    """Return the indices of stages in `stage_names` of the prefix, from 0, ascending, without repeats.

    Stages with another prefix are left out.

    Example:
        >>> stage_indices(["block7", "block3", "block7", "features"], "block")
        [2, 6]
    """
    return sorted({int(name.removeprefix(prefix)) - 1 for name in stages if name.startswith(prefix)})


def features_by(function: Callable[[Tensor], Any], images: Tensor) -> Any:
    """Return the output of a network for images, without gradients.

    Inference mode is off, because a network may keep tensors, for example a table of positions, and training cannot use
    inference tensors.

    Args:
        function: an extractor, or a method of a network.
        images: float RGB `(N, 3, H, W)` in [0, 1].

    Example:
        >>> images = torch.zeros(1, 3, 8, 8)
        >>> features_by(nn.Identity(), images) is images
        True
        >>> with torch.inference_mode():
        ...     images = torch.zeros(1, 3, 8, 8)
        >>> features_by(nn.Identity(), images).is_inference()
        False
    """
    with torch.inference_mode(False), torch.no_grad():
        return function(images.clone() if images.is_inference() else images)


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
