"""The house: rooms import downwards only, and each source file has its tests where a reader looks for them."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.import_structure import structure

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("callbacks", "datamodules", "lightning_modules")
WITHOUT_TESTS = {
    "__init__.py": "exports only",
    "exports.py": "exports only; test_packaging.py imports every name",
}
"""Name of a file → why no test file is named after it."""


@pytest.mark.parametrize("package", PACKAGES)
def test_no_room_imports_in_a_circle(package: str) -> None:
    assert structure(package).circles == []


def test_each_file_has_its_tests_under_the_same_name() -> None:
    files = [file.relative_to(ROOT) for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    wanted = {file: Path("tests", file.parent, f"test_{file.name}") for file in files if file.name not in WITHOUT_TESTS}
    assert len(wanted) > 200
    missing = {str(file): str(test) for file, test in wanted.items() if not (ROOT / test).is_file()}
    assert missing == {}


def test_a_class_name_has_one_meaning() -> None:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    nodes = (node for file in files for node in ast.parse(file.read_text("utf-8")).body)
    names = Counter(node.name for node in nodes if isinstance(node, ast.ClassDef))
    assert len(names) > 200
    assert [name for name, count in names.items() if count > 1] == []
