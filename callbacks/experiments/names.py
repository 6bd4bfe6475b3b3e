"""Names of folders."""

import re


def slug(name: str) -> str:
    """Return the folder name for a name: letters, digits, dots and dashes."""
    return re.sub(r"[^\w.]+", "-", name.replace("+", "plus "), flags=re.ASCII).strip("-.").lower() or "row"
