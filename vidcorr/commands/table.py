"""Gather results into a table: text in a terminal, Markdown, CSV or LaTeX, with a column per benchmark and protocol."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..experiments.benchmark_choice import add_list_flag
from ..near_names import CommandParser

if TYPE_CHECKING:  # pydantic would double the time of `--help`
    from ..results.records import ScoreRecord
    from ..results.rendering import Table


def command(args: Sequence[str]) -> None:
    """Run `vidcorr table`; a user's mistake raises ValueError or OSError."""
    flags = _parser().parse_args(list(args))

    from ..experiments.study import read_study, study_table
    from ..results.rendering import printed

    if flags.study:
        if len(flags.folders) > 1:
            raise ValueError(f"table --study: name one folder, that of the study's runs; got {len(flags.folders)}")
        if flags.published:
            raise ValueError("table --study: a study states its published rows: leave --published out")
        shown = study_table(read_study(flags.study), Path(flags.folders[0]), flags.score)
    else:
        shown = table(flags.folders, flags.score, flags.published)
    if flags.base:
        shown = shown.with_differences(flags.base)
    print(printed(shown, flags.format, flags.intervals), end="")


def table(folders: Sequence[str | Path], scores: Sequence[str] = (), with_published: bool = False) -> Table:
    """Make the table of the results in folders: a row per network, a column per benchmark and protocol.

    Args:
        folders: folders of benchmark results, or folders above; the last evaluation of each training counts.
            `NAME=FOLDER` names the row; results with different seeds below it, and several folders with the same name,
            are seeds of the row.
        scores: names, for example `J&F-Mean`; by default up to three main scores of every benchmark.
        with_published: add published rows by the protocol of a whole test set.

    Raises:
        ValueError: if no result has any of the scores, a file is damaged, or a named folder holds two results of a seed
            for the same column.
    """
    from ..results.records import named_results, records_of
    from ..results.tabulate import tabulate

    records: dict[tuple[str, Path, str], ScoreRecord] = {}
    for text in folders:
        name, results = named_results(text)  # of a training only the last evaluation
        of_folder: list[ScoreRecord] = []
        for place, result in results.items():
            of_folder += records_of(result, scores or result.main_scores(), name, place)
        if name:
            _refuse_repeated(str(text), of_folder)
        # a result that is below two of the folders counts once
        records |= {(name, record.place, record.key): record for record in of_folder}
    if not records:
        raise ValueError(f"table: no result in {', '.join(map(str, folders))} has {' or '.join(scores) or 'a score'}")
    return tabulate(records.values(), with_published)


def _refuse_repeated(text: str, records: Sequence[ScoreRecord]) -> None:
    """Refuse a named folder with two results of a seed for the same column.

    Args:
        text: the folder, as the user names it.
        records: scores of the results below it.
    """
    places: dict[tuple[object, ...], Path] = {}
    for record in records:
        cell_and_seed = (record.name, record.result.stage.layer, record.result.stage.stride, record.column, record.seed)
        first = places.setdefault(cell_and_seed, record.place)
        if first != record.place:
            of_seed = "" if record.seed is None else f" of seed {record.seed}"
            twice = f"two results{of_seed} of {record.column.benchmark}, {first} and {record.place}"
            raise ValueError(f"table: {text} holds {twice}; name a single folder")


def _parser() -> CommandParser:
    parser = CommandParser(prog="vidcorr table", description=__doc__)
    folders = "folder of results, or a folder above; all results under one NAME are one row, their seeds are averaged"
    parser.add_argument("folders", nargs="+", metavar="[NAME=]FOLDER", help=folders)
    add_list_flag(parser, "--score", "KEY", "scores, as J-Mean (default: three of each benchmark, or the study's)")
    parser.add_argument("--base", default="", metavar="ROW", help="base row; other rows show their differences from it")
    add_format_flag(parser)
    published = "add published rows of the same whole test set and protocol"
    parser.add_argument("--published", action="store_true", help=published)
    study = "show the rows of this study, from the folder of its runs"
    parser.add_argument("--study", metavar="FILE", help=study)
    return parser


def add_format_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a printed table."""
    form = "format of the printed table (default: text in a terminal, md in a file or pipe); tex needs booktabs and "
    form += "adjustbox, hub is YAML for .eval_results/ of a model page"
    parser.add_argument("--format", choices=["text", "md", "csv", "tex", "hub"], help=form)
    intervals = "print 95 %% intervals (default: in all formats but tex)"
    parser.add_argument("--intervals", action=argparse.BooleanOptionalAction, help=intervals)
