"""Figures of matplotlib as files."""

from pathlib import Path
from typing import Any

from datamodules.writing.files import unfinished


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure atomically, in the format of its suffix (png by default).

    Raises:
        OSError: if the file cannot be written; the error names it.
        ValueError: for an unknown format.
    """
    with unfinished(path) as temporary:
        figure.savefig(temporary, dpi=150, format=path.suffix.removeprefix(".") or "png")
