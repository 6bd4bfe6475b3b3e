"""Run a table of trainings and evaluations that differ by a few flags, over seeds, and gather the scores."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config_files import find_config
from ..experiments.training import Training

if TYPE_CHECKING:  # pydantic and torch would slow `--help` down
    from ..experiments.store import Store
    from ..experiments.study_plan import Study, StudyEvaluation, StudyJobs


def command(args: Sequence[str]) -> None:
    """Run `vidcorr study` with its arguments.

    Raises:
        ValueError: for a user's mistake, or if a training or an evaluation failed.
    """
    flags = _parser().parse_args(list(args))

    from ..experiments.store import Store
    from ..experiments.study_plan import read_study

    path = find_config(flags.study, "study")
    study = read_study(path, small=flags.small)
    store = Store(flags.output or Path("studies") / (f"{path.stem}-small" if flags.small else path.stem))
    allowed = [word for name in flags.allow for word in ("--allow", name)]
    study.seed_flags += (*flags.train_flags, *allowed)
    further = (*flags.evaluate_flags, *allowed)
    study.evaluations = {name: (*words, *further) for name, words in study.evaluations.items()}
    jobs = jobs_of(study, flags.only, flags.seeds)
    if flags.print:
        print(*shell_lines(jobs, store, args), sep="\n")
        return

    from ..experiments.study_table import show_study

    if flags.table:
        show_study(study, store)
        return

    from ..experiments.study import run_missing  # with Lightning, which a table need not wait for

    runner = run_missing(jobs, store)
    show_study(study, store)
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
