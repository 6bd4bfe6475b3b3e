"""Tables in LaTeX, with the packages booktabs and adjustbox, which makes a wide one smaller."""

import re
from collections.abc import Sequence
from itertools import chain

from .formats import Printed, as_bold, one_line

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
LONGEST_WORD = 12
"""Letters of a word in a caption, beyond which it may break."""
WIDEST_COLUMN = 6
"""Columns of numbers beyond which a table spans both columns of a paper."""
Groups = Sequence[tuple[str, Sequence[Printed]]]
"""Labels, and the printed columns below each."""


def latex_table(rows: Sequence[str], grids: Sequence[Groups], caption: str) -> str:
    """Return a table in LaTeX: a tabular for each grid, below each other, no wider than the text.

    Args:
        rows: names of the rows.
        grids: the columns of each grid; a row without a cell in it is left out.
        caption: the caption.
    """
    tabulars: list[str] = []
    widest = 0
    for groups in grids:
        widest = max(widest, sum(len(columns) for _, columns in groups))
        tabular = _tabular(list(map(_latex_name, rows)), groups)
        tabulars.append("\\begin{adjustbox}{max width=\\linewidth}\n" + tabular + "\n\\end{adjustbox}")
    environment = "table*" if widest > WIDEST_COLUMN else "table"
    lines = [
        rf"\begin{{{environment}}}",
        r"\centering\sloppy",
        "\n\\par\\medskip\n".join(tabulars),
        rf"\caption{{{breakable(caption)}}}",
        rf"\end{{{environment}}}",
    ]
    return "".join(f"{line}\n" for line in lines)


def _latex_name(name: str) -> str:
    """Return the name of a row."""
    text = latex_text(name)
    # LaTeX takes [ and * after a line break as arguments of the break
    return f"{{}}{text}" if text.startswith(("[", "*")) else text


def _tabular(names: Sequence[str], groups: Groups) -> str:
    """Return a tabular with the rows that have a cell in its columns."""
    columns = list(chain.from_iterable(of_label for _, of_label in groups))
    labels = [""]
    rules = ""  # below each label
    first = 2  # column of the label
    for label, of_label in groups:
        labels.append(rf"\multicolumn{{{len(of_label)}}}{{c}}{{{latex_text(label)}}}")
        rules += rf"\cmidrule(lr){{{first}-{first + len(of_label) - 1}}}"
        first += len(of_label)
    heads = [latex_text(_short(column.head)) for column in columns]
    rows = []
    for number, name in enumerate(names):
        cells = [column.cells[number] for column in columns]
        if any(cells):
            rows.append([name, *map(_latex_cell, cells)])
    lines = [
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        _latex_row(labels),
        rules,
        _latex_row(["", *heads]),
        r"\midrule",
        *map(_latex_row, rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


def _short(head: str) -> str:
    """Return the head of a column, without what all scores have."""
    return "Δ" if head == "difference" else head.replace("-Mean", "")


def _latex_cell(text: str) -> str:
    """Return the text of a cell; a number between ** is bold."""
    return as_bold(latex_text(text), r"\\textbf{\1}")


def _latex_row(cells: Sequence[str]) -> str:
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
