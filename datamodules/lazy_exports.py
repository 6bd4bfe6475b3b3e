"""Public names of a package that are imported when one of them is asked for."""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def lazy_exports(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package whose names are those of its `exports.py` (PEP 562).

    Args:
        package: its full name, `__name__` in its `__init__.py`.
    """

    def get(name: str) -> Any:
        if find_spec(f"{package}.{name}"):
            return import_module(f"{package}.{name}")  # a module of the package, which `exports` may be importing
        return getattr(import_module(f"{package}.exports"), name)

    def names() -> list[str]:
        return [*vars(sys.modules[package]), *get("__all__")]

    return get, names
