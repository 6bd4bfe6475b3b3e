"""Every number that moves a box-tracking score, as one frozen record."""

import dataclasses
import hashlib
import json
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class TrackingProtocol:
    """Every number that moves a tracking score; the defaults are those of VFS.

    Paper: SiamFC, section 3.2 and 4.1; VFS, section 4.2, and its code, from which exemplars of 120 px come.

    Attributes:
        exemplar_size: side of the exemplar crop, pixels.
        instance_size: side of the search crop, pixels.
        context: margin around the target, in shares of height + width.
        scales: number of search scales, odd.
        scale_step: factor from one scale to the next.
        scale_rate: share of the found scale that the target's size takes over in a frame.
        scale_penalty: factor on the responses of all scales but the middle one.
        penalty_lowers: a response below 0 is multiplied by 2 - scale_penalty instead, so that a change of scale always
            costs. VFS's code multiplies by scale_penalty there too: a change then pays, and boxes shrink frame by frame
            until they vanish, which a fine-tune of few steps may come to.
        window_influence: share of the cosine window in the response.
        stride: pixels of the search crop from one place of the response to the next.
        upsampling: places of the up-sampled response for one place of the response.
        response_size: places along a side that are up-sampled to response_size · upsampling. VFS's 17 is SiamFC's; its
            response has 18 in fact, so that its displacements are 17/18 of what they should be. None: the true number.
        precision: data type of the backbone's arithmetic.

    Raises:
        ValueError: for a value out of range.
    """

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
    upsampling: int = 16
    response_size: int | None = 17
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        holds = {
            "exemplar_size": 1 <= self.exemplar_size <= self.instance_size,
            "context": self.context >= 0,
            "scales": self.scales >= 1 and self.scales % 2 == 1,
            "scale_step": self.scale_step >= 1,
            "scale_rate": 0 <= self.scale_rate <= 1,
            "scale_penalty": 0 < self.scale_penalty <= 1,
            "window_influence": 0 <= self.window_influence <= 1,
            "stride": self.stride >= 1,
            "upsampling": self.upsampling >= 1,
            "response_size": self.response_size is None or self.response_size >= 1,
            "precision": self.precision in ("float32", "bfloat16"),
        }
        for field, is_so in holds.items():
            if not is_so:
                raise ValueError(f"tracking protocol: {field} is {getattr(self, field)!r}, out of its range")

    @property
    def name(self) -> str:
        """`vfs`, and what differs from it: `vfs+stride=4`."""
        changed = (f for f in dataclasses.fields(self) if getattr(self, f.name) != f.default)
        return "+".join(["vfs", *(f"{f.name}={getattr(self, f.name)}" for f in changed)])

    @property
    def factors(self) -> NDArray[np.float64]:
        """Scales that are searched, small to large."""
        return self.scale_step ** np.arange(-(self.scales // 2), self.scales // 2 + 1, dtype=np.float64)

    def at_stride(self, stride: int) -> "TrackingProtocol":
        """This protocol for features of another stride, where it says so in its name."""
        return self if stride == self.stride else dataclasses.replace(self, stride=stride, response_size=None)

    def fields(self) -> dict[str, Any]:
        """Name and all fields, for results.json."""
        return {"name": self.name, **dataclasses.asdict(self)}

    def digest(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of all fields: equal if and only if every field is."""
        canonical = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]
