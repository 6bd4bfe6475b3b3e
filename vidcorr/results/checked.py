"""Models that check their values, and JSON files read as models."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from ..videos.files import mistakes_of as mistakes_of

Json = dict[str, Any]


def plain(value: object) -> Any:
    """Return a value as JSON gives it back: lists for tuples, None for NaN, text for paths and all else.

    Raises:
        ValueError: for an infinite number, which JSON lacks.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return list(map(plain, value))
    if isinstance(value, float):  # numpy's float64 included
        if math.isinf(value):
            raise ValueError("is infinite: give a finite number, or NaN if it is undefined")
        return None if math.isnan(value) else float(value)
    if value is None or isinstance(value, str | bool | int):
        return value
    return str(value)


def _number(value: object) -> Any:
    """Return a number as JSON gives it back, and `math.nan` itself for None or NaN, so that equal results are equal."""
    if value is None or value != value:
        return math.nan
    return plain(value)


Number = Annotated[float, BeforeValidator(_number)]
"""A score, or NaN if it is undefined; null in JSON."""
Value = Annotated[bool | int | float | str, BeforeValidator(_number)]
"""A cell of a row; NaN for an undefined number."""
Facts = Annotated[Json, BeforeValidator(plain)]
Item = TypeVar("Item")
Items = Annotated[Sequence[Item], AfterValidator(tuple)]
"""A tuple, also of a list, so that equal results are equal."""


def of_other_format(content: str | bytes, wanted: int) -> str:
    """Return the sentence for a JSON file that a version with another format wrote; "" for one that is damaged."""
    try:
        found = json.loads(content).get("format", 0)
    except (ValueError, AttributeError, RecursionError):
        return ""
    if found == wanted:
        return ""
    age = "a newer" if isinstance(found, int) and found > wanted else "an older"
    return f"written by {age} version of vidcorr: its format is {found}, this version reads {wanted}"


class Exact(BaseModel):
    """A model that checks its values and refuses unknown fields."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
