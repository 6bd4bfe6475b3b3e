"""The nearest known name in answer to a misspelt one."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches


def did_you_mean(written: str, known: Iterable[str], forms: Mapping[str, str] | None = None) -> str:
    """Return the end of a message about an unknown name: the known name that is probably meant; "" without one.

    Args:
        written: the name.
        known: names that exist.
        forms: known name → how one writes it; None: as it is.

    Example:
        >>> did_you_mean("raduis", ["radius", "topk"])
        '; did you mean radius?'
    """
    near = get_close_matches(written, list(known), 1, cutoff=0.8)
    if not near:
        return ""
    form = near[0] if forms is None else forms[near[0]]
    return f"; did you mean {form}?"
