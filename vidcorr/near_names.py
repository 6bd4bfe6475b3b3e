"""The nearest known names in answer to an unknown one."""

import re
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from pathlib import PurePath

LIKE = 0.75
"""Least similarity of two spellings of one name."""
MOST = 3
"""Most names of an answer."""
PART = 1
"""Distance of two names of which one is a part of the other, as `lr` of `base_lr`."""


def did_you_mean(written: str, known: Iterable[str], forms: Mapping[str, str] | None = None) -> str:
    """Return the end of a message about an unknown name: the known names that are probably meant; "" without any."""
    near = near_names(written, known)
    if not near:
        return ""
    shown = list(dict.fromkeys(name if forms is None else forms[name] for name in near))
    return f"; did you mean {', '.join(shown[:-1])}{' or ' if shown[1:] else ''}{shown[-1]}?"


def near_names(written: str, known: Iterable[str]) -> list[str]:
    """Return up to `MOST` known names of the least distance from an unknown name; empty if none is near."""
    ranked: dict[str, float] = {}
    for name in known:
        rank = _rank(_end(written), _end(name))
        if rank == PART and "." not in name and "/" not in name:
            rank = 0
        if rank is not None:
            ranked[name] = rank
    nearest = min(ranked.values(), default=0.0)
    return [name for name, rank in ranked.items() if rank == nearest][:MOST]


def _end(name: str) -> str:
    """Return the last part of a name, in small letters, with `_` for `-` and without `.yaml`."""
    if name.endswith((".yaml", ".yml")):
        name = PurePath(name).stem
    return re.split("[./]", name)[-1].strip("-").replace("-", "_").lower()


def _rank(written: str, name: str) -> float | None:
    """Return the distance of two names; None if they are not near."""
    if written == name:
        return 0
    similarity = SequenceMatcher(None, written, name).ratio()
    if similarity >= LIKE or sorted(written) == sorted(name):
        return 1 - similarity
    parts = name.split("_")
    if written in parts or name in written.split("_"):
        return PART
    if len(written) >= 4 and written in name:
        return 2
    initials = "".join(part[:1] for part in written.split("_"))
    return 3 if len(initials) > 1 and initials in parts else None
