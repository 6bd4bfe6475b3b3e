"""The network's pass over frames, as a protocol prepares them: several at a time, in parallel with other work."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from lightning_modules.backbones import Normalise, shared_copy
from lightning_modules.functional.propagation.sizing import NetworkInput, Size, backbone_autocast, fit_input

from .stopwatch import Stopwatch

Maps = list[Tensor]
"""Features of a frame, `(C, h, w)` float32 for each of the extractor's maps."""

PendingMaps = Callable[[], list[Maps]]
"""Function that gives the maps of the frames of a chunk."""


@runtime_checkable
class CanFold(Protocol):
    """An extractor that can make a faster copy of itself, its BatchNorms folded into its convolutions."""

    def folded(self) -> nn.Module: ...


@runtime_checkable
class InterpolatesPositions(Protocol):
    """A transformer's extractor, which can interpolate its position embedding by another rule than the network's."""

    positions: str


class FrameEncoder:
    """An extractor under a protocol, which encodes several frames in a pass.

    Args:
        extractor: see `build_feature_extractor`; a folded copy is used where it can fold, see `view_for`.
        rules: say what the network sees.
        stopwatch: counts the seconds of "backbone".

    Attributes:
        device: that of the extractor.
        input_size: (H, W) of the network's last input, padding included.

    Raises:
        ValueError: if the extractor lacks the normalisation that the protocol changes.
    """

    def __init__(self, extractor: nn.Module, rules: NetworkInput, stopwatch: Stopwatch) -> None:
        self.device = device_of(extractor)
        self.input_size: Size = (0, 0)
        self._view, self._rules, self._watch = view_for(extractor, rules), rules, stopwatch
        self._multiple = getattr(extractor, "multiple", 1)

    def __call__(self, frames: Sequence[Tensor]) -> list[Maps]:
        """Return the maps of each frame.

        Args:
            frames: uint8 RGB `(3, H, W)`, of one size.
        """
        stacked = torch.stack(list(frames)) if len(frames) > 1 else frames[0][None]
        with self._watch("backbone", self.device), backbone_autocast(self._rules, self.device):
            images = fit_input(stacked, self._rules, self._multiple, self.device)
            self.input_size = (images.shape[2], images.shape[3])
            output: Any = self._view(images)
            maps = [each.float() for each in ([output] if isinstance(output, Tensor) else output)]
        return [[each[number] for each in maps] for number in range(len(frames))]


class SideStream:
    """A second queue of work on a GPU; on another device work is done in order.

    Args:
        device: device of the work.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def start(self, work: PendingMaps) -> PendingMaps:
        """Queue work that begins when all that the current stream has by now is done.

        Returns:
            A function that lets the current stream have the result; the stream waits for it, the CPU does not.
        """
        if self._stream is None:
            result = work()
            return lambda: result
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result, done = work(), torch.cuda.Event()
            done.record(self._stream)

        def hand_over() -> list[Maps]:
            current.wait_event(done)
            for tensor in chain.from_iterable(result):
                tensor.record_stream(current)  # its memory is free when that stream has used it
            return result

        return hand_over


def device_of(extractor: nn.Module) -> torch.device:
    """Return the device of an extractor's parameters or buffers; the CPU where it has none."""
    return next(extractor.parameters(), next(extractor.buffers(), torch.zeros(()))).device


def view_for(extractor: nn.Module, protocol: NetworkInput) -> nn.Module:
    """Return the extractor as a protocol wants it: with the protocol's RGB normalisation, and BatchNorms folded.

    The extractor itself stays as it is. A folded view has its own copy of the weights.

    Args:
        extractor: see `build_feature_extractor`.
        protocol: its `rgb_mean` and `rgb_std` replace those of every `Normalise` of the extractor, and a transformer's
            position embedding is interpolated by its rule.

    Raises:
        ValueError: if the protocol asks for a mean or deviation and the extractor has no `Normalise`.
    """
    if protocol.position_embedding == "dino" and isinstance(extractor, InterpolatesPositions):
        extractor = shared_copy(extractor)
        extractor.positions = "dino"
    constants = {"rgb_mean": protocol.rgb_mean, "rgb_std": protocol.rgb_std}
    if wanted := {field: constant for field, constant in constants.items() if constant is not None}:
        extractor = shared_copy(extractor)
        found = [module for module in extractor.modules() if isinstance(module, Normalise)]
        if not found:
            raise ValueError(
                f"protocol {protocol.name!r} normalises RGB by {' and '.join(wanted)}, but "
                f"{type(extractor).__name__} does not normalise RGB; set changes to "
                f"{{{', '.join(f'{field}: null' for field in wanted)}}}"
            )
        for module in found:
            for field, constant in wanted.items():
                buffer = field.removeprefix("rgb_")
                setattr(module, buffer, getattr(module, buffer).new_tensor(constant).view(-1, 1, 1))
    return extractor.folded() if isinstance(extractor, CanFold) else extractor
