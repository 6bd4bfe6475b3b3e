"""Methods as LightningModules, one a file.

The names are those of `exports.py`, imported when one is asked for (PEP 562): a tool that needs neither torch nor
Lightning imports neither.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .exports import *  # noqa: F403


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec(f"{__name__}.{name}") is not None:  # a room; `exports` would import it in a circle
        return import_module(f".{name}", __name__)
    exports = import_module(".exports", __name__)
    if name not in ("__all__", *exports.__all__):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(exports, name)


def __dir__() -> list[str]:
    return [*globals(), *import_module(".exports", __name__).__all__]
