"""Rows of the table that `make speed` prints."""


def row(what: str, plain: float, ours: float) -> None:
    """Print seconds of the plain way and of ours, and their ratio, as a row of Markdown."""
    print(f"| {what} | {in_words(plain)} | {in_words(ours)} | {plain / ours:.2g}× |", flush=True)


def in_words(seconds: float) -> str:
    """Return seconds with three digits, in s or ms."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"
