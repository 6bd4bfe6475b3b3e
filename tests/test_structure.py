"""The house: rooms import downwards only, and each source file has its tests where a reader looks for them."""

import ast
from collections import Counter, defaultdict
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
IN_SEVERAL_FILES = {
    "command": "the entry point of each tool",
    "log": "the logger of a module",
    "Batch": "a collated batch, in two packages that must not import each other",
    "VOID": "the same value, in two packages that must not import each other",
    **dict.fromkeys(("VFS", "CRW", "LIIR", "DINO"), "the checkpoints and the protocol of one publication"),
    **dict.fromkeys(("LEFT", "MEASURED_BY", "SIZES", "TAKEN"), "the same table of each checkpoint family"),
}
"""Name → why several files may define it."""
DATA_SETS = [f"{name}.py" for name in ("badja", "davis", "jhmdb", "otb", "tap_vid", "vip", "vos", "youtube_vos")]
FILES_OF_ONE_NAME = {
    "__init__.py": "packages",
    "exports.py": "the public names of each package",
    "base.py": "the base class of the methods, and of the benchmarks",
    **dict.fromkeys(DATA_SETS, "a reader and its benchmark"),
    **dict.fromkeys(("crw.py", "liir.py"), "a network or method, and the checkpoints of its publication"),
    **dict.fromkeys(("protocol.py", "sources.py"), "the protocols of label propagation, and of point tracking"),
}
"""Name of a file → what the files of this name have in common."""


@pytest.mark.parametrize("package", PACKAGES)
def test_no_room_imports_in_a_circle(package: str) -> None:
    assert structure(package).circles == []


def test_each_file_has_its_tests_under_the_same_name() -> None:
    files = [file.relative_to(ROOT) for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    wanted = {file: Path("tests", file.parent, f"test_{file.name}") for file in files if file.name not in WITHOUT_TESTS}
    assert len(wanted) > 200
    missing = {str(file): str(test) for file, test in wanted.items() if not (ROOT / test).is_file()}
    assert missing == {}


def test_a_name_has_one_meaning() -> None:
    files = [*(file for package in PACKAGES for file in (ROOT / package).rglob("*.py")), ROOT / "cli.py"]
    homes = defaultdict(list)
    for file in files:
        for name in top_level_names(ast.parse(file.read_text("utf-8"))):
            homes[name].append(str(file.relative_to(ROOT)))
    assert len(homes) > 1000
    assert {name: found for name, found in homes.items() if len(found) > 1 and name not in IN_SEVERAL_FILES} == {}
    assert [name for name in IN_SEVERAL_FILES if len(homes[name]) < 2] == []


def test_a_file_has_a_name_of_its_own() -> None:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    homes = Counter(file.name for file in files)
    assert {name for name, count in homes.items() if count > 1} == FILES_OF_ONE_NAME.keys()


def top_level_names(module: ast.Module) -> set[str]:
    """Return the public names that a module defines, without those of one letter (type variables)."""
    names = set()
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in names if len(name) > 1 and not name.startswith("_")}
