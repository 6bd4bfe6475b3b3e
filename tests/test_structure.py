"""The house: packages import downwards only, and the guide to the code names them."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("callbacks", "datamodules", "lightning_modules", "vidcorr")
LAZY = ("vidcorr.backbones.encoder", "vidcorr.backbones.names")
"""A module that imports another within a function, which may close a circle."""


@pytest.mark.parametrize("package", PACKAGES)
def test_neither_modules_nor_rooms_import_in_a_circle(package):
    graph = grimp.build_graph(package, cache_dir=None, exclude_type_checking_imports=True)
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
    text = (ROOT / "docs/code.md").read_text()
    rooms = {path.parent.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")}
    tree = text.split("```")[1].partition("\n")[2]
    assert drawn_paths(tree) == {*map(str, rooms), "cli.py", "configs", "tests"}


def test_files_that_the_guide_to_the_code_names_exist():
    for line in (ROOT / "docs/code.md").read_text().splitlines():
        folder = ROOT
        for name in re.findall(r"`([\w/]+\.py)`", line):
            file = ROOT / name if "/" in name else folder / name  # a name alone lies beside the file before it
            folder = file.parent
            assert file.is_file(), name
