"""The nearest known name in answer to a misspelt one."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the known name that is probably meant; "" without one.

    Example:
        >>> did_you_mean("raduis", ["radius", "topk"])
        '; did you mean radius?'
    """
    near = get_close_matches(written, list(known), 1, cutoff=0.8)
    return f"; did you mean {near[0]}?" if near else ""
