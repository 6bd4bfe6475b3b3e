"""The guide to the code names the files and rooms that there are; `make lint` checks who imports whom."""

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
