"""Tables in LaTeX that fit a column of a paper, or a page."""

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
COLUMN = 230
"""Width of a column of a paper, points."""
PAGE = 335
"""Width of a page, points, which a wider table spans in small letters."""
LONGEST_NAME = 14.0
"""Width of a row's name, in sizes of its letters, beyond which it breaks."""
LONGEST_WORD = 12
"""Letters of a word, beyond which it may break."""
Groups = dict[str, list[Printed]]
"""Label → the columns below it."""


def latex_table(rows: Sequence[str], scores: Sequence[tuple[str, Sequence[Printed]]], caption: str) -> str:
    """Return a table in LaTeX (with booktabs); one that is wider than a page has several tabulars, below each other.

    Args:
        rows: names of the rows.
        scores: label above a score, and its printed columns; neighbours with one label share it.
        caption: the caption.
    """
    shown = []
    for label, columns in scores:
        shown.append((label, list(map(_in_latex, columns))))
    width_of_names = min(LONGEST_NAME, max(map(width_in_latex, rows), default=0.0))  # in sizes of the letters
    size = 10.0  # of the letters, points
    gap = 6.0  # beside each column, points
    parts = _latex_parts(shown, size, gap, COLUMN - width_of_names * size - 2 * gap)
    is_narrow = len(parts) == 1
    if not is_narrow:
        size = 8.0  # \footnotesize
        gap = 3.0  # \tabcolsep below
        parts = _latex_parts(shown, size, gap, PAGE - width_of_names * size - 2 * gap)
    names = [_latex_name(name, size) for name in rows]
    tabulars = []
    for part in parts:
        tabulars.append(_tabular(names, part))
    environment = "table" if is_narrow else "table*"
    lines = [
        rf"\begin{{{environment}}}",
        r"\centering\sloppy" if is_narrow else r"\centering\sloppy\footnotesize\setlength{\tabcolsep}{3pt}",
        "\n\\par\\medskip\n".join(tabulars),
        rf"\caption{{{breakable(caption)}}}",
        rf"\end{{{environment}}}",
    ]
    return "".join(f"{line}\n" for line in lines)


def _in_latex(column: Printed) -> Printed:
    """Return a column with a short head."""
    return column._replace(head="Δ" if column.head == "difference" else column.head.replace("-Mean", ""))


def _latex_width(groups: Groups, size: float, gap: float) -> float:
    """Return the width of columns under their labels, points."""
    width = 0.0
    for label, columns in groups.items():
        cells = 0.0
        for column in columns:
            cells += 2 * gap + size * max(map(width_in_latex, [column.head, *column.cells]))
        width += max(cells, 2 * gap + size * width_in_latex(label))
    return width


def _latex_parts(scores: Sequence[tuple[str, list[Printed]]], size: float, gap: float, room: float) -> list[Groups]:
    """Return the columns of scores in parts that fit into a room, points; a score that alone is wider is cut."""
    parts: list[Groups] = [{}]
    for label, columns in scores:
        pieces = [columns]
        if _latex_width({label: columns}, size, gap) > room:
            pieces = [[column] for column in columns]
        for piece in pieces:
            extended = parts[-1] | {label: [*parts[-1].get(label, []), *piece]}
            if parts[-1] and _latex_width(extended, size, gap) > room:
                parts.append({label: piece})
            else:
                parts[-1] = extended
    return parts


def _latex_name(name: str, size: float) -> str:
    """Return the name of a row, in letters of a size; a long name breaks."""
    text = breakable(name)
    if width_in_latex(name) > LONGEST_NAME:
        return rf"\parbox[t]{{{LONGEST_NAME * size:.0f}pt}}{{\raggedright {text}\strut}}"
    # LaTeX takes [ and * after a line break as arguments of the break
    return f"{{}}{text}" if text.startswith(("[", "*")) else text


def _tabular(names: Sequence[str], groups: Groups) -> str:
    """Return a tabular with the rows that have a cell in its columns."""
    columns = list(chain.from_iterable(groups.values()))
    labels = [""]
    rules = ""  # below each label
    first = 2  # column of the label
    for label, of_label in groups.items():
        labels.append(rf"\multicolumn{{{len(of_label)}}}{{c}}{{{latex_text(label)}}}")
        rules += rf"\cmidrule(lr){{{first}-{first + len(of_label) - 1}}}"
        first += len(of_label)
    heads = [latex_text(column.head) for column in columns]
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


def width_in_latex(text: str) -> float:
    """Return the estimated width of a text in LaTeX's roman letters, of three kinds, in sizes of the letters."""
    width = 0.0
    for letter in as_bold(one_line(text), r"\1"):
        if letter in " .,:;!|'()[]ijl":
            width += 0.36
        elif letter.isupper() or letter in "mw%&@+±−→Δ=<>~^#":
            width += 0.83
        else:
            width += 0.56
    return width
