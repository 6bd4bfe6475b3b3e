"""Benchmarks, checkpoints and predictions as Lightning callbacks.

The names are those of `exports.py`, imported when one is asked for (PEP 562): a tool that needs neither torch nor
Lightning imports neither.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .exports import *  # noqa: F403


def __getattr__(name: str) -> Any:
    # the package's own modules first: `exports` imports from them
    if not name.startswith("_") and find_spec(f"{__name__}.{name}"):
        return import_module(f"{__name__}.{name}")
    if name == "__all__" or not name.startswith("_"):
        exports = import_module(f"{__name__}.exports")
        if hasattr(exports, name):
            return getattr(exports, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__getattr__("__all__")]
