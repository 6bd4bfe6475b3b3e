"""Lists and metadata of data sets, whose names become parts of paths."""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..videos.files import WRONG_JSON, DataError, errors_at, list_lines, read_text


def plain_name(name: str, listed_in: object) -> str:
    """Check that a name from a data set is a plain file name, which cannot lead out of a folder, and return it.

    Raises:
        DataError: if the name is empty, is `.` or `..`, holds a separator, a control character or a drive, or is
            longer than 200 bytes.
    """
    leads_away = re.search(r"[/\\\x00-\x1f\x7f]|^[A-Za-z]:|^\s*$|^\.\.?$", name)
    # file systems take 255, and endings are added
    if leads_away or len(os.fsencode(name)) > 200:
        shown = ascii(name if len(name) <= 80 else f"{name[:77]}...")
        raise DataError(
            f"{listed_in}: {shown} is not the plain name of a file or folder (no separators, '..', control characters "
            "or absolute paths)"
        )
    return name


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the content of a JSON file; DataError if it is none."""
    with errors_at(f"{path}: is not JSON", RecursionError):
        return json.loads(read_text(path))


def find_list(root: Path, split: str | Path, forms: Iterable[str]) -> Path:
    """Return the list file of a split; the first of the possible paths that exists.

    Args:
        split: a path (a `Path`, or text that ends in .txt), from the root or from the working directory; or a name.
        forms: possible paths of a named list from the root, with `{}` for the name: `ImageSets/{}.txt`.
    """
    if isinstance(split, Path) or split.endswith(".txt"):
        paths = [root / split, Path(split)]
    else:
        paths = [root / form.format(split) for form in forms]
    for path in paths:
        if path.is_file():
            return path
    place = " or ".join(map(str, paths))
    raise DataError(f"{place}: cannot be read (No such file or directory); a list has the name of a sequence per line")


def read_names(path: Path, line_form: str = "(.*)") -> tuple[str, ...]:
    """Return the names of a list file, a name per line, without repeats.

    `line_form` is a regular expression of lines with more than a name, its first group; other lines are names.
    """
    names: list[str] = []
    for _, line in list_lines(path):
        match = re.fullmatch(line_form, line)
        names.append(plain_name(match[1] if match else line, path))
    if not names:
        raise DataError(f"{path}: the list is empty")
    return tuple(dict.fromkeys(names))


def read_meta_videos(path: Path) -> dict[str, Any]:
    """Return the videos of a metadata file, `{"videos": {<video>: {"objects": …}}}`."""
    with errors_at(f"{path}: is not a metadata file", *WRONG_JSON):
        return dict(read_json(path)["videos"])
