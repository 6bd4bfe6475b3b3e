"""Encoders: networks with their input and description, which give views of their stages."""

import hashlib
import inspect
from itertools import groupby
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from ..description import OF_RANDOM, UNKNOWN, Input as Input, Network as Network
from ..functional.device import PendingCopy, gpu_or_cpu
from .copies import Changeable
from .extractor import Dilated, View, makes_views, unwrapped
from .networks import EncoderSpec
from .outputs import OWN_METHOD, certain_input
from .views import NetworkView


def inner_network(network: object) -> Any:
    """Return a network as it is; of a module without `forward`, as a LightningModule, its `encoder` or `backbone`.

    Raises:
        ValueError: if neither or both attributes hold a network, or `network` is no `nn.Module`.
    """
    if not isinstance(network, nn.Module):
        raise ValueError(f"expected a network by name, file or module, got a {type(network).__name__}")
    forward = inspect.getattr_static(type(network), "forward")  # a TorchScript module's is no function: no name
    # by name: both packages, `lightning` and `pytorch_lightning`, define the class, and neither is imported here
    full_name = getattr(forward, "__qualname__", "")
    has_own_forward = forward is not nn.Module.forward and full_name != "LightningModule.forward"
    if has_own_forward or makes_views(network):
        return network
    # by `getattr`, not among the children: it may be a property
    parts = [getattr(network, name, None) for name in ("encoder", "backbone")]
    inner = [part for part in parts if isinstance(part, nn.Module)]
    if len(inner) != 1:
        kind = type(network).__name__
        raise ValueError(f"{kind}: has no forward, and {len(inner)} of encoder and backbone: {OWN_METHOD}")
    return inner_network(unwrapped(inner[0]))


def stated_by(module: object) -> Input | None:
    """Return the input that a module states by `input_mean` and `input_std`; None if it states none.

    Raises:
        ValueError: for a mean that is not three numbers in [0, 1], or without a deviation.
    """
    mean: Any = getattr(module, "input_mean", None)
    std: Any = getattr(module, "input_std", None)
    return None if mean is None and std is None else Input.of(mean, std, f"stated by {type(module).__name__}")


class Encoder(Changeable, nn.Module):
    """A network with its input, its description, and defaults for its views: a value; `changed` makes another one.

    Args:
        network: a network; a module with its own method `feature_extractor(stage, stride)`; an extractor; a video
            encoder; one of them in a wrapper of torch, or as `encoder` or `backbone` of a module without `forward`.
        stated: the RGB that the network gets, if the caller knows it. None, or an input with an empty `source`: the
            module, its package's record or its library states it.
        stage: stage of a view that names none; None is the network's default.
        stride: stride of a view that names none; None is the network's default.
        described: name and source of the weights; None is the module's own description.
        made_by: name and arguments that make the network again; None: the name in its description, without arguments.

    Attributes:
        network: the network, without torch's wrappers.
        stated: the RGB that the network gets, by the first that states it: the caller, the module, the record of a
            library's weights (`pretrained_cfg`; `build` empties the record of a network with other weights).
        user_module: the user's module, `network` or a module around it, in a tuple, so that it is no part of this one.
        makes_views: the network makes its own views.
        default_stage, default_stride: arguments `stage` and `stride`.
        is_ours: `load` made the network, so that nobody else holds its tensors.

    Raises:
        ValueError: for anything but a module, or a network that has no view.
    """

    def __init__(
        self,
        network: Any,
        stated: Input | None = None,
        stage: str | None = None,
        stride: int | None = None,
        described: Network | None = None,
        *,
        made_by: EncoderSpec | None = None,
    ) -> None:
        super().__init__()
        outer = unwrapped(network)
        self.network: Any = inner_network(outer)
        if any(map(nn.parameter.is_lazy, self.network.parameters())):
            remedy = "whose weights have no shape yet: call it once, on an image, in the function that makes it"
            raise ValueError(f"{type(self.network).__name__}: has lazy layers, {remedy}")
        self.user_module = (outer,)
        self.makes_views = makes_views(self.network)
        # an input without a source is a default, not a statement
        by_caller = stated if stated is not None and stated.source else None
        self.stated = by_caller or stated_by(outer) or stated_by(self.network)
        record = getattr(self.network, "pretrained_cfg", None) or {}
        if self.stated is None and not self.makes_views and "mean" in record:
            name = ".".join(filter(None, (record.get("architecture"), record.get("tag"))))
            source = record.get("file", f"timm's record of {name}")  # `file` in a record of ours
            self.stated = Input.of(record["mean"], record["std"], source)
        self.default_stage = stage
        self.default_stride = stride
        self.described = described or Network.of(outer)
        self.is_ours = False
        self.made_by = made_by or EncoderSpec(self.described.spec, seed=None)

    @property
    def input(self) -> Input:
        """The RGB that the network gets: `stated`, else the default of its views; of random weights `OF_RANDOM`."""
        certain = self.stated or (None if self.makes_views else certain_input(self.network))
        if certain is None:
            return self.view().input
        return OF_RANDOM if certain == UNKNOWN and not self.described.loaded else certain

    def view(
        self,
        stage: str | None = None,
        stride: int | None = None,
        dilated: Dilated = False,
        of_protocol: str | None = None,
        placed: bool = False,
    ) -> Any:
        """Return a view of the network, which shares its weights and changes nothing in it.

        Args:
            stage: a name, or names with + between them; None is the default of this encoder.
            stride: pixels per cell; None is the default of this encoder.
            dilated: SiamFC's dilations, as `NetworkView` takes them; of a ResNet only.
            of_protocol: `STAGE/STRIDE` by which a protocol views ResNets; it applies to a ResNet whose own call gives
                no map, if neither the caller nor the encoder names a stage or a stride.
            placed: first move a network that `load` made, not a user's own, to the GPU, if there is one.

        Returns:
            A `FeatureExtractor`, in eval mode; what a network's own method `feature_extractor` returns; of a video
            encoder a shallow copy over the same network.

        Raises:
            ValueError: if the stage is no text, if the network has no such stage, stride or dilation, or normalises RGB
                by code of its own while the caller states its input.
        """
        if placed and self.is_ours:
            self.network.to(gpu_or_cpu())
        # a user's own method may not take it
        options: dict[str, Any] = {"dilated": dilated} if dilated else {}
        stage = stage or self.default_stage
        stride = stride or self.default_stride
        if not isinstance(stage, str | None):
            raise ValueError(f"stage must be a name, or names with + between them, got {stage!r}")
        # values of the view's attributes, which its copy at the end gets
        facts: dict[str, Any] = {"described": self.described, "user_module": self.user_module}
        if self.makes_views:
            view = self.network.feature_extractor(stage, stride, **options)
            view = view if isinstance(view, View) else NetworkView(unwrapped(view))
        else:
            if of_protocol and stage is None and stride is None:
                options["of_resnet"] = of_protocol
            view = NetworkView(self.network, stage, stride, **options)
            if view.input == UNKNOWN and not self.described.loaded:
                facts["input"] = OF_RANDOM
        if self.stated is not None:
            facts["input"] = self.stated
            if not view.normalises:
                name = view.network_name
                raise ValueError(f"{name}: makes its input by code of its own: leave mean and deviation out")
        return view.changed(**facts)

    @property
    def spec(self) -> EncoderSpec | None:
        """Spec that makes the encoder again, without its weights; None for a network without a name.

        The spec states the input only if the input has a source and the network's view normalises by it.
        """
        name = self.made_by.located[0]
        if not name:
            return None
        arguments = getattr(self.network, "made_with", self.made_by.arguments)
        stated = None if self.makes_views else self.input
        if stated is not None and (not stated.source or stated == UNKNOWN):
            stated = None
        return EncoderSpec(name, self.default_stage, self.default_stride, seed=None, input=stated, arguments=arguments)


def weights_digest(module: nn.Module) -> str:
    """Return a digest (12 hexadecimal digits) of the types, shapes and numbers of all weights, without their names."""
    tensors = [each.detach().contiguous() for each in module.state_dict().values() if isinstance(each, Tensor)]
    digest = hashlib.blake2b("; ".join(f"{each.dtype} {tuple(each.shape)}" for each in tensors).encode())
    contents = (each.reshape(-1).view(torch.uint8) for each in tensors)
    for device, parts in groupby(contents, key=attrgetter("device")):
        # one copy from a device, not one for each weight
        for part in parts if device.type == "cpu" else [PendingCopy(torch.cat([*parts])).wait()]:
            digest.update(part.numpy().data)
    return digest.hexdigest()[:12]
