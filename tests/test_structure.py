"""The house: rooms import downwards only, and a public name has one meaning."""

import ast
import re
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("callbacks", "datamodules", "lightning_modules", "vidcorr")
IN_SEVERAL_FILES = {
    "command": "the entry point of each tool",
    "log": "the logger of a module",
    "Batch": "a collated batch, in two packages that must not import each other",
}
"""Name → why several files may define it."""


LAZY = ("vidcorr.backbones.networks", "vidcorr.backbones.transformers_models")
"""A module that imports another within a function, which may close a circle."""


@pytest.mark.parametrize("package", PACKAGES)
def test_neither_modules_nor_rooms_import_in_a_circle(package):
    graph = grimp.build_graph(package, cache_dir=None)
    if LAZY[0] in graph.modules:
        graph.remove_import(importer=LAZY[0], imported=LAZY[1])
    assert in_order(graph, graph.modules) == graph.modules
    rooms = graph.find_children(package)
    for room in rooms:
        if graph.find_descendants(room):
            graph.squash_module(room)
    assert in_order(graph, rooms) == rooms


def in_order(graph, modules):
    """Sort modules by their imports; a CycleError names a circle."""
    arrows = {module: graph.find_modules_directly_imported_by(module) & modules - {module} for module in modules}
    return set(TopologicalSorter(arrows).static_order())


def test_a_name_has_one_meaning():
    files = [*(file for package in PACKAGES for file in (ROOT / package).rglob("*.py")), ROOT / "cli.py"]
    homes = defaultdict(list)
    for file in files:
        for name in top_level_names(ast.parse(file.read_text("utf-8"))):
            homes[name].append(str(file.relative_to(ROOT)))
    assert len(homes) > 500
    assert {name: found for name, found in homes.items() if len(found) > 1 and name not in IN_SEVERAL_FILES} == {}
    assert [name for name in IN_SEVERAL_FILES if len(homes[name]) < 2] == []


def test_the_guide_to_the_code_names_every_room_and_files_that_exist():
    text = (ROOT / "docs/code.md").read_text()
    rooms = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")}
    tree = {line.split()[0].rstrip("/") for line in text.split("```")[1].splitlines()[1:] if line}
    assert {room.name for room in rooms} == tree - {"cli.py", "configs", "tests"}
    for line in text.splitlines():
        folder = ROOT
        for name in re.findall(r"`([\w/]+\.py)`", line):
            file = ROOT / name if "/" in name else folder / name  # a name alone lies beside the file before it
            folder = file.parent
            assert file.is_file() or list(ROOT.glob(f"*/{name}")), name


def top_level_names(module):
    """Return the public names that a module defines, without those of one letter (type variables)."""
    names = set()
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in names if len(name) > 1 and not name.startswith("_")}
