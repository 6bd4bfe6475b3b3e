"""Run a table of trainings and evaluations that differ by a few flags, over seeds, and gather its scores."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.reading.files import write_atomically

from ..command_line.configs import find_config
from ..folder_lock import FolderInUse, FolderLock
from ..results.rendering import render
from ..results.statistics import FEWEST_SEEDS

if TYPE_CHECKING:  # pydantic would double the time of `--help`
    from ..results.records import Cell, Record, Table
    from .study_plan import Step, Study, StudyRow

CLI = Path(__file__).resolve().parents[2] / "cli.py"


def command(args: Sequence[str]) -> None:
    """Run `vidcorr study` with its arguments.

    Raises:
        ValueError: for a user's mistake, or if a row failed; one line.
    """
    parser = argparse.ArgumentParser(prog="vidcorr study", description=__doc__)
    parser.add_argument("study", help="YAML file, or the name of one that comes with vidcorr (studies/…)")
    parser.add_argument("--output", type=Path, default=None, help="folder of the runs (default: studies/NAME[-small])")
    parser.add_argument("--small", action="store_true", help="use the small scale: minutes per row on a CPU")
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help="rows to run (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=None, help="seeds to run, instead of the study's")
    parser.add_argument("--print", action="store_true", help="print one shell line per training, and run nothing")
    parser.add_argument("--table", action="store_true", help="write the table from existing results, and run nothing")
    words: dict[str, Any] = {"type": shlex.split, "default": [], "metavar": "FLAGS"}
    parser.add_argument("--train-flags", **words, help="flags added to every training, as one string")
    parser.add_argument("--evaluate-flags", **words, help="flags added to every evaluation, as one string")
    flags = parser.parse_args(list(args))

    from .study_plan import read_study

    path = find_config(flags.study)
    study = read_study(path, small=flags.small)
    output = flags.output or Path("studies") / (f"{path.stem}-small" if flags.small else path.stem)
    chosen: list[tuple[StudyRow, int]] = []
    for row in [study.row(name) for name in flags.only] or study.rows:
        # a row with its own seeds has no others
        seeds = [seed for seed in flags.seeds or study.seeds_of(row) if not row.seeds or seed in row.seeds]
        if not seeds:
            print(f"{row.name}: left out, it has the seeds {', '.join(map(str, row.seeds))} only", file=sys.stderr)
        chosen += [(row, seed) for seed in dict.fromkeys(seeds)]
    study.seed_flags += tuple(flags.train_flags)
    study.evaluations = {name: (*own, *flags.evaluate_flags) for name, own in study.evaluations.items()}
    if flags.print:
        # a line for each training, `fit`, its row's evaluations, then those of the rows that are `of` it: no line needs
        # another to have ended, so a scheduler may run them in any order or together
        lines: dict[Path, dict[str, None]] = {}
        for row, seed in sorted(chosen, key=lambda one: one[0].of is not None):
            for step in study.steps(row, seed, output):
                lines.setdefault(step.folder, {})[step.line] = None
        print("\n".join(" && ".join(line) for line in lines.values()))
        return
    failed = [] if flags.table else run_missing(study, chosen, output)
    table = study_table(study, output)
    print(text := study_markdown(study, table))
    if output.is_dir():
        write_atomically(output / "table.md", text + "\n")
        write_atomically(output / "table.csv", render(table, "csv"))
        print(f"{output / 'table.md'}, {output / 'table.csv'}")
    if failed:
        raise ValueError(f"{len(failed)} of {len(chosen)} runs failed: {'; '.join(failed)}")


# The commands


def run_missing(study: Study, chosen: Sequence[tuple[StudyRow, int]], output: Path) -> list[str]:
    """Run each step that has left no result yet, one after another; continue with the next row where one fails.

    A training that failed is not tried again for the rows that evaluate its checkpoints; these fail too. A row and seed
    that another process is running is left to it.

    Args:
        study: its steps.
        chosen: rows and seeds, in order.
        output: folder of the runs.

    Returns:
        A line for each row and seed that failed.
    """
    failures: dict[str, str] = {}  # command → why it failed
    failed = []
    for number, (row, seed) in enumerate(chosen, start=1):
        heading = f"[{number}/{len(chosen)}] {row.name}, seed {seed}"
        steps = study.steps(row, seed, output)
        try:
            with FolderLock(steps[0].folder):
                for step in steps:
                    if step.line in failures:
                        raise ValueError(failures[step.line])
                    if not step.is_done():
                        print(f"{heading}: {step.kind}", flush=True)
                        _run(step)
        except FolderInUse:
            print(f"{heading}: running elsewhere", flush=True)
        except ValueError as error:
            failures[step.line] = str(error)
            failed.append(f"{row.name}, seed {seed}: {error}")
    return failed


def _run(step: Step) -> None:
    """Run a step in a separate process.

    Raises:
        ValueError: if it failed, with its log and the last line of that.
    """
    step.folder.mkdir(parents=True, exist_ok=True)
    _write_record(step, "started")
    log = step.folder / f"{step.benchmark or 'train'}.log"
    with log.open("a") as file:
        process = subprocess.Popen([sys.executable, str(CLI), *step.arguments], stdout=file, stderr=file)
        try:
            status = process.wait()
        except KeyboardInterrupt as stopped:
            process.terminate()  # it finishes its step and saves; after Ctrl-C it is at it already
            process.wait()
            stopped.args = ("run the same command again to resume",)
            raise
    if status in (130, -2, 143, -15):
        raise KeyboardInterrupt("a training or evaluation of the study was stopped; run the same command to resume")
    if status:
        last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-1:]
        raise ValueError(f"{step.kind}, {log}: {last[0] if last else f'status {status}'}")
    _write_record(step, "done")


def _write_record(step: Step, state: str) -> None:
    """Record the arguments of a training; the results of an evaluation hold its own."""
    if step.benchmark is None:
        write_atomically(step.record, json.dumps({"state": state, "words": step.arguments}) + "\n")


# The table


def study_table(study: Study, output: Path) -> Table:
    """Gather the results that the steps of a study have left below its folder, also of seeds that it does not list.

    A row is a training, of which its seeds are a sample, and a column an evaluation; the paper's numbers follow it.

    Raises:
        ValueError: if a file is damaged, or has no score of the study's name; one line.
    """
    from ..results.records import Cell, Table, cell_of, read_scores

    rows: dict[str, dict[str, Cell]] = {}
    for row in study.rows:
        found: dict[str, list[Record]] = {}
        names = [folder.name.removeprefix("seed-") for folder in study.folder_of(row, output).glob("seed-*")]
        for seed in sorted(int(name) for name in names if name.isdecimal()):
            for step in study.steps(row, seed, output):
                if step.evaluation is not None and (folder := step.result()) is not None:
                    record = read_scores([folder], study.score)[0]
                    column = record.column._replace(benchmark=step.evaluation)  # each row has its own name, see `Step`
                    found.setdefault(step.evaluation, []).append(replace(record, column=column, seed=seed))
        # one seed of a model that is not trained is that network, all else a sample
        rows[row.name] = {name: cell_of(own, not row.model or len(own) > 1) for name, own in found.items()}
        paper = {f"{name}, paper": Cell((value / 100,)) for name, value in row.published.items()}
        rows[row.name] |= paper
    heads = [head for name in study.evaluations for head in (name, f"{name}, paper")]
    filled = tuple(head for head in heads if head in study.evaluations or any(head in row for row in rows.values()))
    return Table(filled, rows).with_differences(study.base)


def study_markdown(study: Study, table: Table) -> str:
    """Return the table as Markdown, with the protocols and data of each evaluation."""
    heading = f"## {study.title}\n\n"
    if study.source:
        scale = " The numbers of the paper are at its own scale." if len(table.heads) > len(study.evaluations) else ""
        heading += f"{study.source}.{scale}\n\n"
    heading += f"{study.score or 'The first score'}; with fewer than {FEWEST_SEEDS} seeds a difference is not tested.\n"
    parts = [heading, render(table)]
    for evaluation in study.evaluations:
        cells = [row[evaluation] for row in table.rows.values() if evaluation in row]
        conditions = sorted({one.column.conditions for cell in cells for one in cell.records})
        if conditions:
            parts.append(f"{evaluation}: {'; '.join(conditions)}.\n")
        if len(conditions) > 1:
            parts[-1] += "Rows scored by different protocols or on different data are not compared.\n"
    return "\n".join(parts).rstrip()
