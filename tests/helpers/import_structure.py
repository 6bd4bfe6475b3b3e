"""Print the import structure of a package: its rooms (files and folders), the arrows between them, floors and circles.

python tests/helpers/import_structure.py callbacks datamodules lightning_modules
"""

import ast
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Structure(NamedTuple):
    """Rooms of a package and the imports between them."""

    rooms: set[str]
    arrows: set[tuple[str, str]]

    @property
    def circles(self) -> list[tuple[str, ...]]:
        """Return the groups of rooms that import each other, directly or through others."""
        reached = {room: self._reached(room) for room in self.rooms}
        groups = {tuple(sorted(other for other in reached[room] if room in reached[other])) for room in self.rooms}
        return sorted(group for group in groups if group)

    @property
    def floors(self) -> int:
        """Return the number of rooms on the longest chain of imports; rooms of a circle count once."""
        below = {room: {b for a, b in self.arrows if a == room and room not in self._reached(b)} for room in self.rooms}

        def height(room: str) -> int:
            return 1 + max(map(height, below[room]), default=0)

        return max(map(height, self.rooms), default=0)

    def _reached(self, room: str) -> set[str]:
        found, waiting = set(), [room]
        while waiting:
            one = waiting.pop()
            new = {b for a, b in self.arrows if a == one} - found
            found |= new
            waiting += new
        return found


def structure(package: str, root: Path = ROOT) -> Structure:
    """Read the rooms of a package, the files and folders right below it, from its import statements.

    Args:
        package: name of a folder below `root`; imports under `if TYPE_CHECKING` and inside functions count too.
        root: folder of the checkout.
    """
    folder = root / package
    rooms = {path.name for path in folder.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    rooms |= {path.stem for path in folder.glob("*.py") if path.stem != "__init__"}
    arrows = set()
    for file in folder.rglob("*.py"):
        place = file.relative_to(root).with_suffix("").parts
        room = place[1]
        if room == "__init__":
            continue
        for target in _imported(ast.parse(file.read_text(encoding="utf-8")), place):
            if target[0] == package and len(target) > 1 and target[1] in rooms - {room}:
                arrows.add((room, target[1]))
    return Structure(rooms, arrows)


def _imported(tree: ast.Module, place: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return what a module imports, as parts of absolute names."""
    found: list[tuple[str, ...]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = place[: -node.level] if node.level else ()
            base += tuple((node.module or "").split(".")) if node.module else ()
            found += [(*base, alias.name) for alias in node.names]
    return found


if __name__ == "__main__":
    for name in sys.argv[1:] or ["callbacks", "datamodules", "lightning_modules"]:
        read = structure(name)
        counts = f"{len(read.rooms)} rooms, {read.floors} floors, {len(read.arrows)} arrows"
        print(f"{name}: {counts}, circles: {read.circles or 'none'}")
