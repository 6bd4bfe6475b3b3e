"""Gather results.json files into one table: Markdown, CSV or LaTeX, one column per benchmark and protocol."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from datamodules.reading.files import csv_text, write_atomically

from ..report.published import published_beside
from ..results.records import Cell, Column, Record, Table, read_records, tabulate
from ..results.rendering import latex_table, markdown_table, percent
from ..results.statistics import FEWEST_SEEDS
from ..results.stored import read_results
from .report import results_below

FORMATS = ("md", "csv", "tex")


def gather_results(
    folders: Sequence[str | Path], scores: Sequence[str] = (), published: bool = False, base: str = ""
) -> Table:
    """Read the results in folders and line up the numbers that compare.

    A row is a network (and a stage, where there are several), over its seeds. A column holds numbers of one benchmark,
    one protocol with all its values (its digest), and the same sequences of the same split. Two results that
    are not seeds of one row never meet in a cell: each has its own row, whose name includes its folder.

    Args:
        folders: folders of benchmark runs, or any folders above them; `NAME=FOLDER` names the row, and several folders
            of one name are its seeds.
        scores: keys without their stage, such as `J&F-Mean`; none takes the first score of each benchmark.
        published: add the rows that papers print for the same benchmark, sequences and protocol.
        base: row that differences are from; empty: none.

    Raises:
        ValueError: if a folder holds no results, a file is none, no result has one of the scores, there is no such
            base row, or a named folder holds two results of one column; one line.
    """
    found: dict[tuple[Path, str, Column, str], Record] = {}
    files: list[Path] = []
    for each in folders:
        label, folder = _labelled(str(each))
        below = results_below(folder)
        files += below
        own = [one for run in below for one in read_records(run, label, scores)]
        if label:
            _require_one_a_column(label, folder, own)
        found |= {(one.folder, one.label, one.column, one.name): one for one in own}
    if not found:
        known = sorted({key.rpartition("/")[2] for file in files for key in _scores(file)})
        if not known:
            raise ValueError(f"table: {files[0] / 'results.json'} has no scores, nor has any other result here")
        raise ValueError(f"table: no result has the score {', '.join(scores)}; there are {', '.join(known)}")
    table = tabulate(found.values(), base)
    return _with_published(table) if published else table


def render(table: Table, format: str) -> str:
    """Write a table as text.

    Markdown and LaTeX give per cent with one digit: the mean over the seeds, each seed and their spread where there
    are several, the 95 % interval over sequences, and the difference from the base row. CSV gives fractions with all
    digits, in separate columns.

    Args:
        table: result of `gather_results`.
        format: `md`, `csv` or `tex` (LaTeX with booktabs).
    """
    if format == "csv":
        return _csv(table)
    lines = [[name, *(cell_text(row.get(column)) for column in table.columns)] for name, row in table.rows.items()]
    head = ["", *_heads(table.columns)]
    if format == "md":
        return markdown_table(head, lines, first_right=1) + "".join(f"\n{note}\n" for note in notes(table))
    return latex_table(head, lines) + "".join(f"% {note}\n" for note in notes(table))


def command(args: Sequence[str]) -> None:
    """Run `vidcorr table` with its arguments; a user's mistake raises a one-line ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr table", description=__doc__)
    parser.add_argument(
        "folders",
        nargs="+",
        metavar="[NAME=]FOLDER",
        help="folders of benchmark runs, or any folder above them; those with one NAME are the seeds of one row",
    )
    parser.add_argument(
        "--score", action="append", default=[], metavar="KEY", help="score to show, such as J-Mean; may be repeated"
    )
    parser.add_argument("--base", default="", metavar="ROW", help="row from which to show each row's difference")
    parser.add_argument("--published", action="store_true", help="add published rows of the same data and protocol")
    parser.add_argument("--format", choices=FORMATS, default="md", help="format of the printed table (default: md)")
    parser.add_argument("--output", type=Path, nargs="+", default=[], help="files to write: .md, .csv or .tex")
    flags = parser.parse_args(list(args))
    if wrong := [path for path in flags.output if path.suffix.removeprefix(".") not in FORMATS]:
        raise ValueError(f"--output {wrong[0]}: the name has to end in .md, .csv or .tex")
    table = gather_results(flags.folders, flags.score, flags.published, flags.base)
    for path in flags.output:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, render(table, path.suffix.removeprefix(".")))
    print(render(table, flags.format), end="")


def _labelled(text: str) -> tuple[str, Path]:
    """Return the name and the folder of `NAME=FOLDER`; a folder that is there may have `=` in its name."""
    label, equals, folder = text.partition("=")
    return ("", Path(text)) if not equals or "/" in label or Path(text).exists() else (label, Path(folder))


def _scores(folder: Path) -> list[str]:
    return list(read_results(folder / "results.json")["scores"])


def _require_one_a_column(label: str, folder: Path, found: Sequence[Record]) -> None:
    taken: dict[tuple[str, Column], Path] = {}
    for one in found:
        if (other := taken.setdefault((one.label, one.column), one.folder)) != one.folder:
            raise ValueError(
                f"table: {label}={folder} holds two results of {one.column.benchmark} by one protocol, {other} and "
                f"{one.folder}; name the one that is meant"
            )


def _with_published(table: Table) -> Table:
    rows = {name: dict(row) for name, row in table.rows.items()}
    for column in table.columns:
        for published in published_beside(column.benchmark, column.digest) if column.on_test_set else ():
            if column.score in published.scores:
                name = f"{published.name} [{published.source}]"
                rows.setdefault(name, {})[column] = Cell((published.scores[column.score],))
    return Table(table.columns, rows, table.base)


def _heads(columns: Sequence[Column]) -> list[str]:
    """Return the head of each column; the digest of its sequences stands in those that are alike otherwise."""
    heads = [f"{column.benchmark} {column.score} ({column.conditions})" for column in columns]
    return [
        f"{head[:-1]} {column.names or 'of unknown names'})" if heads.count(head) > 1 else head
        for head, column in zip(heads, columns, strict=True)
    ]


def cell_text(cell: Cell | None) -> str:
    """Return a cell as text, in per cent; `notes` explains it."""
    if cell is None:
        return ""
    text = percent(cell.mean)
    if len(cell.scores) > 1:
        text += f" ({' / '.join(map(percent, cell.scores))}; spread {percent(cell.spread)})"
    if cell.interval is not None:
        text += f" [{percent(cell.interval[0])}, {percent(cell.interval[1])}]"
    if cell.difference is not None:
        text += f"; {cell.difference.in_points}"
    return text.replace("-", "−")


def notes(table: Table) -> list[str]:
    """Return what explains the cells of a table: a paragraph, or nothing where they hold plain scores."""
    cells = [cell for row in table.rows.values() for cell in row.values()]
    tested = [cell.difference for cell in cells if cell.difference is not None]
    found = ["Per cent."]
    if any(len(cell.scores) > 1 for cell in cells):
        found.append("Several seeds: mean (each seed; spread = largest − smallest).")
    if any(cell.interval is not None for cell in cells):
        found.append(f"[Low, high]: 95 % interval over sequences, and over seeds from {FEWEST_SEEDS} on.")
    if tested:
        found.append(f"After “;”: difference from {table.base}, paired by sequence, each row tested by itself.")
        if any(one.p is not None for one in tested):
            found.append("The p of rows with one run is about these weights, not about how they were trained.")
    elif table.base:
        found.append(f"No row has the same sequences under the same protocol as {table.base}.")
    return [" ".join(found)] if len(found) > 1 else []


def _csv(table: Table) -> str:
    """Write a line for each row; the columns of a score are as many as any row needs."""
    parts = {column: _parts(column, table) for column in table.columns}
    named = zip(table.columns, _heads(table.columns), strict=True)
    heads = [f"{head} {part}".rstrip() for column, head in named for part in parts[column]]
    rows: list[list[object]] = [["", *heads]]
    for name, row in table.rows.items():
        values = [_fields(row.get(column)) for column in table.columns]
        cells = [own.get(part) for column, own in zip(table.columns, values, strict=True) for part in parts[column]]
        rows.append([name, *cells])
    return csv_text(rows, "\n")


def _parts(column: Column, table: Table) -> list[str]:
    found = dict.fromkeys(part for row in table.rows.values() for part in _fields(row.get(column)))
    order = ["", "seeds", "each", "spread", "low", "high", "difference", "difference low", "difference high", "p"]
    return [part for part in order if part in found]


def _fields(cell: Cell | None) -> dict[str, str | float]:
    if cell is None:
        return {}
    fields: dict[str, str | float] = {"": cell.mean}
    if len(cell.scores) > 1:
        each = " ".join(map(str, cell.scores))
        fields |= {"seeds": len(cell.scores), "each": each, "spread": cell.spread}
    if cell.interval is not None:
        fields |= {"low": cell.interval[0], "high": cell.interval[1]}
    if (found := cell.difference) is not None:
        fields["difference"] = found.mean
        if found.low is not None and found.high is not None and found.p is not None:
            fields |= {"difference low": found.low, "difference high": found.high, "p": found.p}
    return fields
