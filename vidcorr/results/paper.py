"""Tables as papers print them: short heads, short row names, everything else in the caption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .records import Record
from .statistics import HOW
from .tables import Cell, Table
from .text_tables import latex_row, latex_text, markdown_table, one_line, percent

HEADS = {
    "J&F-Mean": "J&F",
    "J-Mean": "J",
    "F-Mean": "F",
    "PCK@0.1": "PCK@.1",
    "PCK@0.2": "PCK@.2",
    "precision@20px": "Prec.",
    "success": "Succ.",
    "average_jaccard": "AJ",
    "average_pts_within_thresh": "δ avg",
    "occlusion_accuracy": "OA",
}
"""Score → head of its column; other scores keep their keys."""
LATEX_HEADS = {
    "J&F-Mean": r"$\mathcal{J}\&\mathcal{F}$",
    "J-Mean": r"$\mathcal{J}$",
    "F-Mean": r"$\mathcal{F}$",
    "average_pts_within_thresh": r"$\delta_\mathrm{avg}$",
}
DATA_SETS = {
    "davis": "DAVIS-2017 val",
    "davis_2016": "DAVIS-2016 val",
    "jhmdb": "JHMDB split 1",
    "vip": "VIP val",
    "otb": "OTB-100",
    "tap_vid": "TAP-Vid-DAVIS",
    "spair": "SPair-71k test",
}
"""Benchmark → name of its whole test set."""
DASH = "–"


@dataclass(frozen=True)
class _Column:
    """A column of a paper's table.

    Attributes:
        head: head of the column in the full table.
        block: name of the data set over the column, with the protocol if it has columns by several.
        score: key of the score.
    """

    head: str
    block: str
    score: str


def paper_table(table: Table, names: Mapping[str, str], intervals: bool = False, format: str = "md") -> str:
    """Return a table as a paper prints it.

    Heads are short (J&F, PCK@.1), row names are the networks' or the user's. The caption states the protocol of each
    benchmark, and stage and stride if all rows have the same; otherwise they stand in the row.

    Args:
        table: the scores.
        names: row, network or argument of `vidcorr evaluate` → name to print, without a suffix.
        intervals: add 95 % intervals over sequences.
        format: `md`, or `tex` for LaTeX with booktabs.

    Raises:
        ValueError: if `names` has an unknown row, or two rows would have the same name.
    """
    columns = _columns(table)
    rows = _named_rows(table, names)

    lines = []
    for name, row in rows.items():
        line = [name]
        for column in columns:
            line.append(_text(row.get(column.head), table.best.get(column.head), intervals))
        lines.append(line)
    caption = _caption(table, intervals)
    if format == "md":
        heads = [""]
        for column in columns:
            heads.append(f"{column.block} {HEADS.get(column.score, column.score)}")
        return f"{one_line(caption)}\n\n{markdown_table(heads, lines, first_right=1)}"
    return _latex(columns, lines, caption)


def _records(table: Table) -> Iterator[Record]:
    """Yield all records of a table."""
    for cell in table.cells:
        yield from cell.records


def _columns(table: Table) -> list[_Column]:
    """Return a column per score of the table.

    Over the columns of a benchmark stands its name, or the title with protocol and data if the table has several.
    """
    benchmarks: dict[str, str] = {}  # head of a column → benchmark
    for row in table.rows.values():
        for head, cell in row.items():
            for record in cell.records:
                benchmarks[head] = record.column.benchmark
    titles: dict[str, set[str]] = {}  # benchmark → titles of its blocks
    for title, scores in table.blocks.items():
        for head in scores:
            if head in benchmarks:
                titles.setdefault(benchmarks[head], set()).add(title)
    columns = []
    for title, scores in table.blocks.items():
        for head, score in scores.items():
            benchmark = benchmarks.get(head)
            if benchmark is None:  # a column of published numbers alone
                benchmark, _, _ = title.partition(" ")
            is_only = len(titles.get(benchmark, ())) < 2
            columns.append(_Column(head, benchmark if is_only else title, score))
    return columns


def _features(record: Record) -> str:
    """Return stage and stride of a record in words."""
    words = list(filter(None, [record.stage.layer]))
    if record.stage.stride is not None:
        words.append(f"stride {record.stage.stride}")
    return ", ".join(words)


def _named_rows(table: Table, names: Mapping[str, str]) -> dict[str, Mapping[str, Cell]]:
    """Return the rows under the names to print."""
    used: set[str] = set()
    all_features = set(map(_features, _records(table)))
    rows: dict[str, Mapping[str, Cell]] = {}
    for full_name, row in table.rows.items():
        printed = full_name
        for record in _records_of(row)[:1]:
            printed = record.row or record.result.network.row
        features = ", ".join(dict.fromkeys(map(_features, _records_of(row))))
        if len(all_features) > 1 and features and features not in printed:
            printed = f"{printed} ({features})"
        given = sorted(_names_of(full_name, row) & names.keys())
        if len({names[name] for name in given}) > 1:
            raise ValueError(f"--name {' and --name '.join(given)}: both name the row {full_name}; give it one name")
        for name in given:
            used.add(name)
            printed = names[name]
        if printed in rows:
            raise ValueError(f"two rows are called {printed!r}: give them names, --name {full_name!r}=NAME")
        rows[printed] = row
    unknown = [name for name in names if name not in used]
    if unknown:
        raise ValueError(f"--name {unknown[0]}: no such row; the rows are {'; '.join(table.rows)}")
    return rows


def _records_of(row: Mapping[str, Cell]) -> list[Record]:
    """Return the records of a row; none for a published row."""
    records: list[Record] = []
    for cell in row.values():
        records += cell.records
    return records


def _names_of(full_name: str, row: Mapping[str, Cell]) -> set[str]:
    """Return the texts that name a row: its name, its network, or the name of a published row without its source."""
    records = _records_of(row)
    if not records:
        return {full_name, full_name.partition(" [")[0]}
    network = records[0].result.network
    return {full_name, records[0].row or network.row, network.name, network.row, network.spec}


def read_names(texts: Sequence[str], table: Table) -> dict[str, str]:
    """Read texts `SPEC=NAME`, in which both parts may contain `=`: SPEC is a row of the table.

    Args:
        texts: the words of the command line.
        table: the scores.

    Raises:
        ValueError: for a text without `=`, or two names of a row.
    """
    known: set[str] = set()
    for full_name, row in table.rows.items():
        known |= _names_of(full_name, row)
    names: dict[str, str] = {}
    for text in texts:
        begun = [name for name in known if name and text.startswith(f"{name}=")]
        spec = max(begun, key=len, default="") or text.rpartition("=")[0]
        name = text.removeprefix(f"{spec}=")
        if not spec or not name:
            raise ValueError(f"--name {text}: write SPEC=NAME, as --name last.ckpt=Ours")
        if spec in names:
            raise ValueError(f"--name {spec}: is given twice; a row has one name")
        names[spec] = name
    return names


def _text(cell: Cell | None, best: str | None, intervals: bool) -> str:
    """Return a cell: mean ± deviation over seeds [interval]; the best mean in bold, as Markdown."""
    if cell is None:
        return DASH
    text = percent(cell.mean)
    if text == best:
        text = f"**{text}**"
    return cell.with_uncertainty(text, intervals)


def _caption(table: Table, intervals: bool) -> str:
    """Return the caption: protocol and data of each benchmark, features, seeds."""
    said: dict[tuple[str, str], None] = {}
    counts = set()
    features = set()
    for cell in table.cells:
        counts.add(len(cell.records))
        for record in cell.records:
            features.add(_features(record))
            said[_data(record), record.stage.protocol.shared_name] = None
    sentences = ["Scores in per cent."]
    for data, protocol in said:
        sentences.append(f"{data}: protocol {protocol}." if protocol else f"{data}, no protocol.")
    shared = next(iter(features), "")
    if len(features) == 1 and shared:
        sentences.append(f"Features: {shared}.")
    if max(counts, default=0) > 1:
        sentences.append("Mean ± standard deviation over seeds.")
    if intervals:
        sentences.append(f"Brackets: 95 % intervals ({HOW}).")
    return " ".join(sentences)


def _data(record: Record) -> str:
    """Return the data of a record in words: a whole test set has its name, other data a number of sequences."""
    result = record.result
    if result.on_test_set and result.benchmark in DATA_SETS:
        return f"{result.benchmark} is {DATA_SETS[result.benchmark]}"
    return f"{result.benchmark}, {len(result.sequences) or '?'} sequences"


def _latex(columns: list[_Column], lines: list[list[str]], caption: str) -> str:
    """Return a table environment with booktabs; the data sets stand over their columns."""
    blocks: dict[str, int] = {}
    for column in columns:
        blocks[column.block] = blocks.get(column.block, 0) + 1
    over = []
    rules = []
    first = 2
    for block, count in blocks.items():
        over.append(rf"\multicolumn{{{count}}}{{c}}{{{latex_text(block)}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + count - 1}}}")
        first += count
    heads = []
    for column in columns:
        short = HEADS.get(column.score, column.score)
        heads.append(LATEX_HEADS.get(column.score, latex_text(short)))
    begin = rf"\begin{{tabular}}{{l{'c' * len(columns)}}}"
    parts = [r"\begin{table}", r"\centering", begin, r"\toprule"]
    parts += [rf" & {' & '.join(over)} \\", " ".join(rules), rf" & {' & '.join(heads)} \\", r"\midrule"]
    for name, *cells in lines:
        parts.append(latex_row([latex_text(name), *map(_latex_cell, cells)]))
    parts += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{latex_text(caption)}}}", r"\end{table}"]
    return "\n".join(parts) + "\n"


def _latex_cell(text: str) -> str:
    """Return a cell of Markdown as LaTeX."""
    before, bold, after = text.partition("**")
    if not bold:
        return latex_text(text)
    inside, _, after = after.partition("**")
    return rf"{latex_text(before)}\textbf{{{latex_text(inside)}}}{latex_text(after)}"
