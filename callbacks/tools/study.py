"""Run a table of trainings and evaluations that differ by a few flags, over seeds, and gather its scores."""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datamodules.reading.files import write_atomically

from ..command_line.configs import find_config
from ..folder_lock import FolderInUse, FolderLock
from ..results.records import Cell, Record, Table, cell_of, read_scores
from ..results.rendering import render
from ..results.statistics import FEWEST_SEEDS
from ..results.stored import Checked, read_as, read_run
from .study_plan import FOLDER, Step, Study, StudyRow, read_study

CLI = Path(__file__).resolve().parents[2] / "cli.py"
TRAINED = "trained.json"
"""File with the arguments of a training, and whether it has only "started" or is "done"."""


class StepRecord(Checked):
    """The content of `TRAINED`."""

    words: list[str]
    state: str = "done"


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
    path = find_config(flags.study)
    study = read_study(path, small=flags.small)
    output = flags.output or Path("studies") / (f"{path.stem}-small" if flags.small else path.stem)
    rows = [study.row(name) for name in flags.only] or list(study.rows)
    chosen = [(row, seed) for row in rows for seed in _chosen_seeds(study, row, flags.seeds)]
    study.seed_flags += tuple(flags.train_flags)
    study.evaluations = {name: (*own, *flags.evaluate_flags) for name, own in study.evaluations.items()}
    if flags.print:
        print("\n".join(plain_commands(study, chosen, output)))
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


def _chosen_seeds(study: Study, row: StudyRow, wanted: Sequence[int] | None) -> list[int]:
    """Return the seeds of a row to run: those wanted, but of a row with its own seeds only these."""
    seeds = [seed for seed in wanted or study.seeds_of(row) if not row.seeds or seed in row.seeds]
    if not seeds:
        print(f"{row.name}: left out, it has the seeds {', '.join(map(str, row.seeds))} only", file=sys.stderr)
    return list(dict.fromkeys(seeds))


# The commands


def plain_commands(study: Study, chosen: Sequence[tuple[StudyRow, int]], output: Path) -> list[str]:
    """Return a shell line for each training: `fit`, its row's evaluations, then those of the rows that are `of` it.

    No line needs another to have ended, so a scheduler may run them in any order or together. A model that is not
    trained has a line of its own. The arguments are those of `run_missing`.
    """
    lines: dict[Path, dict[str, None]] = {}
    for row, seed in sorted(chosen, key=lambda one: one[0].of is not None):
        for step in study.steps(row, seed, output):
            lines.setdefault(step.folder, {})[step.line] = None
    return [" && ".join(line) for line in lines.values()]


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
                    if not _is_done(step):
                        print(f"{heading}: {step.kind}", flush=True)
                        _run(step)
        except FolderInUse:
            print(f"{heading}: running elsewhere", flush=True)
        except ValueError as error:
            failures[step.line] = str(error)
            failed.append(f"{row.name}, seed {seed}: {error}")
    return failed


def _is_done(step: Step) -> bool:
    """Return whether a step has ended well before; a training without a record of it has not.

    Raises:
        ValueError: if it has a checkpoint or a result by other arguments, or a damaged file; one line.
    """
    place: Path | None = step.folder
    if step.benchmark is None:
        file = step.folder / TRAINED
        record = read_as(file, "record of a study", StepRecord) if file.is_file() else {"words": [], "state": "none"}
        before, done = record["words"], record.get("state", "done") == "done"
        to_keep = done or any(step.folder.rglob("*.ckpt"))
    else:
        place = result_of(step)
        before = read_run(place).results.get("command", [])[1:] if place else []
        done = to_keep = place is not None
    before, now = (_without_folder(words) for words in (before or step.arguments, step.arguments))
    if to_keep and before != now:
        different = ", ".join(sorted({*before} ^ {*now})) or "in another order"
        raise ValueError(f"{place} is of other arguments ({different}): remove it, or give another --output")
    return done


def _without_folder(words: Sequence[str]) -> list[str]:
    return [word for flag, word in zip(("", *words), words, strict=False) if flag != FOLDER]


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
        write_atomically(step.folder / TRAINED, json.dumps({"state": state, "words": step.arguments}) + "\n")


# The table


def result_of(step: Step) -> Path | None:
    """Return the newest folder of results of an evaluation, None where there is none."""
    files = step.folder.glob(f"**/benchmarks/{step.benchmark}/**/results.json")
    newest = max(files, key=lambda file: file.stat().st_mtime_ns, default=None)
    return newest.parent if newest else None


def study_table(study: Study, output: Path) -> Table:
    """Gather the results that the steps of a study have left below its folder, also of seeds that it does not list.

    A row is a training, of which its seeds are a sample, and a column an evaluation; the paper's numbers follow it.

    Raises:
        ValueError: if a file is damaged, or has no score of the study's name; one line.
    """
    rows: dict[str, dict[str, Cell]] = {}
    for row in study.rows:
        found: dict[str, list[Record]] = {}
        names = [folder.name.removeprefix("seed-") for folder in study.folder_of(row, output).glob("seed-*")]
        for seed in sorted(int(name) for name in names if name.isdecimal()):
            for step in study.steps(row, seed, output):
                if step.evaluation is not None and (folder := result_of(step)) is not None:
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
        text = f"{evaluation}: {'; '.join(conditions)}.\n" if conditions else ""
        if len(conditions) > 1:
            text += "Rows scored by different protocols or on different data are not compared.\n"
        parts += [text] if text else []
    return "\n".join(parts).rstrip()
