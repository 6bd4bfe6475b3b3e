"""Run a table of trainings and evaluations that differ by a few flags, over seeds, and gather the scores."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.writing.files import write_atomically

from ..command_line.configs import find_config
from ..experiments.training import Training
from ..results.rendering import render
from ..results.statistics import FEWEST_SEEDS

if TYPE_CHECKING:  # pydantic and torch would slow `--help` down
    from ..experiments.job import Job
    from ..experiments.runner import Runner
    from ..experiments.store import Store
    from ..results.records import Cell, Record, Table
    from .study_plan import Study, StudyEvaluation, StudyRow

    StudyJobs = list[Training | StudyEvaluation]


def command(args: Sequence[str]) -> None:
    """Run `vidcorr study` with its arguments.

    Raises:
        ValueError: for a user's mistake, or if a training or an evaluation failed.
    """
    flags = _parser().parse_args(list(args))

    from ..experiments.store import Store
    from .study_plan import read_study

    path = find_config(flags.study)
    study = read_study(path, small=flags.small)
    store = Store(flags.output or Path("studies") / (f"{path.stem}-small" if flags.small else path.stem))
    allowed = [word for name in flags.allow for word in ("--allow", name)]
    study.seed_flags += (*flags.train_flags, *allowed)
    study.evaluations = {name: (*own, *flags.evaluate_flags, *allowed) for name, own in study.evaluations.items()}
    jobs = jobs_of(study, flags.only, flags.seeds)
    if flags.print:
        print(*shell_lines(jobs, store, args), sep="\n")
        return
    runner = None if flags.table else run_missing(jobs, store)
    _show(study, store)
    if runner is not None:
        runner.raise_failures(len(jobs))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vidcorr study", description=__doc__)
    parser.add_argument("study", help="YAML file, or a study of vidcorr (studies/…)")
    parser.add_argument("--output", type=Path, default=None, help="folder of the runs (default: studies/NAME[-small])")
    parser.add_argument("--small", action="store_true", help="use the small scale: minutes per row on a CPU")
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help="rows to run (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[], help="seeds to run (default: the study's)")
    parser.add_argument("--print", action="store_true", help="print a shell line per training, and run nothing")
    parser.add_argument("--table", action="store_true", help="write the table from existing results, and run nothing")
    allow = "your class that checkpoints may name"
    parser.add_argument("--allow", action="append", default=[], metavar="NAME", help=allow)
    words: dict[str, Any] = {"type": shlex.split, "default": [], "metavar": "FLAGS"}
    parser.add_argument("--train-flags", **words, help="flags added to every training, as a quoted string")
    parser.add_argument("--evaluate-flags", **words, help="flags added to every evaluation, as a quoted string")
    return parser


# The jobs


def jobs_of(study: Study, only: Sequence[str] = (), seeds: Sequence[int] = ()) -> StudyJobs:
    """Return the trainings and evaluations of rows and seeds, in the order of the study.

    Args:
        study: the study.
        only: names of rows; empty: all rows.
        seeds: seeds; empty: the study's. A row with its own seeds has no others, and is named on stderr.

    Raises:
        ValueError: for an unknown row.
    """
    jobs: StudyJobs = []
    for row in [study.row(name) for name in only] or study.rows:
        chosen = [seed for seed in seeds or row.seeds or study.seeds if not row.seeds or seed in row.seeds]
        if not chosen:
            print(f"{row.name}: left out, it has the seeds {', '.join(map(str, row.seeds))} only", file=sys.stderr)
        jobs += [job for seed in chosen for job in study.jobs(row, seed)]
    return list(dict.fromkeys(jobs))  # rows may share a training


def shell_lines(jobs: StudyJobs, store: Store, args: Sequence[str]) -> Iterator[str]:
    """Yield a command per training and per frozen network; a comment shows the command of the training.

    The commands do not depend on each other, so a scheduler may run them in any order or together.
    """
    runs: dict[Path, list[StudyEvaluation]] = {}
    for job in jobs:
        if not isinstance(job, Training):
            runs.setdefault(Path(job.folder).parent, []).append(job)
    for evaluations in runs.values():
        rows, training = dict.fromkeys(job.row for job in evaluations), evaluations[0].training
        chosen = ("--only", *rows, "--seeds", str(evaluations[0].seed))
        line = shlex.join(("vidcorr", "study", *(word for word in args if word != "--print"), *chosen))
        yield f"{line}  # {training.line(store.folder_of(training))}" if training else line


def run_missing(jobs: StudyJobs, store: Store) -> Runner:
    """Run all jobs that a store lacks; evaluations of a failed training are left out.

    Returns:
        The runner, with the failures.

    Raises:
        ValueError: if a config, class, argument or folder of a job is missing; before the first job.
    """
    from ..experiments.runner import Runner

    if missing := list(dict.fromkeys(mistakes_in_jobs(jobs, store))):
        raise ValueError("; ".join(missing))
    runner = Runner(store)
    for number, job in enumerate(jobs, start=1):
        if store.holds(job):
            continue
        if isinstance(job, Training):
            runner.train(job, f"[{number}/{len(jobs)}]")
        elif job.training is None or store.holds(job.training):
            with runner.attempt([job]):
                runner.run([evaluation_job(job, store)])
    return runner


def evaluation_job(evaluation: StudyEvaluation, store: Store) -> Job:
    """Return the job of an evaluation whose training is done.

    Raises:
        ValueError: for wrong arguments, or a training without a checkpoint.
    """
    from ..experiments.job import Job, NetworkSpec

    if evaluation.training is None:
        network = NetworkSpec.of_study(evaluation.model, evaluation.seed)
    else:
        network = NetworkSpec("", last_checkpoint(store.folder_of(evaluation.training)))
    network = replace(network, name=f"{evaluation.row}, seed {evaluation.seed}")
    benchmark = _benchmark_of(evaluation.arguments)
    return Job(network, benchmark, benchmark.protocol, evaluation.folder)


def last_checkpoint(folder: Path) -> str:
    """Return the path of the newest last.ckpt in the folder of a training.

    Raises:
        ValueError: if there is none.
    """
    from ..training.run_folder import last_checkpoints

    if not (found := last_checkpoints(folder)):
        raise ValueError(f"there is no last.ckpt in {folder}")
    return str(found[-1].path)


@cache  # so that a data set is opened once
def _benchmark_of(arguments: tuple[str, ...]) -> Any:
    """Return the last benchmark that arguments of `validate` name."""
    from ..command_line.arguments import merge, read_arguments
    from ..experiments.configured import Configured

    entry = merge(read_arguments(arguments)[0])["trainer"]["callbacks"][-1]
    return Configured("evaluate", entry["class_path"], entry.get("init_args") or {}).build()


def mistakes_in_jobs(jobs: StudyJobs, store: Store) -> Iterator[str]:
    """Yield a line per missing config, class, argument or data folder of jobs that a store lacks.

    A folder that a training generates (`Synthetic…`) may be missing.
    """
    from ..command_line.arguments import merge, mistakes_in, read_arguments
    from ..command_line.endings import UsageError

    made: list[Path] = []
    for job in jobs:
        try:
            given, _ = read_arguments(job.arguments)
            config = merge(given)
        except UsageError as error:
            yield str(error)
            continue
        is_done = store.holds(job)
        if not is_done:
            yield from mistakes_in(config, given)
            yield from () if isinstance(job, Training) else _mistakes_in_evaluation(job.name, config)
        for key, path, kind in _data_of(config):
            if kind.startswith("Synthetic"):
                made.append(path)
            elif not is_done and not path.exists() and not any(map(path.is_relative_to, made)):
                yield f"{path}: no such folder ({kind}, {key})"


def _mistakes_in_evaluation(name: str, config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line if the configuration of an evaluation is not that of a benchmark alone."""
    trainer = config.get("trainer") or {}
    others = sorted(config.keys() - {"trainer"} | {f"trainer.{key}" for key in trainer.keys() - {"callbacks"}})
    if others or not trainer.get("callbacks"):
        named = f", not --{others[0]}" if others else ""
        yield f"evaluation {name!r}: takes --config benchmarks/… and flags --trainer.callbacks.…{named}"


def _data_of(config: Mapping[str, Any]) -> Iterator[tuple[str, Path, str]]:
    """Yield the data folders of a configuration, as (argument, folder, class)."""
    trainer = config.get("trainer") or {}
    for entry in (config.get("data"), *trainer.get("callbacks", [])):
        kind = str(entry.get("class_path", "")).rpartition(".")[2] if isinstance(entry, dict) else ""
        arguments = (entry.get("init_args") or {}) if kind else {}
        for key in sorted(arguments.keys() & {"root", "source"}):
            yield key, Path(str(arguments[key])).expanduser(), kind


# The table


def study_table(study: Study, store: Store) -> Table:
    """Make the table of a study from all results in a store, also of seeds that the study does not list.

    A row is a training over its seeds, a column an evaluation, followed by a column of the paper's scores.

    Raises:
        ValueError: if a result is damaged, or lacks the study's score.
    """
    from ..results.records import Cell, Table, score_of

    rows: dict[str, dict[str, Cell]] = {}
    for row in study.rows:
        found: dict[str, list[Record]] = {}
        for evaluation in _done(study, row, store):
            result = store.result(evaluation)
            seeded = result.network.model_copy(update={"seed": evaluation.seed})
            result = result.model_copy(update={"network": seeded})
            found.setdefault(evaluation.name, []).append(score_of(result, study.score, store.folder_of(evaluation))[0])
        rows[row.name] = {f"{name}, paper": Cell(published=value / 100) for name, value in row.published.items()}
        for name, records in found.items():  # a single seed of an untrained model stands for a network
            rows[row.name][name] = Cell(tuple(records), trained=not row.model or len(records) > 1)
    heads = [head for name in study.evaluations for head in (name, f"{name}, paper")]
    filled = tuple(head for head in heads if head in study.evaluations or any(head in row for row in rows.values()))
    return Table({study.title: {head: head for head in filled}}, rows).with_differences(study.base)


def _done(study: Study, row: StudyRow, store: Store) -> Iterator[StudyEvaluation]:
    """Yield the finished evaluations of a row, of all seeds on disk."""
    names = {folder.name.split("-")[1] for folder in (store.folder / study.folder_of(row)).glob("seed-*")}
    for seed in sorted(int(name) for name in names if name.isdecimal()):
        yield from (job for job in study.jobs(row, seed) if not isinstance(job, Training) and store.holds(job))


def _show(study: Study, store: Store) -> None:
    """Print the table of a study, and write it if its folder exists: table.md, table.csv and study.html."""
    table, output = study_table(study, store), store.folder
    print(text := study_markdown(study, table))
    if output.is_dir():
        write_atomically(output / "table.md", text + "\n")
        write_atomically(output / "table.csv", render(table, "csv"))
        print(f"{output / 'table.md'}, {output / 'table.csv'}, {_write_page(study, table, store)}")


def _write_page(study: Study, table: Table, store: Store) -> Path:
    """Write study.html, with curves of the trainings that ran benchmarks."""
    from ..results.page import write_study_page
    from .figure import figure

    reports: dict[tuple[str, str], dict[int, Path]] = {}
    runs: dict[Path, None] = {}
    for evaluation in (found for row in study.rows for found in _done(study, row, store)):
        if (page := store.folder_of(evaluation) / "report.html").is_file():
            reports.setdefault((evaluation.row, evaluation.name), {})[evaluation.seed] = page
        if evaluation.training is not None:
            runs[store.folder_of(evaluation.training)] = None
    curves = None
    with contextlib.suppress(ValueError):  # no training ran benchmarks
        measured = [run for run in runs if any(run.glob("**/benchmarks/*/epoch=*"))]
        curves = figure(measured, store.folder / "curves.png")
    said = [study.source] if study.source else []
    return write_study_page(store.folder / "study.html", study.title, table, reports, said, curves)


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
