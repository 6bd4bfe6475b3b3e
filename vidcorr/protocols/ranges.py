"""Types of the numbers in protocols, with their ranges."""

from typing import Annotated

from annotated_types import Interval


class Range(Interval):
    """Range of a number. A subclass, because the command line's parser would check a plain `Interval` too.

    Example:
        >>> from contextlib import suppress
        >>> from pydantic import TypeAdapter, ValidationError
        >>> def accepted(kind, *numbers):
        ...     found = []
        ...     for number in numbers:
        ...         with suppress(ValidationError):
        ...             found.append(TypeAdapter(kind).validate_python(number))
        ...     return found
        >>> accepted(PositiveInt, 0, 1), accepted(NonNegativeInt, -1, 0)
        ([1], [0])
        >>> accepted(PositiveFloat, 0.0, 1e-9), accepted(NonNegativeFloat, -1e-9, 0.0)
        ([1e-09], [0.0])
        >>> accepted(UnitInterval, -0.1, 0.0, 1.0, 1.1), accepted(Cosine, -1.1, -1.0, 1.0, 1.1)
        ([0.0, 1.0], [-1.0, 1.0])
    """


PositiveInt = Annotated[int, Range(ge=1)]
NonNegativeInt = Annotated[int, Range(ge=0)]
PositiveFloat = Annotated[float, Range(gt=0)]
NonNegativeFloat = Annotated[float, Range(ge=0)]
UnitInterval = Annotated[float, Range(ge=0, le=1)]
Cosine = Annotated[float, Range(ge=-1, le=1)]
