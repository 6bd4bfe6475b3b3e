"""The protocol of box tracking: every number and rule that affects a score.

Without torch, so that protocols are listed at once.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from .base import SET_BY_NETWORK, Condition, EvaluationProtocol, OnlyIf
from .ranges import NonNegativeFloat, PositiveInt, Range, UnitInterval

SEVERAL_SCALES = OnlyIf(lambda p: p.scales > 1, "scales are several")
PENALISED = OnlyIf(lambda p: p.scales > 1 and p.scale_penalty < 1, "scales are several, and scale_penalty below 1")


class TrackingProtocol(EvaluationProtocol):
    """Every number that affects a tracking score; the defaults are VFS's.

    Paper: SiamFC, section 3.2 and 4.1; VFS, section 4.2, and its code.

    Attributes:
        exemplar_size: side of the exemplar crop, pixels.
        instance_size: side of the search crop, pixels.
        context: margin around the target, as a fraction of height + width.
        scales: number of search scales, odd.
        scale_step: factor from one scale to the next.
        scale_rate: weight of the found scale in the target's new size.
        scale_penalty: factor on the responses of all scales but the middle one.
        penalty_lowers: multiply a response below 0 by 2 - scale_penalty instead, so that a change of scale always
            costs. The default, False, is VFS's released code (golden file siamfc_tracking.npz): it multiplies the
            responses of the changed scales by scale_penalty whatever their sign. If all responses are negative, a
            change then pays, and a box can shrink frame by frame until it vanishes.
        window_influence: weight of the cosine window in the response.
        stride: pixels of the search crop per cell of the response.
        dilated: the network's res4 and res5 have SiamFC's dilations in place of their strides; "released": the
            dilations of VFS's released code. A tracker takes `stride` and `dilated` from its extractor.
        upsampling: factor by which the response is up-sampled.
        response_size: side in cells that is up-sampled to response_size · upsampling. VFS uses SiamFC's 17 although
            its response has 18 cells, so its displacements are 17/18 of the true ones. None: the true number.
        precision: precision of the backbone's products; "tf32" rounds factors to 10 bits on a GPU.

    Raises:
        ValueError: for a value out of range.
    """

    source: str = Field(default="vfs", alias="name")
    exemplar_size: PositiveInt = 120
    instance_size: PositiveInt = 255
    context: NonNegativeFloat = 0.5
    scales: PositiveInt = 3
    scale_step: Annotated[float, Range(ge=1), SEVERAL_SCALES] = 1.0375
    scale_rate: Annotated[UnitInterval, SEVERAL_SCALES] = 0.59
    scale_penalty: Annotated[float, Range(gt=0, le=1), SEVERAL_SCALES] = 0.9745
    penalty_lowers: Annotated[bool, PENALISED] = False
    window_influence: UnitInterval = 0.176
    stride: Annotated[PositiveInt, SET_BY_NETWORK] = 8
    dilated: Annotated[bool | Literal["released"], SET_BY_NETWORK] = True
    upsampling: PositiveInt = 16
    response_size: Annotated[PositiveInt | None, SET_BY_NETWORK] = 17
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"

    kind: ClassVar[str] = "boxes"
    default_benchmark: ClassVar[str] = "otb"

    def _conditions(self) -> Iterator[Condition]:
        """Yield the rules between fields: field, whether the rule holds, and what is expected of the field.

        `__init__` refuses values that break a rule.
        """
        fits_search = self.exemplar_size <= self.instance_size
        yield Condition("exemplar_size", fits_search, f"at most instance_size, {self.instance_size}")
        yield Condition("scales", self.scales % 2 == 1, "odd")  # so that the target's size is in the middle

    @property
    def factors(self) -> NDArray[np.float64]:
        """Factors of the target's size that are searched, `(scales,)`, ascending; 1 is in the middle.

        Example:
            >>> TrackingProtocol().factors.round(4)
            array([0.9639, 1.    , 1.0375])
        """
        return self.scale_step ** np.arange(-(self.scales // 2), self.scales // 2 + 1, dtype=np.float64)

    def at_features(self, stride: int, dilated: bool | Literal["released"]) -> "TrackingProtocol":
        """Return this protocol for the features of an extractor; the name shows a different stride or dilation.

        A different stride changes the number of cells of the response, so `response_size`, which states this number,
        becomes None (the true one) unless the user has changed it.

        Raises:
            ValueError: if the name changes stride or dilation to another one.

        Example:
            >>> TrackingProtocol().at_features(4, dilated=False).name
            'vfs+dilated=false+response_size=none+stride=4'
            >>> TrackingProtocol(response_size=20).at_features(4, dilated=True).name
            'vfs+response_size=20+stride=4'
            >>> TrackingProtocol().at_features(16, dilated="released").shared().name
            'vfs'
        """
        protocol = self.brought_by_features(stride=stride, dilated=dilated)
        if stride != self.stride and "response_size" not in self.changes:
            protocol = protocol.with_changes(response_size=None)
        return protocol
