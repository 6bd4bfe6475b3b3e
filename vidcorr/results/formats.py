"""Numbers, texts and plain tables as terminals, Markdown, LaTeX and HTML show them."""

import re
from collections.abc import Sequence
from math import isnan
from typing import Literal

from ..errors import printable

BOLD = re.compile(r"\*\*([−\d.]+)\*\*")
LATEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "−": "$-$",
    "→": r"$\to$",
    "Δ": r"$\Delta$",
}
"""Letter → its form in LaTeX."""


def percent(value: float, digits: int = 1, sign: Literal["", "+"] = "") -> str:
    """Return a fraction in per cent with some decimals, with a plus if `sign` is one; a dash for NaN."""
    return "–" if isnan(value) else f"{100 * value:{sign}.{digits}f}".replace("-", "−")


def bracketed(ends: tuple[float, float] | None, sign: Literal["", "+"] = "") -> str:
    """Return an interval in per cent, as `[50.1, 62.3]`; an empty text without one."""
    return f"[{percent(ends[0], sign=sign)}, {percent(ends[1], sign=sign)}]" if ends else ""


def one_line(text: str) -> str:
    """Return text on a line, with control letters, marks of direction and bytes that are no text as codes."""
    return printable(" ".join(text.split()))


def listed(texts: Sequence[str]) -> str:
    """Return texts as words of a sentence: a, b and c."""
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


def latex_text(text: str) -> str:
    """Return text on a line with LaTeX's letters escaped."""
    return "".join(LATEX.get(letter, letter) for letter in one_line(text))


def breakable(text: str) -> str:
    """Return text in LaTeX whose long words, as the name of a protocol, may break after a sign."""
    words = []
    for word in one_line(text).split(" "):
        parts = re.split(r"(?<=[\W_])(?=.)", word) if len(word) > 12 else [word]
        words.append(r"\allowbreak{}".join(map(latex_text, parts)))
    return " ".join(words)


def width_in_latex(text: str) -> float:
    """Return the width of a text in LaTeX's roman letters, at least, in sizes of the letters."""
    width = 0.0
    for letter in as_bold(one_line(text), r"\1"):
        narrow = letter in " .,:;!|'()[]ijl"
        wide = letter.isupper() or letter in "mw%&@+±−→Δ=<>~^#"
        width += 0.36 if narrow else 0.83 if wide else 0.56
    return width


def as_bold(text: str, pattern: str) -> str:
    """Replace `**` around a number by a pattern of `re.sub`, as `<b>\\1</b>`."""
    return BOLD.sub(pattern, text)


def grid(format: Literal["text", "md"], heads: Sequence[str], rows: Sequence[Sequence[str]], right: int = 1) -> str:
    """Return a table of texts, which are escaped.

    Args:
        format: `text` for a terminal, or `md`.
        heads: heads of the columns.
        rows: cells of the rows, the row's name first; `**` around a number makes it bold in `md`.
        right: columns from this index on are right-aligned; the others left-aligned.
    """
    lines = [list(map(one_line, line)) for line in (heads, *rows)]
    if format == "md":
        lines = [[cell.replace("|", r"\|") for cell in line] for line in lines]
        lines.insert(1, ["---"] * right + ["---:"] * (len(heads) - right))
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)
    columns = []
    for number, column in enumerate(zip(*lines, strict=True)):
        columns.append(_aligned(column, number >= right))
    text = ""
    for line in zip(*columns, strict=True):
        text += "  ".join(line).rstrip() + "\n"
    return text


def _aligned(column: Sequence[str], of_numbers: bool) -> list[str]:
    """Return the cells of a column, aligned at the left; numbers at their points, with room for a deviation."""
    if not of_numbers:
        width = max(map(len, column))
        return [cell.ljust(width) for cell in column]
    head, *cells = column
    halves = [cell.partition(" ±") for cell in cells]
    room = max((len(mark + deviation) for _, mark, deviation in halves), default=0)
    shown = [head]
    for number, mark, deviation in halves:
        shown.append(number + (mark + deviation).ljust(room))
    width = max(map(len, shown))
    return [cell.rjust(width) for cell in shown]
