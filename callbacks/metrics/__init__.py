"""Metrics of the benchmarks: torchmetrics classes over pure functions.

The names are those of `exports.py`, imported when one is asked for (PEP 562): a tool that needs no torch imports none.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .exports import *  # noqa: F403


def __getattr__(name: str) -> Any:
    if find_spec(f"{__name__}.{name}"):
        return import_module(f"{__name__}.{name}")  # a module of the package, which `exports` may be importing
    return getattr(import_module(f"{__name__}.exports"), name)


def __dir__() -> list[str]:
    return [*globals(), *__getattr__("__all__")]
