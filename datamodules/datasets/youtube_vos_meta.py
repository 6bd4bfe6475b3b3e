"""The meta.json of a YouTube-VOS split: its videos, their objects and categories."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..reading.errors import DataError
from ..reading.guards import plain_name, read_json

Objects = Mapping[int, tuple[str, int]]
"""Object id → its category ("" where the split hides it) and the number of its first frame."""


def read_meta(path: Path) -> dict[str, Objects]:
    """Read the videos of a meta.json; objects without frames are left out.

    Returns:
        Video → object id → its category and the number of its first frame.

    Raises:
        DataError: if it is missing or not one; one line.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; unpack the complete archive of the split")
    try:
        content: dict[str, Any] = read_json(path)["videos"]
        return {
            plain_name(name, path): {
                int(i): (str(thing.get("category", "")), min(int(frame) for frame in thing["frames"]))
                for i, thing in video["objects"].items()
                if thing["frames"]
            }
            for name, video in content.items()
        }
    except DataError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a YouTube-VOS meta.json ({type(error).__name__}: {error})") from error
