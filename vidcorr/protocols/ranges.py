"""Types of the numbers in protocols, with their ranges."""

from typing import Annotated

from annotated_types import Interval


class Range(Interval):
    """Range of a number. A subclass, because the command line's parser would check a plain `Interval` too."""


PositiveInt = Annotated[int, Range(ge=1)]
NonNegativeInt = Annotated[int, Range(ge=0)]
PositiveFloat = Annotated[float, Range(gt=0)]
NonNegativeFloat = Annotated[float, Range(ge=0)]
UnitInterval = Annotated[float, Range(ge=0, le=1)]
Cosine = Annotated[float, Range(ge=-1, le=1)]
