"""The protocol of box tracking, VFS's SiamFC: its numbers, and what the network's features decide.

Without torch, so that protocols are listed at once. Source: xvjiarui/VFS @ 8e055cc, `projects/siamfc-pytorch`; SiamFC
(Bertinetto et al., ECCV workshops 2016), sections 3.2 and 4.1; VFS, section 4.2.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from .base import SET_BY_NETWORK, EvaluationProtocol
from .ranges import PositiveInt

EXEMPLAR_SIZE = 120
"""Side of the exemplar crop, pixels; 127 in the papers."""
INSTANCE_SIZE = 255
"""Side of the search crop, pixels."""
CONTEXT = 0.5
"""Margin around the target, as a fraction of height + width."""
SCALES = (1.0375**-1, 1.0, 1.0375)
"""Factors of the target's size that are searched; the middle one keeps it."""
SCALE_RATE = 0.59
"""Weight of the found scale in the target's new size."""
SCALE_PENALTY = 0.9745
"""Factor on the responses of the changed scales, whatever their sign, as in the code: below 0 a change pays."""
WINDOW_INFLUENCE = 0.176
"""Weight of the cosine window in the response."""
UPSAMPLING = 16
"""Factor by which the response is up-sampled."""
RESPONSE_SIZE = 17
"""Side in cells that the up-sampled response stands for at stride 8. The response has 18 cells there, so displacements
are 17/18 of the true ones, as in the code."""


class TrackingProtocol(EvaluationProtocol):
    """VFS's tracking; its other numbers are this file's constants.

    Attributes:
        stride: pixels of the search crop per cell of the response.
        dilated: the network's res4 and res5 have dilations in place of their strides: as in VFS's code, or "text": as
            its section 4.2 reads. A tracker takes `stride` and `dilated` from its extractor.
    """

    source: str = Field(default="vfs", alias="name")
    stride: Annotated[PositiveInt, SET_BY_NETWORK] = 8
    dilated: Annotated[bool | Literal["text"], SET_BY_NETWORK] = True

    kind: ClassVar[str] = "boxes"
    default_benchmark: ClassVar[str] = "otb"

    @property
    def response_size(self) -> int | None:
        """`RESPONSE_SIZE` at stride 8; at another stride None, the true number of cells."""
        return RESPONSE_SIZE if self.stride == 8 else None

    def shared(self) -> Self:
        shared = super().shared()
        return shared.with_changes(dilated="text") if self.dilated == "text" else shared
