"""The maps that an extractor gives, the size at which it sees a video, and the part of the plane that they cover."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self

from lightning_modules.backbones.video import VideoEncoder
from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.points import PointProtocol
from lightning_modules.functional.propagation.sizing import NetworkInput, Size, covered_size
from lightning_modules.functional.transfer import to_device

P = TypeVar("P", PropagationProtocol, PointProtocol)


class MapInfo(NamedTuple):
    """A feature map of an extractor.

    Attributes:
        stage: its name; empty for an extractor of one map.
        stride: pixels per cell; None for an encoder of video that has not encoded yet: the protocol's own.
    """

    stage: str
    stride: int | None


def maps_of(extractor: nn.Module) -> list[MapInfo]:
    """Return the feature maps that an extractor gives, in their order.

    Raises:
        ValueError: if it does not name the stride of each.
    """
    stride: Any = getattr(extractor, "stride", None)
    strides = stride if isinstance(stride, list) else [stride]
    unknown_yet = stride is None and isinstance(extractor, VideoEncoder)
    if not unknown_yet and not all(isinstance(item, int) for item in strides):
        raise ValueError(f"tracking needs the stride of each feature map of {type(extractor).__name__}, got {stride}")
    stages: Any = getattr(extractor, "stage", None)
    names = stages if isinstance(stages, list) else [""] * len(strides)
    return [MapInfo(*pair) for pair in zip(names, strides, strict=True)]


def stride_of(extractor: nn.Module) -> int | None:
    """Return the stride of an extractor that gives one map; None of an encoder of video that has not encoded yet.

    Raises:
        ValueError: if it gives several, or does not name its stride.
    """
    maps = maps_of(extractor)
    if len(maps) > 1:
        raise ValueError(f"tracking needs one map of features, got {len(maps)}; name one stage")
    return maps[0].stride


def at_stride(protocol: P, stride: int | None) -> P:
    """Return the protocol for features of a stride; where that differs from its own stride, its name shows it."""
    return protocol if stride in (None, protocol.feature_stride) else protocol.with_changes(feature_stride=stride)


@dataclass(frozen=True)
class View:
    """Sizes of a video as it is and as an extractor sees it.

    Attributes:
        own: (H, W) of the frames, pixels.
        seen: size to which frames are reduced before the protocol's own sizing.
        covered: size that the map covers of a reduced frame, padding included, in pixels of the reduced frame.
    """

    own: Size
    seen: Size
    covered: Size

    @classmethod
    def of(cls, extractor: nn.Module, size: Size, protocol: NetworkInput, short_side: int | None = None) -> Self:
        """Return the view of an extractor under a protocol.

        Args:
            extractor: see `build_feature_extractor`.
            size: (H, W) of the frames, pixels.
            protocol: gives the sizing; one with an input size reads them at their original size.
            short_side: larger frames are reduced to this, pixels; None leaves them at their own size.

        Raises:
            ValueError: if short_side is below 1.
        """
        if short_side is not None and short_side < 1:
            raise ValueError(f"short_side must be at least 1 px, or null for the frames' own size; got {short_side}")
        free = protocol.input_size is None
        factor = min(1.0, short_side / min(size)) if short_side is not None and free else 1.0
        seen = round(size[0] * factor), round(size[1] * factor)
        return cls(size, seen, covered_size(seen, protocol, getattr(extractor, "multiple", 1)))

    @cached_property
    def covered_of_own(self) -> Size:
        """Size that the map covers, in pixels of the frames as they are."""
        height, width = (
            round(covered * own / seen) for covered, own, seen in zip(self.covered, self.own, self.seen, strict=True)
        )
        return height, width

    def reduce(self, frame: Tensor) -> Tensor:
        """Bring a frame, uint8 `(3, H, W)`, to the size at which it is seen."""
        import cv2

        if self.seen == self.own:
            return frame
        image = cv2.resize(frame.permute(1, 2, 0).numpy(), self.seen[::-1], interpolation=cv2.INTER_AREA)
        return torch.from_numpy(image).permute(2, 0, 1)

    def reduce_ids(self, ids: Tensor) -> Tensor:
        """Bring ids `(H, W)` to the covered size: nearest pixel, background in the padding."""
        if self.seen != self.own:
            ids = F.interpolate(ids[None, None], self.seen, mode="nearest-exact")[0, 0]
        return F.pad(ids, (0, self.covered[1] - self.seen[1], 0, self.covered[0] - self.seen[0]))

    def reduce_points(self, points: Tensor) -> Tensor:
        """Convert x, y `(K, 2)` from pixels of the frames to pixels as seen; 0 is the centre of the first pixel."""
        return points if self.seen == self.own else (points + 0.5) * self._factor - 0.5

    def restore_points(self, points: Tensor) -> Tensor:
        """Convert x, y `(K, 2)` from pixels as seen to pixels of the frames."""
        return points if self.seen == self.own else (points + 0.5) / to_device(self._factor, points.device) - 0.5

    @property
    def _factor(self) -> Tensor:
        return torch.tensor([self.seen[1] / self.own[1], self.seen[0] / self.own[0]], dtype=torch.float64)
