"""The protocol of box tracking: every number that affects a score, as one frozen record."""

import dataclasses
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from .evaluation_protocol import (
    EvaluationProtocol,
    NonNegativeFloat,
    PositiveInt,
    Range,
    UnitInterval,
)


@dataclasses.dataclass(frozen=True)
class TrackingProtocol(EvaluationProtocol):
    """Every number that moves a tracking score; the defaults are those of VFS.

    Paper: SiamFC, section 3.2 and 4.1; VFS, section 4.2, and its code.

    Attributes:
        name: `vfs` and what differs from it: `vfs+stride=4`.
        exemplar_size: side of the exemplar crop, pixels.
        instance_size: side of the search crop, pixels.
        context: margin around the target, as a fraction of height + width.
        scales: number of search scales, odd.
        scale_step: factor from one scale to the next.
        scale_rate: weight of the found scale in the target's new size.
        scale_penalty: factor on the responses of all scales but the middle one.
        penalty_lowers: whether a response below 0 is multiplied by 2 - scale_penalty instead, so that a change of scale
            always costs. The default, False, is what VFS's released code does (golden file siamfc_tracking.npz): it
            multiplies the responses of the changed scales by scale_penalty whatever their sign. Where all of them are
            negative a change then pays, and a box can shrink frame by frame until it vanishes.
        window_influence: weight of the cosine window in the response.
        stride: pixels of the search crop from one cell of the response to the next.
        dilated: whether the network's res4 and res5 have SiamFC's dilations in place of their strides; "released": as
            VFS's released code dilates, see `ResNetExtractor`. A tracker takes stride and dilation from its extractor.
        upsampling: cells of the up-sampled response for one cell of the response.
        response_size: cells along a side that are up-sampled to response_size · upsampling. VFS's 17 is SiamFC's; its
            response has 18 in fact, so that its displacements are 17/18 of what they should be. None: the true number.
        precision: data type of the backbone's arithmetic.

    Raises:
        ValueError: for a value out of range.
    """

    name: str = "vfs"
    exemplar_size: PositiveInt = 120
    instance_size: PositiveInt = 255
    context: NonNegativeFloat = 0.5
    scales: PositiveInt = 3
    scale_step: Annotated[float, Range(ge=1)] = 1.0375
    scale_rate: UnitInterval = 0.59
    scale_penalty: Annotated[float, Range(gt=0, le=1)] = 0.9745
    penalty_lowers: bool = False
    window_influence: UnitInterval = 0.176
    stride: PositiveInt = 8
    dilated: bool | Literal["released"] = True
    upsampling: PositiveInt = 16
    response_size: PositiveInt | None = 17
    precision: Literal["float32", "bfloat16"] = "float32"

    kind: ClassVar[str] = "boxes"
    default_benchmark: ClassVar[str] = "otb"

    def _conditions(self) -> dict[str, tuple[bool, str]]:
        return {
            "exemplar_size": (self.exemplar_size <= self.instance_size, f"at most instance_size, {self.instance_size}"),
            "scales": (self.scales % 2 == 1, "odd"),
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
