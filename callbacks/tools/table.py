"""Gather results.json files into one table: Markdown, CSV or LaTeX, one column a benchmark and protocol."""

import argparse
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.reading.writing import write_whole

from ..report.published import published_beside
from ..stored_results import protocol_of, read_results
from .report import results_below

FORMATS = ("md", "csv", "tex")
LATEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


class Column(NamedTuple):
    """The key of a column: everything that two numbers must agree in to be comparable.

    Attributes:
        benchmark: its name.
        protocol: its name; empty where the benchmark has none.
        digest: of the protocol.
        data: split, subset and number of sequences, in words.
        score: key of the score, without the stage.
    """

    benchmark: str
    protocol: str
    digest: str
    data: str
    score: str


@dataclass(frozen=True)
class Table:
    """Scores by row and column.

    Attributes:
        columns: in the order in which they were met.
        rows: name → column → fraction.
    """

    columns: tuple[Column, ...]
    rows: Mapping[str, Mapping[Column, float]]


def gather(folders: Sequence[str | Path], scores: Sequence[str] = (), published: bool = False) -> Table:
    """Read the results in folders and line up the numbers that compare.

    A row is a network and, where there are several, a stage; where two results of one row fall into one column, the
    row's name is that of the folder too. A column holds numbers of one benchmark, one protocol with all its values
    (its digest), and the same number of sequences of the same split.

    Args:
        folders: of benchmark runs, or any folders above them.
        scores: keys without their stage, such as `J&F-Mean`; none takes the first score of each benchmark.
        published: add the rows that papers print for the same benchmark, sequences and protocol.

    Raises:
        ValueError: if a folder holds no results, a file is none, or no result has one of the scores.
    """
    files = list(dict.fromkeys(folder / "results.json" for each in folders for folder in results_below(Path(each))))
    found = [(file, read_results(file)) for file in files]
    cells = [cell for file, results in found for cell in _cells(file, results, scores)]
    if not cells:
        known = sorted({key.rpartition("/")[2] for _, results in found for key in results["scores"]})
        if not known:
            raise ValueError(f"table: {files[0]} has no scores, nor has any other result here")
        raise ValueError(f"table: no result has the score {', '.join(scores)}; there are {', '.join(known)}")
    taken: dict[tuple[str, Column], set[Path]] = {}
    for name, column, _, file in cells:
        taken.setdefault((name, column), set()).add(file)
    repeated = {name for (name, _), where in taken.items() if len(where) > 1}
    rows: dict[str, dict[Column, float]] = {}
    for name, column, value, file in cells:
        rows.setdefault(f"{name} ({file.parent})" if name in repeated else name, {})[column] = value
    columns = tuple(dict.fromkeys(column for _, column, _, _ in cells))
    if published:
        for file, results in found:
            for row in published_beside(results):
                for column in {column for _, column, _, where in cells if where == file and column.score in row.scores}:
                    rows.setdefault(f"{row.name} [{row.source}]", {})[column] = row.scores[column.score]
    return Table(columns, rows)


def render(table: Table, format: str) -> str:
    """Write a table as text; numbers in per cent with one digit, in CSV as fractions with all digits.

    Args:
        table: of `gather`.
        format: `md`, `csv` or `tex` (LaTeX with booktabs).
    """
    if format == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["", *(" ".join(filter(None, column)) for column in table.columns)])
        writer.writerows([name, *(row.get(column, "") for column in table.columns)] for name, row in table.rows.items())
        return text.getvalue()
    lines = [[name, *(_percent(row.get(column)) for column in table.columns)] for name, row in table.rows.items()]
    heads = [["", *(_head(column) for column in table.columns)]]
    if format == "md":
        rule = ["---", *("---:" for _ in table.columns)]
        return "".join(f"| {' | '.join(map(_markdown, line))} |\n" for line in [*heads, rule, *lines])
    body = [" & ".join(map(_latex, line)) + r" \\" for line in [*heads, *lines]]
    begin = rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}"
    return "\n".join([begin, r"\toprule", body[0], r"\midrule", *body[1:], r"\bottomrule", r"\end{tabular}", ""])


def command(words: Sequence[str]) -> None:
    """Run `vidcorr table` with the words after it.

    Raises:
        ValueError, OSError: for a user's mistake; one line.
    """
    parser = argparse.ArgumentParser(prog="vidcorr table", description=__doc__)
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="of benchmark runs, or any folder above them")
    parser.add_argument("--score", action="append", default=[], metavar="KEY", help="such as J-Mean; may be repeated")
    parser.add_argument("--published", action="store_true", help="add papers' rows of the same data and protocol")
    parser.add_argument("--format", choices=FORMATS, default="md", help="of what is printed (default: md)")
    parser.add_argument("--output", type=Path, nargs="+", default=[], help="files to write: .md, .csv or .tex")
    flags = parser.parse_args(list(words))
    if wrong := [path for path in flags.output if path.suffix.removeprefix(".") not in FORMATS]:
        raise ValueError(f"--output {wrong[0]}: the name has to end in .md, .csv or .tex")
    table = gather(flags.folders, flags.score, flags.published)
    for path in flags.output:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, render(table, path.suffix.removeprefix(".")))
    print(render(table, flags.format), end="")


def _cells(file: Path, results: dict[str, Any], scores: Sequence[str]) -> list[tuple[str, Column, float, Path]]:
    keys = list(results["scores"])
    wanted = list(scores) or [key.rpartition("/")[2] for key in keys[:1]]
    cells = []
    for key in keys:
        stage, _, score = key.rpartition("/")
        value = results["scores"][key]
        if score in wanted:
            protocol = protocol_of(results, stage)
            named = str(protocol.get("name", "")), str(protocol.get("digest", ""))
            column = Column(results["benchmark"], *named, _data(results), score)
            name = str(results.get("network") or file.parent)
            cells.append((f"{name}, {stage}" if stage else name, column, value, file))
    return cells


def _data(results: Mapping[str, Any]) -> str:
    parts = [str(results[key]) for key in ("year", "split", "subset") if results.get(key) is not None]
    return ", ".join([*parts, f"{results.get('sequences', '?')} sequences"])


def _head(column: Column) -> str:
    protocol = f"{column.protocol} {column.digest}".strip()
    return f"{column.benchmark} {column.score} ({', '.join(filter(None, [protocol, column.data]))})"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _markdown(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _latex(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in " ".join(text.split()))
