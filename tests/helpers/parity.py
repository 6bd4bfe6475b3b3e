"""The rows of docs/results/parity.yaml, which docs/parity.md explains, and the tests that they name."""

import ast
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
ROWS: dict[str, list[dict[str, str]]] = yaml.safe_load((ROOT / "docs/results/parity.yaml").read_text("utf-8"))
STATUSES = ("equal", "code", "text", "own", "missing")
"""Explained at the head of the rows' file."""


@cache
def checks_in(file: str) -> dict[str, str]:
    """Return what pytest collects of a file, name → source: its tests, or functions and classes with an example."""
    path = ROOT / file
    if not path.is_file():
        return {}
    tree = ast.parse(path.read_text("utf-8"))
    kinds = ast.FunctionDef | ast.ClassDef
    if path.name.startswith("test_"):
        return {each.name: ast.unparse(each) for each in tree.body if isinstance(each, kinds) and "test_" in each.name}
    documented = [
        each for each in ast.walk(tree) if isinstance(each, kinds) and ">>>" in (ast.get_docstring(each) or "")
    ]
    return {each.name: "" for each in documented}


def missing_tests(names: str) -> list[str]:
    """Return those of the tests `FILE` or `FILE::NAME`, parted by blanks, that pytest does not collect."""
    named = {name: name.partition("::") for name in names.split()}
    return [
        name for name, (file, _, test) in named.items() if not checks_in(file) or (test and test not in checks_in(file))
    ]


def reads_golden(names: str) -> bool:
    """Return whether one of the tests reads numbers of an authors' code, by the fixture `golden`."""
    for name in names.split():
        file, _, test = name.partition("::")
        if any("golden" in source for found, source in checks_in(file).items() if test in ("", found)):
            return True
    return False
