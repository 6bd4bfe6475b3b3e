"""Who the objects of a prediction are: one table, id → name and colour, that a folder keeps for ever."""

from collections.abc import Iterable, Mapping
from typing import Any

from .files import DataError
from .masks import VOID, free_number, ids_in_davis
from .prompts import MaskPrompt


class Objects:
    """The objects of a video. Ids, names and colours are never given anew; each of a file is looked up here first.

    Claims of new ones: ids of PNGs are their own; a name that is a number gets it unless another name has it; other
    names and colours get the smallest free numbers.

    Args:
        rows: rows of `prediction.json`: id, name and colour (`#rrggbb`) or None.

    Attributes:
        names: id → name; empty of an object without one.
        colours: colour, 0xRRGGBB → id.
        notes: sentences that the user should read.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self.names: dict[int, str] = {}
        self.colours: dict[int, int] = {}
        self.notes: list[str] = []
        for row in rows:
            self.names[row["id"]] = row["name"] or ""
            if row["colour"]:
                self.colours[int(row["colour"][1:], 16)] = row["id"]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The table for the record."""
        colours = {number: f"#{colour:06x}" for colour, number in self.colours.items()}
        return [{"id": i, "name": self.names[i] or None, "colour": colours.get(i)} for i in sorted(self.names)]

    def __str__(self) -> str:
        davis = ids_in_davis()
        shown = {number: f"#{colour:06x}" for colour, number in self.colours.items() if davis.get(colour) != number}
        told = {number: self.names[number] or shown.get(number) for number in sorted(self.names)}
        return ", ".join(f"{number} = {name}" if name else str(number) for number, name in told.items())

    def add(self, prompt: MaskPrompt) -> None:
        """Add the ids of a mask with its names and colours, as they are.

        Raises:
            DataError: if an id has another name, or a name another id.
        """
        known = {name: number for number, name in self.names.items()}
        for name, number in prompt.names.items():
            if (self.names.get(number) or name) != name or known.get(name, number) != number:
                raise DataError(f"{prompt.source}: {name} is {number} there, the objects here are {self}")
        names = {number: name for name, number in prompt.names.items()}
        for number in map(int, prompt.objects):
            self.names[number] = names.get(number) or self.names.get(number, "")
        self.colours = {**prompt.colours, **self.colours}

    def ids_of_names(self, names: Iterable[str], source: str) -> dict[str, int]:
        """Return name → id, of known and new names, without adding them; numbers claim theirs first.

        Raises:
            DataError: for a number that is the id of a word, or more than 254 objects.
        """
        owner = dict(self.names)
        found = {name: number for number, name in owner.items() if name}
        numbers = {str(number): number for number in range(1, VOID)}
        for name in sorted(set(names) - set(found), key=[*numbers, *names].index):
            number = numbers.get(name, 0)
            if owner.get(number, "").strip("0123456789"):
                raise DataError(f"{source}: {name} is the number of {owner[number]}: draw it under its name or another")
            if not number or owner.get(number):
                number = free_number(owner, source)
            found[name], owner[number] = number, name
        return found
