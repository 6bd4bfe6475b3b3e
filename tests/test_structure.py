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
