"""The protocols of matching surfaces: dense matches of two pictures, scored by depth and cameras. Without torch."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from .base import SET_BY_NETWORK, Condition, OnlyIf
from .network_input import NetworkView
from .ranges import NonNegativeFloat, PositiveFloat, PositiveInt

DRAWS_PARTNERS = OnlyIf(lambda p: p.benchmark in (None, "navi"), "the benchmark is navi")


class SurfaceProtocol(NetworkView):
    """Every number and rule that affects a score of matching surfaces, on NAVI and ScanNet-1500.

    Named protocols (`omniprobe`, `probe3d`) are data, in protocols.yaml. A cell of the grid is `grid_step` pixels of
    the network's input wide. Cells with depth of the first picture are matched with cells of the second; a match counts
    by how much nearer, in cosine distance, the nearest cell is than the second nearest: its weight is 1 - d0 / d1.

    Attributes:
        input_size: (height, width) of the network's input, pixels; a square for NAVI.
        feature_stride: pixels of the input per cell of the features; the network sets it.
        grid_step: pixels of the input per cell of the grid.
        sampling: features at the centres of the grid's cells: "bicubic", or "bilinear-zero", with zeros outside.
        matches: matches of the largest weights that are scored; all, if there are fewer.
        distances: thresholds between the two points in space, metres; none: not scored.
        pixels: thresholds between the two points in the second picture, pixels.
        pixel: pixel of these thresholds: of the network's "input", or a cell of the "grid".
        angle_bins: edges of the bins of rotation between the cameras, degrees; a bin includes its lower edge. Their
            recalls are at the second of `distances`, or of `pixels` without distances.
        rotations: angles, degrees; for each, the fraction of pairs with a smaller true rotation is reported. It does
            not depend on the network.
        max_angle: largest rotation to a drawn partner, degrees (NAVI).

    Raises:
        ValueError: for a value out of range.
    """

    input_size: tuple[PositiveInt, PositiveInt]
    feature_stride: Annotated[PositiveInt, SET_BY_NETWORK] = 16
    grid_step: PositiveInt = 4
    sampling: Literal["bicubic", "bilinear-zero"]
    matches: PositiveInt = 1000
    distances: tuple[PositiveFloat, ...] = ()
    pixels: tuple[PositiveFloat, ...]
    pixel: Literal["input", "grid"]
    angle_bins: tuple[NonNegativeFloat, ...]
    rotations: tuple[PositiveFloat, ...] = ()
    max_angle: Annotated[PositiveFloat, DRAWS_PARTNERS] = 120.0

    kind: ClassVar[str] = "surfaces"
    default_benchmark: ClassVar[str] = "navi"

    @property
    def first_pixels(self) -> slice:
        """The pixels along a side at which cells take their depth: the first pixel of each cell, as in both codes."""
        return slice(0, None, self.grid_step)

    def _conditions(self) -> Iterator[Condition]:
        """Yield the rules between fields; `__init__` refuses values that break a rule.

        Example:
            >>> SurfaceProtocol.named("probe3d", changes={"grid_step": 5})
            Traceback (most recent call last):
            ...
            ValueError: protocol 'probe3d+grid_step=5': grid_step must be a divisor of the sides of the input, got 5
        """
        height, width = self.input_size
        divides_sides = height % self.grid_step == width % self.grid_step == 0
        yield Condition("grid_step", divides_sides, "a divisor of the sides of the input")
        # the recalls by angle are at the second threshold
        yield Condition("pixels", len(self.pixels) > 1, "two thresholds or more")
        yield Condition("distances", len(self.distances) != 1, "none, or two thresholds or more")
        is_ascending = list(self.angle_bins) == sorted(set(self.angle_bins))
        yield Condition("angle_bins", is_ascending, "ascending")
