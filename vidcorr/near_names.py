"""The nearest known name in answer to an unknown one."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the known name that is probably meant; "" if none is near."""
    likeness = {name: SequenceMatcher(None, _core(name), _core(written)).ratio() for name in known}
    nearest = max(likeness, key=likeness.__getitem__, default="")
    return f"; did you mean {nearest}?" if likeness.get(nearest, 0) >= 0.54 else ""


def _core(name: str) -> str:
    return re.split("[./]", name.lower().lstrip("-").removesuffix(".yaml"))[-1]
