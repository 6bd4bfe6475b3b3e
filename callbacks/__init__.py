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
    # A module of the package is found by the import system: asking `exports` first would import in a circle.
    if (name.startswith("_") and name != "__all__") or find_spec(f"{__name__}.{name}") is not None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    exports = import_module(".exports", __name__)
    if name not in ("__all__", *exports.__all__):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(exports, name)


def __dir__() -> list[str]:
    return [*globals(), *import_module(".exports", __name__).__all__]
