"""Numbers, texts and plain tables as terminals, Markdown and LaTeX show them."""

import re
from collections.abc import Iterable, Sequence
from math import isnan
from typing import Literal

from ..errors import printable
from ..metrics.declared import Score
from .statistics import FRACTION

BOLD = re.compile(r"\*\*([−\d.]+)\*\*")
"""A bold number in Markdown, `**55.3**`; the group is the number."""
ONE = re.compile(r"(?<![\d.,])1 (frame|object|pair|scene|seed|sequence|video)s\b")
"""A single thing in the plural, "1 videos"; not a number that ends in 1, such as "21 videos"."""
LATEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "°": r"$^\circ$",
    "…": r"\ldots{}",
}
SIGNS = r"\pm - \to \gets \uparrow \downarrow \ge \le \approx \times \cdot \infty"
LATEX |= {letter: f"${sign}$" for letter, sign in zip("±−→←↑↓≥≤≈×·∞", SIGNS.split(), strict=True)}
GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi chi psi omega"
LATEX |= {letter: f"$\\{name}$" for letter, name in zip("αβγδεζηθικλμνξπρστφχψω", GREEK.split(), strict=True)}
GREEK_CAPITALS = "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
LATEX |= {letter: f"$\\{name}$" for letter, name in zip("ΓΔΘΛΞΠΣΦΨΩ", GREEK_CAPITALS.split(), strict=True)}
"""Letter → its form in LaTeX."""
SHOWN = 3
"""Names that a sentence lists."""
LONGEST_WORD = 12
"""Letters of a word in a caption, beyond which it may break."""


def shown(value: float, score: Score = FRACTION, digits: int = 1, sign: Literal["", "+"] = "") -> str:
    """Return a value of a score as it is printed everywhere: a fraction in per cent, else in the score's unit.

    The minus is the sign −, no hyphen; NaN is a dash.

    Args:
        value: the value.
        score: declaration of the score.
        digits: decimals.
        sign: "+" to print a plus before a positive value.

    Example:
        >>> shown(0.5527), shown(-0.0214, digits=2), shown(3.2, Score("EPE", high=None, unit="px"), sign="+")
        ('55.3', '−2.14', '+3.2')
    """
    if isnan(value):
        return "–"
    return f"{score.factor * value:{sign}.{digits}f}".replace("-", "−")


def bracketed(ends: tuple[float, float] | None, score: Score = FRACTION, sign: Literal["", "+"] = "") -> str:
    """Return an interval of a score, as `[50.1, 62.3]`; "" for None."""
    return f"[{shown(ends[0], score, sign=sign)}, {shown(ends[1], score, sign=sign)}]" if ends else ""


def one_line(text: str) -> str:
    r"""Return a text as one line: blanks and line ends become single blanks, unprintable letters codes, as \x1b."""
    return printable(" ".join(text.split()))


def agreeing(text: str) -> str:
    """Return a text in which a single thing is in the singular: "1 sequences" becomes "1 sequence"."""
    return ONE.sub(r"1 \1", text.replace("1 categories", "1 category"))


def listed(texts: Sequence[str]) -> str:
    """Return texts as words of a sentence: a, b and c."""
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


def few(names: Iterable[str]) -> str:
    """Return the first names in alphabetical order, and the number of the others: "a, b, c and 1 more"."""
    first, others = sorted(names)[:SHOWN], sorted(names)[SHOWN:]
    return ", ".join(first) + f" and {len(others)} more" * bool(others)


def grid(format: Literal["text", "md"], heads: Sequence[str], rows: Sequence[Sequence[str]], right: int = 1) -> str:
    r"""Return a plain table of cells.

    Args:
        format: "text" for a terminal, or "md" for Markdown.
        heads: heads of the columns.
        rows: cells of the rows, the row's name first, unescaped; `**` around a number makes it bold in Markdown.
        right: index of the first right-aligned column; those before it are left-aligned.

    Example:
        >>> print(grid("md", ["davis", "J-Mean"], [["a | b", "**55.3**"]]), end="")
        | davis | J-Mean |
        | --- | ---: |
        | a \| b | **55.3** |
    """
    lines = [list(map(one_line, line)) for line in (heads, *rows)]
    text = ""
    if format == "md":
        lines.insert(1, ["---"] * right + ["---:"] * (len(heads) - right))
        for line in lines:
            cells = [cell.replace("|", r"\|") for cell in line]
            text += f"| {' | '.join(cells)} |\n"
        return text
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line[:right], widths, strict=False)]
        cells += [cell.rjust(width) for cell, width in zip(line[right:], widths[right:], strict=True)]
        text += "  ".join(cells).rstrip() + "\n"
    return text


def latex_grid(heads: Sequence[str], rows: Sequence[Sequence[str]], right: int) -> str:
    """Return a LaTeX tabular of unescaped heads and cells, shrunk to the width of the text; arguments as `grid`."""
    body: list[str] = []
    for row in (heads, *rows):
        text = " & ".join(BOLD.sub(r"\\textbf{\1}", latex_text(cell)) for cell in row) + r" \\"
        if text.startswith(("[", "*")):  # which LaTeX would read as an argument of the line before
            text = "{}" + text
        body.append(text)
    body.insert(1, r"\midrule")
    columns = "l" * right + "r" * (len(heads) - right)
    begin = [r"\begin{adjustbox}{max width=\linewidth}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    return "\n".join([*begin, *body, r"\bottomrule", r"\end{tabular}", r"\end{adjustbox}"])


def latex_text(text: str) -> str:
    """Return text on a line with LaTeX's letters escaped."""
    return "".join(LATEX.get(letter, letter) for letter in one_line(text))


def breakable(text: str) -> str:
    """Return text for LaTeX, which may break long words, such as a protocol's name, after a sign such as +."""
    words = []
    for word in one_line(text).split(" "):
        # behind each sign, except at the end of the word
        parts = re.split(r"(?<=[\W_])(?=.)", word) if len(word) > LONGEST_WORD else [word]
        words.append(r"\allowbreak{}".join(map(latex_text, parts)))
    return " ".join(words)
