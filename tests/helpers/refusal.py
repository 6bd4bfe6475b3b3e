"""Refusals, each of one line."""

from collections.abc import Callable
from typing import Any

import pytest


def refused(error: type[Exception], message: str, call: Callable[..., Any], /, *arguments: Any, **options: Any) -> str:
    """Assert that a call raises an error whose one line matches a regular expression, and return the line."""
    with pytest.raises(error, match=message) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)
