"""Who the objects of a prediction are: one table, id → name and colour, that a folder keeps for ever."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .files import DataError
from .masks import VOID, claim_indices, davis_palette, free_number, ids_in_davis, number_colours, object_ids
from .prompts import MaskPrompt


class Objects:
    """The objects of a video: their ids, names and colours. A known name or colour keeps its id for ever.

    New objects get their ids in this order. Ids of a mask stay as they are. Colours of a mask in RGB get their index in
    DAVIS's palette, else the smallest free id. A name that is a number gets this id, other names get the smallest free
    ids. An object without a colour gets the colour of its id in DAVIS's palette, or the first free colour there.

    Args:
        rows: rows of `prediction.json`: id, name or None, and colour as `#rrggbb`.

    Attributes:
        names: id → name; "" for an object without a name.
        colours: colour, 0xRRGGBB → id; of several colours of an object the first is the colour of its row.
        notes: sentences that the user should read.

    Example:
        >>> rows = [{"id": 2, "name": "cat", "colour": "#008000"}, {"id": 3, "name": None, "colour": "#ff0000"}]
        >>> print(Objects(rows))
        2 = cat, 3 = #ff0000
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self.names: dict[int, str] = {}  # id → name, "" without one
        self.colours: dict[int, int] = {}  # 0xRRGGBB → id
        self.notes: list[str] = []  # sentences for the user
        for row in rows:
            self.names[row["id"]] = row["name"] or ""
            self.colours[int(row["colour"][1:], 16)] = row["id"]  # the row has the colour as #rrggbb

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Rows for `prediction.json`, in the order of the ids: id, name or None, and colour as `#rrggbb`."""
        colours = self._colour_of_id()
        return [{"id": i, "name": self.names[i] or None, "colour": f"#{colours[i]:06x}"} for i in sorted(self.names)]

    @property
    def palette(self) -> NDArray[np.uint8]:
        """The palette of masks, (256, 3) uint8 RGB: objects have their own colours, other ids the colours of DAVIS."""
        palette = davis_palette()
        for number, colour in self._colour_of_id().items():
            palette[number] = list(colour.to_bytes(3, "big"))
        return palette

    def __str__(self) -> str:
        """Return all objects as text, such as `1 = cat, 2 = dog`."""
        return self._text(self.names)

    def _text(self, numbers: Iterable[int]) -> str:
        """Return objects as text: each id with its name, such as `2 = dog`.

        An id without a name has its colour, unless this is the colour of the id in DAVIS's palette: then the id stands
        alone.

        Args:
            numbers: ids of the objects.
        """
        davis = ids_in_davis()
        words = []
        for number in sorted(numbers):
            colour = self._colour_of_id().get(number)
            shown = None if colour is None or davis.get(colour) == number else f"#{colour:06x}"
            name = self.names[number] or shown
            words.append(f"{number} = {name}" if name else str(number))
        return ", ".join(words)

    def _colour_of_id(self) -> dict[int, int]:
        """Return id → colour of the object's row: of several colours the first."""
        # reversed: the first colour is written last, and stays
        return {number: colour for colour, number in reversed(self.colours.items())}

    def numbered(self, prompts: Sequence[MaskPrompt]) -> list[MaskPrompt]:
        """Add the objects of masks to the table, and return the masks with the table's ids.

        First the ids of masks are added, which stay as they are; then colours in RGB; then names.
        `notes` gains sentences on new objects beside known ones, and on masks that hold object 1 alone.

        Args:
            prompts: all masks that are given together, in any order.

        Raises:
            DataError: for a colour with two indices, masks in colours without a background, a name that is the id of
                another name, more than 254 objects, or an object that cannot have left.

        Example:
            >>> objects = Objects([{"id": 1, "name": "cat", "colour": "#800000"}])
            >>> labels, names = np.array([[0, 1, 2]], np.uint8), {"dog": 1, "cat": 2}
            >>> drawn = MaskPrompt(source="3.json", objects=(1, 2), labels=labels, names=names, has_ids=False)
            >>> objects.numbered([drawn])[0].labels.tolist(), str(objects)
            ([[0, 2, 1]], '1 = cat, 2 = dog')
        """
        before = dict(self.names)  # the known objects
        # first ids, with the colours of their palettes: they stay as they are
        with_ids = [prompt for prompt in prompts if prompt.has_ids]
        without_ids = [prompt for prompt in prompts if not prompt.has_ids]
        for prompt in with_ids:
            for number in prompt.shown:
                self.names.setdefault(int(number), "")
            claim_indices(self.colours, prompt)
        in_colours = [prompt for prompt in without_ids if prompt.colours]
        # then colours: all that DAVIS has get their index there first, so that the order of the files does not matter
        for colour, index in ids_in_davis().items():
            if any(colour in prompt.colours for prompt in in_colours) and index not in self.colours.values():
                self.colours.setdefault(colour, index)
        number_colours(self.colours, in_colours, self.names)
        for number in self.colours.values():
            self.names.setdefault(number, "")
        # the first masks: their ids and colours are not "new beside" anything, but names that follow below are
        before = before or dict(self.names)
        self._claim_names(without_ids)
        self._colour_all()
        for prompt in prompts:
            unknown = sorted(set(prompt.left) - self.names.keys())  # `left`: ids of objects that have left the frame
            if unknown:
                raise DataError(f"{prompt.source}: object {unknown[0]} cannot have left: the objects are {self}")
        for prompt in with_ids:
            if prompt.objects == (1,) and len(self.names) > 1:  # tools write 1 for an object alone, whoever it is
                self.notes.append(f"{prompt.source}: is taken for object 1 alone, of {self}")
        new = self.names.keys() - before.keys()
        if before and new:
            told = f"new beside {self._text(before)}: {self._text(new)}"
            self.notes.append(f"{told}; to correct an object, draw it under its name")
        return list(map(self._renumbered, prompts))

    def _claim_names(self, prompts: Sequence[MaskPrompt]) -> None:
        """Give each new name an id: first to names that are numbers, then to words, as they appear.

        A number from 1 to 254 is its own id, unless an object whose name is another number has this id.

        Raises:
            DataError: for a number that is the id of a word, or more than 254 objects.
        """
        source_of = {name: prompt.source for prompt in prompts for name in prompt.names}
        numbers = list(map(str, range(1, VOID)))
        new = [name for name in source_of if name not in self.names.values()]
        for name in sorted(new, key=lambda name: name not in numbers):
            number = int(name) if name in numbers else 0  # 0: a word
            owner = self.names.get(number, "")  # name of the object with this id; "" if it has none, or there is none
            if owner and not owner.isdecimal():
                raise DataError(f"{source_of[name]}: {name} is the id of {owner}: draw it under its name or another")
            if not number or owner:  # a word, or a number whose id an object has that is named by another number
                number = free_number(self.names, source_of[name])
            self.names[number] = name

    def _colour_all(self) -> None:
        """Give each object without a colour the colour of its id in DAVIS's palette, else the first free one there."""
        davis = ids_in_davis()
        colour_of = {number: colour for colour, number in davis.items()}
        for number in sorted(self.names.keys() - set(self.colours.values())):
            free = [colour for colour in (colour_of[number], *davis) if colour not in self.colours]
            self.colours[free[0]] = number

    def _renumbered(self, prompt: MaskPrompt) -> MaskPrompt:
        """Return a mask with the ids of the table, which already has all names and colours of the mask.

        Raises:
            DataError: if an object has left and has pixels too.
        """
        lookup = np.arange(256, dtype=np.uint8)  # label of the mask → id of the table
        if not prompt.has_ids:
            ids = {name: number for number, name in self.names.items()}
            for name, label in prompt.names.items():
                lookup[label] = ids[name]
            for colour, label in prompt.colours.items():
                lookup[label] = self.colours[colour]
        labels = lookup[prompt.labels]
        drawn = sorted({*object_ids(labels)}.intersection(prompt.left))
        if drawn:
            raise DataError(f"{prompt.source}: object {drawn[0]} cannot have left: this mask has pixels of it")
        objects = tuple(sorted({*object_ids(labels), *prompt.left}))
        return replace(prompt, labels=labels, objects=objects, names={}, colours={}, has_ids=True)
