"""The guide to the code names the files and rooms that there are, and each source has its test."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("callbacks", "datamodules", "lightning_modules", "vidcorr")
GUIDE = (ROOT / "docs/code.md").read_text()


def drawn_paths(tree):
    """Paths of a tree in which two blanks more are a level more."""
    paths = set()
    parents = []
    for line in tree.splitlines():
        if line.strip():
            level = (len(line) - len(line.lstrip())) // 2
            parents = [*parents[:level], line.split()[0].rstrip("/")]
            paths.add("/".join(parents))
    return paths


def test_the_guide_to_the_code_draws_the_tree_as_it_is():
    rooms = {path.parent.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")}
    tree = GUIDE.split("```")[1].partition("\n")[2]
    assert drawn_paths(tree) == {*map(str, rooms), "cli.py", "configs", "tests"}


def test_files_that_the_guide_to_the_code_names_exist():
    for line in GUIDE.splitlines():
        folder = ROOT
        for name in re.findall(r"`([\w/]+\.py)`", line):
            file = ROOT / name if "/" in name else folder / name  # a name alone lies beside the file before it
            folder = file.parent
            assert file.is_file(), name


def test_every_source_has_a_test_of_its_name_or_is_named_by_the_test_that_holds_it():
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    named = "".join(ast.get_docstring(ast.parse(path.read_text())) for path in tests)
    missing = []
    for package in PACKAGES:
        for source in (ROOT / package).rglob("*.py"):
            mirrored = ROOT / "tests" / source.relative_to(ROOT).with_name(f"test_{source.name}")
            if source.name != "__init__.py" and not mirrored.exists():
                missing.append(f"{source.parent.name}/{source.name}")
    assert not [name for name in missing if f"`{name}`" not in named]
    assert set(re.findall(r"`(\w+/\w+\.py)`", named)) <= set(missing)
