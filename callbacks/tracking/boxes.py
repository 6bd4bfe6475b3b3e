"""SiamFC: a target is found again by the correlation of its first appearance with a search region, at a few scales."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from datamodules.reading.boxes import centred, context_side, one_based, square_crop
from lightning_modules.functional.protocol import EvaluationProtocol, Source
from lightning_modules.functional.siamese import siamese_correlation

from .label_propagation import Stopwatch

Picture = NDArray[np.uint8]
"""A frame, (H, W, 3) uint8 RGB."""

FLAT = 1e-5
"""A response that varies by less than this share of its size is rounding: the window alone then decides."""


VFS = Source(
    code="xvjiarui/VFS @ 8e055cc: projects/siamfc-pytorch",
    values={"otb": {}},
    note="Exemplars of 120 px come from its code; SiamFC's paper, sections 3.2 and 4.1, has 127.",
)


@dataclasses.dataclass(frozen=True)
class TrackingProtocol(EvaluationProtocol):
    """Every number that moves a tracking score; the defaults are those of VFS.

    Paper: SiamFC, section 3.2 and 4.1; VFS, section 4.2, and its code.

    Attributes:
        name: without one, `vfs` and what differs from it: `vfs+stride=4`.
        exemplar_size: side of the exemplar crop, pixels.
        instance_size: side of the search crop, pixels.
        context: margin around the target, as a fraction of height + width.
        scales: number of search scales, odd.
        scale_step: factor from one scale to the next.
        scale_rate: weight of the found scale in the target's new size.
        scale_penalty: factor on the responses of all scales but the middle one.
        penalty_lowers: a response below 0 is multiplied by 2 - scale_penalty instead, so that a change of scale always
            costs. VFS's code multiplies by scale_penalty there too: a change then pays, and boxes shrink frame by frame
            until they vanish, which a fine-tune of few steps may come to.
        window_influence: weight of the cosine window in the response.
        stride: pixels of the search crop from one place of the response to the next.
        dilated: whether the network's res4 and res5 have SiamFC's dilations in place of their strides; "released": as
            VFS's released code dilates, see `ResNetExtractor`. A tracker takes stride and dilation from its extractor.
        upsampling: places of the up-sampled response for one place of the response.
        response_size: places along a side that are up-sampled to response_size · upsampling. VFS's 17 is SiamFC's; its
            response has 18 in fact, so that its displacements are 17/18 of what they should be. None: the true number.
        precision: data type of the backbone's arithmetic.

    Raises:
        ValueError: for a value out of range.
    """

    name: str = ""
    exemplar_size: int = 120
    instance_size: int = 255
    context: float = 0.5
    scales: int = 3
    scale_step: float = 1.0375
    scale_rate: float = 0.59
    scale_penalty: float = 0.9745
    penalty_lowers: bool = False
    window_influence: float = 0.176
    stride: int = 8
    dilated: bool | Literal["released"] = True
    upsampling: int = 16
    response_size: int | None = 17
    precision: Literal["float32", "bfloat16"] = "float32"

    unnamed: ClassVar[str] = "vfs"

    @classmethod
    def sources(cls) -> Mapping[str, Source]:
        """Return the named protocols: name → source."""
        return {"vfs": VFS}

    def _ranges(self) -> dict[str, tuple[bool, str]]:
        return {
            "exemplar_size": (1 <= self.exemplar_size <= self.instance_size, f"1 to {self.instance_size} pixels"),
            "context": (self.context >= 0, "0 or more"),
            "scales": (self.scales >= 1 and self.scales % 2 == 1, "odd, 1 or more"),
            "scale_step": (self.scale_step >= 1, "1 or more"),
            "scale_rate": (0 <= self.scale_rate <= 1, "in [0, 1]"),
            "scale_penalty": (0 < self.scale_penalty <= 1, "in (0, 1]"),
            "window_influence": (0 <= self.window_influence <= 1, "in [0, 1]"),
            "stride": (self.stride >= 1, "1 or more pixels"),
            "upsampling": (self.upsampling >= 1, "1 or more"),
            "response_size": (self.response_size is None or self.response_size >= 1, "1 or more places, or None"),
        }

    @property
    def factors(self) -> NDArray[np.float64]:
        """Scales that are searched, small to large."""
        return self.scale_step ** np.arange(-(self.scales // 2), self.scales // 2 + 1, dtype=np.float64)

    def at_features(self, stride: int, dilated: bool | Literal["released"] = False) -> "TrackingProtocol":
        """Return this protocol for the features of an extractor; a difference from its own shows in its name."""
        changes: dict[str, Any] = {"dilated": dilated}
        if stride != self.stride:
            changes |= {"stride": stride, "response_size": None}
        return self.with_changes(**changes)


@dataclasses.dataclass
class Track:
    """A target that is followed.

    Attributes:
        target: zero-based centre y, x, height, width, pixels.
        side: of the square that the exemplar shows, pixels; it grows and shrinks with the target.
        exemplar: features of the first frame, (C, a, a).
    """

    target: NDArray[np.float64]
    side: float
    exemplar: Tensor

    @property
    def box(self) -> NDArray[np.float64]:
        """One-based x, y, width, height."""
        return one_based(self.target)


class SiamFCTracker:
    """Follows any number of targets, each in a video of its own, with one pass of the backbone for all and all scales.

    Args:
        extractor: float RGB (N, 3, H, W) in [0, 1] → (N, C, h, w); a fine-tuned one also has `exemplar(crops)` for the
            first frame. Where it can fold its BatchNorms a folded copy is used, so make a new tracker when it has
            learned.
        protocol: the numbers; it is taken at the stride and dilation of the extractor.
        stopwatch: counts the seconds of "crop", "backbone" and "respond".

    Raises:
        ValueError: if the extractor gives several maps.
    """

    def __init__(
        self, extractor: nn.Module, protocol: TrackingProtocol | None = None, stopwatch: Stopwatch | None = None
    ) -> None:
        protocol = protocol or TrackingProtocol()
        stride: Any = getattr(extractor, "stride", protocol.stride)
        if not isinstance(stride, int):
            raise ValueError("tracking needs one map of features; name one stage, not several")
        self.protocol = protocol.at_features(stride, getattr(extractor, "dilated", False))
        view: Any = extractor
        self.extractor: Any = view.folded() if hasattr(view, "folded") else view
        self.watch = stopwatch or Stopwatch()
        self.device = next(extractor.parameters(), next(extractor.buffers(), torch.zeros(()))).device
        self._bicubic: dict[int, Tensor] = {}
        self._windows: dict[int, Tensor] = {}

    def start(self, picture: Picture, box: NDArray[np.float64]) -> Track:
        """Take up a target.

        Args:
            picture: the first frame, (H, W, 3) uint8 RGB.
            box: one-based x, y, width, height.

        Raises:
            ValueError: if the box has no area.
        """
        target = centred(box)
        if not (np.isfinite(target).all() and target[2:].min() > 0):
            raise ValueError(f"cannot follow the box {np.asarray(box).tolist()}: it needs a width and a height")
        protocol = self.protocol
        side = context_side(target[2], target[3], protocol.context)
        with self.watch("crop"):
            crop = square_crop(picture, (target[0], target[1]), side, protocol.exemplar_size)
        look = getattr(self.extractor, "exemplar", self.extractor)
        return Track(target, side, self._features(crop[None], look)[0])

    def step(self, tracks: Sequence[Track], pictures: Sequence[Picture]) -> NDArray[np.float64]:
        """Find each target in its next frame.

        Args:
            tracks: of `start`; they are moved.
            pictures: the next frame of each, (H, W, 3) uint8 RGB.

        Returns:
            (N, 4) one-based x, y, width, height.

        Raises:
            ValueError: if a response is no finite number.
        """
        protocol, factors = self.protocol, self.protocol.factors
        responses = self.responses(tracks, pictures)
        with self.watch("respond", self.device):
            best, place = self._peaks(responses)
        width = responses.shape[-1]
        for track, scale, index in zip(tracks, factors[best], place, strict=True):
            offset = np.array(divmod(index, width)) - (width - 1) / 2
            in_crop = offset * protocol.stride / protocol.upsampling
            track.target[:2] += in_crop * track.side / protocol.exemplar_size * scale
            growth = 1 - protocol.scale_rate + protocol.scale_rate * scale
            track.target[2:] *= growth
            track.side *= growth
        return np.stack([track.box for track in tracks])

    def responses(self, tracks: Sequence[Track], pictures: Sequence[Picture]) -> Tensor:
        """Correlation of each target with the region around where it was, up-sampled: (N, scales, U, U).

        Bicubic, to U = response_size · upsampling places a side; as two products, since that is linear and separable.
        """
        raw = self.correlate(tracks, pictures)
        with self.watch("respond", self.device):
            matrix = self._upsampling(raw.shape[-1])
            return matrix @ raw @ matrix.T

    def correlate(self, tracks: Sequence[Track], pictures: Sequence[Picture]) -> Tensor:
        """Correlation of each target with the region around where it was: (N, scales, n, n)."""
        with self.watch("crop"):
            crops = self._search_crops(tracks, pictures)
        search = self._features(crops, self.extractor)
        with self.watch("respond", self.device):
            raw = siamese_correlation(torch.stack([track.exemplar for track in tracks]), search)
            return raw.reshape(self.protocol.scales, len(tracks), *raw.shape[-2:]).transpose(0, 1)

    def _search_crops(self, tracks: Sequence[Track], pictures: Sequence[Picture]) -> Picture:
        """Crops of all targets at the smallest scale, then at the next: (scales · N, S, S, 3) uint8."""
        protocol = self.protocol
        size = protocol.instance_size
        crops = np.empty((protocol.scales * len(tracks), size, size, 3), np.uint8)
        number = 0
        for factor in protocol.factors:
            for track, picture in zip(tracks, pictures, strict=True):
                side = track.side * size / protocol.exemplar_size * factor
                square_crop(picture, (track.target[0], track.target[1]), side, size, out=crops[number])
                number += 1
        return crops

    def _features(self, crops: Picture, look: Any) -> Tensor:
        low = self.protocol.precision == "bfloat16"
        with self.watch("backbone", self.device), torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            images = torch.from_numpy(crops).to(self.device, non_blocking=True).permute(0, 3, 1, 2)
            features: Tensor = look(images.float().div_(255))
        return features.float()

    def _upsampling(self, places: int) -> Tensor:
        """(U, places): the bicubic weights of one axis."""
        if places not in self._bicubic:
            wanted = (self.protocol.response_size or places) * self.protocol.upsampling
            unit = torch.eye(places, device=self.device)[None, None]
            self._bicubic[places] = interpolate(unit, size=(wanted, places), mode="bicubic")[0, 0]
        return self._bicubic[places]

    def _window(self, places: int) -> Tensor:
        """Cosine window over places × places, flat, of sum 1."""
        if places not in self._windows:
            window = torch.hann_window(places, periodic=False, dtype=torch.float64, device=self.device)
            self._windows[places] = (window.outer(window) / window.sum() ** 2).flatten()
        return self._windows[places]

    def _peaks(self, responses: Tensor) -> tuple[list[int], list[int]]:
        """Number of the best scale and of the best place in it, for each target.

        Raises:
            ValueError: if a response is no finite number.
        """
        protocol, middle = self.protocol, self.protocol.scales // 2
        penalty = torch.full((protocol.scales,), protocol.scale_penalty, device=responses.device)
        penalty[middle] = 1
        peaks = responses.amax((-2, -1))
        if not peaks.isfinite().all():
            raise ValueError("tracking: the response is no finite number; has the network diverged?")
        if protocol.penalty_lowers:
            penalty = torch.where(peaks < 0, 2 - penalty, penalty)
        best = (peaks * penalty).argmax(1)
        chosen = responses[torch.arange(len(responses), device=best.device), best].flatten(1)
        low, high = chosen.amin(1, keepdim=True), chosen.amax(1, keepdim=True)  # `aminmax` takes 15 times as long
        # the response above its minimum has the share 1 - influence of the whole, as the window of sum 1 has influence
        total = chosen.sum(1, keepdim=True, dtype=torch.float64) - chosen.shape[1] * low.double()
        flat = high - low <= FLAT * torch.maximum(high.abs(), low.abs())
        weight = torch.where(flat, 0, (1 - protocol.window_influence) / (total + 1e-16))
        place = torch.addcmul(protocol.window_influence * self._window(responses.shape[-1]), weight, chosen).argmax(1)
        found = torch.stack([best, place]).tolist()
        return found[0], found[1]
