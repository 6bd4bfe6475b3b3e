"""The nearest known name in answer to an unknown one."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the known name that is probably meant; "" if none is near."""
    forms = {_core(name): name for name in known}
    near = get_close_matches(_core(written), forms, n=1, cutoff=0.54)
    return f"; did you mean {forms[near[0]]}?" if near else ""


def _core(name: str) -> str:
    return name.lower().lstrip("-").rpartition("/")[2]
