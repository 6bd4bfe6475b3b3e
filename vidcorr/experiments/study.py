"""The run of a study: checks before the first training, then trainings and evaluations that a store lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from callbacks.command_line.arguments import merge, mistakes_in, read_arguments
from callbacks.run_folder import last_checkpoints

from ..errors import UsageError
from .configured import Configured
from .job import Job, NetworkSpec
from .runner import Runner
from .store import Store
from .study_plan import StudyEvaluation, StudyJobs
from .training import Training


def run_missing(jobs: StudyJobs, store: Store) -> Runner:
    """Run all jobs that a store lacks; evaluations of a failed training are left out.

    Returns:
        The runner, with the failures.

    Raises:
        ValueError: if a config, class, argument or folder of a job is missing; before the first job.
    """
    if mistakes := list(dict.fromkeys(mistakes_in_jobs(jobs, store))):
        raise ValueError("; ".join(mistakes))
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
    if evaluation.training is None:
        network = NetworkSpec.of_study(evaluation.model, evaluation.seed)
    else:
        folder = store.folder_of(evaluation.training)
        if not (checkpoints := last_checkpoints(folder)):
            raise ValueError(f"there is no last.ckpt in {folder}")
        network = NetworkSpec("", str(checkpoints[-1].path))
    network = replace(network, name=f"{evaluation.row}, seed {evaluation.seed}")
    benchmark = _benchmark_of(evaluation.arguments)
    return Job(network, benchmark, benchmark.protocol, evaluation.folder)


@cache  # so that a data set is opened once
def _benchmark_of(arguments: tuple[str, ...]) -> Any:
    """Return the last benchmark that arguments of `validate` name."""
    entry = merge(read_arguments(arguments)[0])["trainer"]["callbacks"][-1]
    return Configured("evaluate", entry["class_path"], entry.get("init_args") or {}).build()


def mistakes_in_jobs(jobs: StudyJobs, store: Store) -> Iterator[str]:
    """Yield a line per missing config, class, argument or data folder of jobs that a store lacks.

    A folder that a training generates (`Synthetic…`) may be missing.
    """
    generated: list[Path] = []
    for job in jobs:
        try:
            given, _ = read_arguments(job.arguments)
            config = merge(given)
        except UsageError as error:
            yield str(error)
            continue
        data = list(_data_of(config))
        generated += [path for _, path, kind in data if kind.startswith("Synthetic")]
        if store.holds(job):
            continue
        yield from mistakes_in(config, given)
        if not isinstance(job, Training):
            yield from _mistakes_in_evaluation(job.name, config)
        for key, path, kind in data:
            if not path.exists() and not any(map(path.is_relative_to, generated)):
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
