"""Tables in LaTeX, with the packages booktabs and adjustbox, which makes a wide one smaller."""

import re
from collections.abc import Iterable, Sequence
from itertools import chain

from .formats import Grid, as_bold, one_line

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
SHORT_HEADS = {"difference": "Δ"}
LONGEST_WORD = 12
"""Letters of a word in a caption, beyond which it may break."""
WIDEST_COLUMN = 6
"""Columns of numbers beyond which a table spans both columns of a paper."""


def latex_table(grids: Sequence[Grid], caption: str) -> str:
    """Return a table in LaTeX: a tabular for each grid, below each other, no wider than the text."""
    widest = max(sum(map(len, grid.scores)) for grid in grids)
    environment = "table*" if widest > WIDEST_COLUMN else "table"
    lines = [
        rf"\begin{{{environment}}}",
        r"\centering\sloppy",
        "\n\\par\\medskip\n".join(map(_tabular, grids)),
        rf"\caption{{{breakable(caption)}}}",
        rf"\end{{{environment}}}",
        "",
    ]
    return "\n".join(lines)


def _latex_name(name: str) -> str:
    """Return the name of a row."""
    text = latex_text(name)
    # LaTeX takes [ and * after a line break as arguments of the break
    return f"{{}}{text}" if text.startswith(("[", "*")) else text


def _tabular(grid: Grid) -> str:
    """Return a tabular, with a space between the lines of different protocols or conditions."""
    columns = list(chain(grid.names, *grid.scores))
    row_names, *_ = grid.names
    heads = [grid.benchmark]
    for column in columns[1:]:
        heads.append(SHORT_HEADS.get(column.head, column.head.replace("-Mean", "")))
    lines = [
        r"\begin{adjustbox}{max width=\linewidth}",
        rf"\begin{{tabular}}{{{'l' * len(grid.names)}{'r' * (len(columns) - len(grid.names))}}}",
        r"\toprule",
        _latex_row(map(latex_text, heads)),
        r"\midrule",
    ]
    for number, setting in enumerate(grid.settings):
        if number and setting != grid.settings[number - 1]:
            lines.append(r"\addlinespace")
        cells = [_latex_name(row_names.cells[number])]
        for column in columns[1:]:
            text = latex_text(column.cells[number])
            cells.append(as_bold(text, r"\\textbf{\1}"))
        lines.append(_latex_row(cells))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{adjustbox}"])


def _latex_row(cells: Iterable[str]) -> str:
    """Return cells in LaTeX as a row."""
    return " & ".join(cells) + r" \\"


def latex_text(text: str) -> str:
    """Return text on a line with LaTeX's letters escaped."""
    return "".join(LATEX.get(letter, letter) for letter in one_line(text))


def breakable(text: str) -> str:
    """Return text in LaTeX whose long words, as the name of a protocol, may break after a sign."""
    words = []
    for word in one_line(text).split(" "):
        parts = re.split(r"(?<=[\W_])(?=.)", word) if len(word) > LONGEST_WORD else [word]
        words.append(r"\allowbreak{}".join(map(latex_text, parts)))
    return " ".join(words)
