"""Who made a folder: a marker file in it holds the parameters of the tool that fills the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from .files import DataError, write_atomically
from .folders import list_data

Maker = Literal["nobody", "this", "other", "stranger"]
"""Maker of a folder: nobody (it is missing or empty), this call's tool and parameters, the tool with other parameters,
or a stranger."""


class Marker(NamedTuple):
    """The file that marks a folder as made by a tool.

    Attributes:
        made: how the folder is made, for messages: "made by transcode".
        name: name of the file.
        text: parameters of the tool; equal texts make equal folders.
    """

    made: str
    name: str
    text: str

    def maker(self, folder: Path) -> Maker:
        """Return who made a folder.

        Raises:
            DataError: if the folder is a file.
        """
        if folder.is_file():
            raise DataError(f"{folder}: is a file; the output must be a folder")
        file = folder / self.name
        if file.is_file():
            is_same = file.read_text(encoding="utf-8", errors="replace") == self.text
            return "this" if is_same else "other"
        return "stranger" if folder.is_dir() and list_data(folder) else "nobody"

    def stranger(self, folder: Path) -> DataError:
        """Return the error for a folder that a stranger made."""
        return DataError(f"{folder}: holds files that were not {self.made}; give another folder or empty it")

    def write(self, folder: Path) -> None:
        """Mark a folder; it exists."""
        write_atomically(folder / self.name, self.text)
