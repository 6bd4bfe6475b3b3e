"""Lazy public names: modules of the package first, names of its exports.py, and no others."""

import importlib
import sys
from pathlib import Path

import pytest

EXPORTS = "from .heavy import Tool\n__all__ = ['Tool']\n"
LAZY = "from datamodules.lazy_exports import lazy_exports\n__getattr__, __dir__ = lazy_exports(__name__)\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files = {"__init__": LAZY, "exports": EXPORTS, "heavy": "class Tool: ...\n", "light": "NUMBER = 1\n"}
    (tmp_path / "lazy_package").mkdir()
    for name, text in files.items():
        (tmp_path / "lazy_package" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("lazy_package")
    for name in [name for name in sys.modules if name.partition(".")[0] == "lazy_package"]:
        del sys.modules[name]


def test_a_module_of_the_package_imports_nothing_else(package):
    assert package.light.NUMBER == 1
    assert "lazy_package.heavy" not in sys.modules


def test_names_come_from_exports(package):
    assert package.Tool is importlib.import_module("lazy_package.heavy").Tool
    assert "Tool" in dir(package)
    assert package.__all__ == ["Tool"]


def test_other_names_are_refused(package):
    with pytest.raises(AttributeError, match=r"'lazy_package\.exports' has no attribute 'Nothing'"):
        _ = package.Nothing
