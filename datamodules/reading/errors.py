"""Errors of a user's data and arguments, reported in one line."""

from collections.abc import Collection
from typing import Any


class DataError(ValueError):
    """Error for invalid user data; its message is one line: path, what is wrong, what to do."""


class DecodingError(DataError):
    """Error for a video or image that cannot be decoded.

    Args:
        path: the file.
        reason: what the decoder found, without the path. Empty where `path` is the whole message: a DataLoader raises
            an error of its worker again with a single text.
    """

    def __init__(self, path: object, reason: str = "") -> None:
        super().__init__(str(path), reason)
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.reason else self.path


def require_one_of(choices: Collection[Any], **arguments: Any) -> None:
    """Check arguments against the values that they may have.

    Raises:
        ValueError: naming the first that has another.
    """
    for name, value in arguments.items():
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def require_at_least(least: int, **numbers: int) -> None:
    """Check integer arguments against their smallest value.

    Raises:
        ValueError: naming the first that is less.
    """
    for name, number in numbers.items():
        if number < least:
            raise ValueError(f"{name} must be at least {least}, got {number}")
