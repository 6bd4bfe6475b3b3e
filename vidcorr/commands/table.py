"""Gather results into a table in Markdown, CSV or LaTeX, with a column per benchmark and protocol."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..results.rendering import FORMATS, render
from ..videos.files import write_atomically


def command(args: Sequence[str]) -> None:
    """Run `vidcorr table`; a user's mistake raises ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr table", description=__doc__)
    folders = "folder of results, or a folder above; with NAME=, its seeds and folders of the same NAME are a row"
    parser.add_argument("folders", nargs="+", metavar="[NAME=]FOLDER", help=folders)
    shown = "score to show, as J-Mean (may be repeated)"
    parser.add_argument("--score", action="append", default=[], metavar="KEY", help=shown)
    parser.add_argument("--base", default="", metavar="ROW", help="base row; other rows show their differences from it")
    parser.add_argument("--published", action="store_true", help="add published scores of the same data and protocol")
    parser.add_argument("--format", choices=FORMATS, default="md", help="format of the printed table (default: md)")
    parser.add_argument("--output", type=Path, nargs="+", default=[], help="files to write: .md, .csv or .tex")
    study = "show the rows of this study, from the folder of its runs"
    parser.add_argument("--study", metavar="FILE", help=study)
    flags = parser.parse_args(list(args))
    if wrong := [path for path in flags.output if path.suffix.removeprefix(".") not in FORMATS]:
        raise ValueError(f"--output {wrong[0]}: the name has to end in .md, .csv or .tex")

    if flags.study:
        if len(flags.folders) > 1 or flags.score or flags.published or flags.base:
            raise ValueError("table --study: give a single folder, without --score and --base, which are the study's")

        from ..experiments.study import read_study, study_table

        table = study_table(read_study(flags.study), Path(flags.folders[0]))
    else:
        from ..experiments.table import gather_results

        table = gather_results(flags.folders, flags.score, flags.published, flags.base)
    for path in flags.output:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, render(table, path.suffix.removeprefix(".")))
    print(render(table, flags.format), end="")
