"""Run a table of trainings and evaluations that differ by a few flags, over seeds, and gather the scores."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.writing.files import write_atomically

from ..command_line.configs import find_config
from ..process.folder_lock import FolderInUse, FolderLock
from ..results.rendering import render
from ..results.statistics import FEWEST_SEEDS

if TYPE_CHECKING:  # pydantic would double the time of `--help`
    from ..results.records import Cell, Record, Table
    from .study_plan import Step, Study, StudyRow

CLI = Path(__file__).resolve().parents[2] / "cli.py"


def command(args: Sequence[str]) -> None:
    """Run `vidcorr study` with its arguments.

    Raises:
        ValueError: for a user's mistake, or if a row failed.
    """
    parser = argparse.ArgumentParser(prog="vidcorr study", description=__doc__)
    parser.add_argument("study", help="YAML file, or a study of vidcorr (studies/…)")
    parser.add_argument("--output", type=Path, default=None, help="folder of the runs (default: studies/NAME[-small])")
    parser.add_argument("--small", action="store_true", help="use the small scale: minutes per row on a CPU")
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help="rows to run (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=None, help="seeds to run (default: the study's)")
    parser.add_argument("--print", action="store_true", help="print a shell line per training, and run nothing")
    parser.add_argument("--table", action="store_true", help="write the table from existing results, and run nothing")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="NAME",
        help="your class that checkpoints may name",
    )
    words: dict[str, Any] = {"type": shlex.split, "default": [], "metavar": "FLAGS"}
    parser.add_argument("--train-flags", **words, help="flags added to every training, as a quoted string")
    parser.add_argument("--evaluate-flags", **words, help="flags added to every evaluation, as a quoted string")
    flags = parser.parse_args(list(args))

    from .study_plan import read_study

    path = find_config(flags.study)
    study = read_study(path, small=flags.small)
    output = flags.output or Path("studies") / (f"{path.stem}-small" if flags.small else path.stem)
    chosen: list[tuple[StudyRow, int]] = []
    for row in [study.row(name) for name in flags.only] or study.rows:
        # a row with its own seeds has no others
        seeds = [seed for seed in flags.seeds or row.seeds or study.seeds if not row.seeds or seed in row.seeds]
        if not seeds:
            print(f"{row.name}: left out, it has the seeds {', '.join(map(str, row.seeds))} only", file=sys.stderr)
        chosen += [(row, seed) for seed in dict.fromkeys(seeds)]
    allowed = [word for name in flags.allow for word in ("--allow", name)]
    study.seed_flags += (*flags.train_flags, *allowed)
    study.evaluations = {name: (*own, *flags.evaluate_flags, *allowed) for name, own in study.evaluations.items()}
    if flags.print:
        # a line per training: `fit`, the evaluations of its row, then of the rows that are `of` it. Lines do not depend
        # on each other, so a scheduler may run them in any order or together
        lines: dict[Path, dict[str, None]] = {}
        for row, seed in sorted(chosen, key=lambda pair: pair[0].of is not None):
            for step in study.steps(row, seed, output):
                lines.setdefault(step.run, {})[step.line] = None
        print("\n".join(" && ".join(line) for line in lines.values()))
        return
    failed = {} if flags.table else run_missing(study, chosen, output)
    table = study_table(study, output)
    print(text := study_markdown(study, table))
    if output.is_dir():
        write_atomically(output / "table.md", text + "\n")
        write_atomically(output / "table.csv", render(table, "csv"))
        print(f"{output / 'table.md'}, {output / 'table.csv'}, {_write_page(study, table, output)}")
    if failed:
        number = sum(map(len, failed.values()))
        said = "; ".join(f"{', '.join(rows)}: {reason}" for reason, rows in failed.items())
        raise ValueError(f"{number} of {len(chosen)} runs failed: {said}")


# The commands


def run_missing(study: Study, chosen: Sequence[tuple[StudyRow, int]], output: Path) -> dict[str, list[str]]:
    """Run all steps without a result, in order; a failed step fails its row, and the next row runs.

    Rows that evaluate checkpoints of a failed training fail too, without another try. Rows and seeds that another
    process runs are skipped.

    Args:
        study: the study.
        chosen: rows and seeds, in order.
        output: folder of the runs.

    Returns:
        Reason → failed rows and seeds.

    Raises:
        ValueError: if a config, class, argument or folder of a step is missing; before the first step.
    """
    planned = {(row.name, seed): study.steps(row, seed, output) for row, seed in chosen}
    if missing := list(dict.fromkeys(line for steps in planned.values() for line in missing_for(steps))):
        raise ValueError("; ".join(missing))
    failures: dict[str, StepFailed] = {}  # command → why it failed
    failed: dict[str, list[str]] = {}
    for number, ((name, seed), steps) in enumerate(planned.items(), start=1):
        heading = f"[{number}/{len(planned)}] {name}, seed {seed}"
        try:
            with FolderLock(steps[0].run):
                for step in steps:
                    if step.line in failures:
                        raise failures[step.line]
                    if not step.is_done:
                        print(f"{heading}: {step.kind}", flush=True)
                        _run(step)
        except FolderInUse:
            print(f"{heading}: running elsewhere", flush=True)
        except StepFailed as error:
            failures[step.line] = error
            first = next((reason for reason in failed if reason.startswith(f"{error.reason} (")), str(error))
            failed.setdefault(first, []).append(f"{name}, seed {seed}")
    return failed


class StepFailed(ValueError):
    """A step ended with an error.

    Args:
        reason: last line of its output.
        log: file of its output.
    """

    def __init__(self, reason: str, log: Path) -> None:
        super().__init__(f"{reason} ({log})")
        self.reason = reason


def missing_for(steps: Sequence[Step]) -> Iterator[str]:
    """Yield a line per missing config, class, argument or data folder of steps that are not done.

    A folder that a training generates (`Synthetic…`) may be missing.
    """
    from ..command_line.arguments import merge, mistakes_in, read_arguments
    from ..command_line.endings import UsageError

    made: list[Path] = []
    for step in steps:
        try:
            given, _ = read_arguments(step.arguments[1:])
            config = merge(given)
        except UsageError as error:
            yield str(error)
            continue
        if not step.is_done:
            yield from mistakes_in(config, given)
        trainer = config.get("trainer") or {}
        for entry in (config.get("data"), *trainer.get("callbacks", [])):
            kind = str(entry.get("class_path", "")).rpartition(".")[2] if isinstance(entry, dict) else ""
            arguments = (entry.get("init_args") or {}) if kind else {}
            for key in arguments.keys() & {"root", "source"}:
                path = Path(str(arguments[key])).expanduser()
                if kind.startswith("Synthetic"):
                    made.append(path)
                elif not step.is_done and not path.exists() and not any(map(path.is_relative_to, made)):
                    yield f"{arguments[key]}: no such folder ({kind}, {key})"


def _run(step: Step) -> None:
    """Run a step in a separate process.

    Raises:
        StepFailed: if it failed.
    """
    from .study_plan import DONE

    step.folder.mkdir(parents=True, exist_ok=True)
    log = step.folder / f"{step.arguments[0]}.log"
    with log.open("a") as file:
        process = subprocess.Popen([sys.executable, str(CLI), *step.arguments], stdout=file, stderr=file)
        try:
            status = process.wait()
        except KeyboardInterrupt as stopped:
            process.terminate()  # it finishes its step and saves; after Ctrl-C it already does
            process.wait()
            stopped.args = ("run the same command again to resume",)
            raise
    if status in (130, -2, 143, -15):
        raise KeyboardInterrupt("a training or evaluation of the study was stopped; run the same command to resume")
    if status:
        last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-1:]
        raise StepFailed(f"{step.kind}: {last[0] if last else f'status {status}'}", log)
    if step.evaluation is None:
        write_atomically(step.folder / DONE, step.line + "\n")


# The table


def study_table(study: Study, output: Path) -> Table:
    """Make the table of a study from all results in its folder, also of seeds that the study does not list.

    A row is a training over its seeds, a column an evaluation, followed by a column of the paper's scores.

    Raises:
        ValueError: if a result is damaged, or lacks the study's score.
    """
    from ..results.records import Cell, Table, cell_of, score_of
    from ..results.result import Result

    rows: dict[str, dict[str, Cell]] = {}
    for row in study.rows:
        found: dict[str, list[Record]] = {}
        for seed, steps in _steps_by_seed(study, row, output):
            for step in steps:
                if step.evaluation is not None:
                    record = score_of(Result.load(step.folder), study.score, step.folder)[0]
                    found.setdefault(step.evaluation, []).append(replace(record, seed=seed))
        # a single seed of an untrained model stands for a network, all other seeds are samples
        rows[row.name] = {name: cell_of(records, not row.model or len(records) > 1) for name, records in found.items()}
        paper = {f"{name}, paper": Cell((value / 100,)) for name, value in row.published.items()}
        rows[row.name] |= paper
    heads = [head for name in study.evaluations for head in (name, f"{name}, paper")]
    filled = tuple(head for head in heads if head in study.evaluations or any(head in row for row in rows.values()))
    return Table(filled, rows).with_differences(study.base)


def _steps_by_seed(study: Study, row: StudyRow, output: Path) -> Iterator[tuple[int, list[Step]]]:
    """Yield the seeds of a row on disk, with their finished steps."""
    names = {folder.name.split("-")[1] for folder in study.folder_of(row, output).glob("seed-*")}
    for seed in sorted(int(name) for name in names if name.isdecimal()):
        yield seed, [step for step in study.steps(row, seed, output) if step.is_done]


def _write_page(study: Study, table: Table, output: Path) -> Path:
    """Write study.html, with curves of the trainings that ran benchmarks."""
    from ..experiments.study_page import write_study_page
    from .figure import figure

    done = [
        (row, seed, step) for row in study.rows for seed, steps in _steps_by_seed(study, row, output) for step in steps
    ]
    reports: dict[tuple[str, str], dict[int, Path]] = {}
    for row, seed, step in done:
        if step.evaluation and (page := step.folder / "report.html").is_file():
            reports.setdefault((row.name, step.evaluation), {})[seed] = page
    curves = None
    runs = list(dict.fromkeys(step.run for _, _, step in done if step.evaluation is None))
    with contextlib.suppress(ValueError):  # no training ran benchmarks
        curves = figure([run for run in runs if any(run.glob("**/benchmarks/*/epoch=*"))], output / "curves.png")
    return write_study_page(
        output / "study.html", study.title, table, reports, [study.source] * bool(study.source), curves
    )


def study_markdown(study: Study, table: Table) -> str:
    """Return the table as Markdown, with the protocols and data of the evaluations."""
    heading = f"## {study.title}\n\n"
    if study.source:
        scale = " The numbers of the paper are at its own scale." if len(table.heads) > len(study.evaluations) else ""
        heading += f"{study.source}.{scale}\n\n"
    heading += f"{study.score or 'The first score'}; with fewer than {FEWEST_SEEDS} seeds a difference is not tested.\n"
    parts = [heading, render(table)]
    for evaluation in study.evaluations:
        cells = [row[evaluation] for row in table.rows.values() if evaluation in row]
        conditions = sorted({record.column.conditions for cell in cells for record in cell.records})
        if conditions:
            parts.append(f"{evaluation}: {'; '.join(conditions)}.\n")
        if len(conditions) > 1:
            parts[-1] += "Rows scored by different protocols or on different data are not compared.\n"
    return "\n".join(parts).rstrip()
