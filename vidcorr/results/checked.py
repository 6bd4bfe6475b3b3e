"""Models that check their values, and JSON files read as models."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from ..videos.files import mistakes_of

Json = dict[str, Any]


def plain(value: object) -> Any:
    """Convert a value to what JSON would give back: lists for tuples, None for NaN, text for paths and other objects.

    Of numpy's numbers only float64 stays a number; an int64 or a float32 is another object, and becomes text.

    Raises:
        ValueError: for an infinite number, which JSON lacks.

    Example:
        >>> plain({"size": (480, math.nan), "file": Path("a.png")})
        {'size': [480, None], 'file': 'a.png'}
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
    """Return a plain number; None and any NaN become the object `math.nan`: results with it are equal by identity."""
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


class Exact(BaseModel):
    """A model that checks its values and refuses unknown fields."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


Model = TypeVar("Model", bound=Exact)


def read_model(kind: type[Model], file: Path, format: int, fault: str) -> Model:
    """Read a model from a JSON file in UTF-8, with or without a byte order mark, whose entry `format` is `format`.

    `fault` begins the message for a damaged file, such as "is not a results.json of a benchmark, or damaged".

    Raises:
        OSError: if the file cannot be read.
        ValueError: if the file is damaged, or of another version; the message names file and field.
    """
    text = file.read_bytes()
    try:
        content = json.loads(text.decode("utf-8-sig"))
        # a file without `format` is of an older version; content that is no JSON object counts as of this format, so
        # that `model_validate` refuses it with a message
        format_of_file = content.get("format", 0) if isinstance(content, dict) else format
        if format_of_file == format:
            return kind.model_validate(content)
    except (ValueError, RecursionError) as error:
        mistake = mistakes_of(error) if isinstance(error, ValidationError) else error
        raise ValueError(f"{file}: {fault} ({mistake})") from error
    age = "a newer" if isinstance(format_of_file, int) and format_of_file > format else "an older"
    about = f"its format is {format_of_file}, this version reads {format}"
    raise ValueError(f"{file}: written by {age} version of vidcorr: {about}")
