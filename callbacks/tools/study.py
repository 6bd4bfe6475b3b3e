"""Run a table of trainings and evaluations that differ by a few flags, over seeds, and gather its scores."""

import argparse
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from datamodules.reading.files import write_atomically

from ..command_line.configs import find_config
from ..folder_lock import FolderInUse, FolderLock
from .study_plan import FOLDER, Step, Study, StudyRow, read_study
from .study_table import (
    gather_study,
    read_record,
    result_of,
    study_markdown,
    table_rows,
    write_csv,
    write_record,
)

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
    parser.add_argument(
        "--train-flags", default="", metavar="FLAGS", help="flags added to every training, as one string"
    )
    parser.add_argument(
        "--evaluate-flags", default="", metavar="FLAGS", help="flags added to every evaluation, as one string"
    )
    flags = parser.parse_args(list(args))
    path = find_config(flags.study)
    study = read_study(path, small=flags.small)
    output = flags.output or Path("studies") / (f"{path.stem}-small" if flags.small else path.stem)
    rows = [study.row(name) for name in flags.only] or list(study.rows)
    chosen = [(row, seed) for row in rows for seed in _chosen_seeds(study, row, flags.seeds)]
    added = _words("--train-flags", flags.train_flags), _words("--evaluate-flags", flags.evaluate_flags)
    if flags.print:
        for line in plain_commands(study, chosen, output, added):
            print(line)
        return
    failed = [] if flags.table else run_missing(study, chosen, output, added)
    _write_table(study, output)
    if failed:
        raise ValueError(f"{len(failed)} of {len(chosen)} runs failed: {'; '.join(failed)}")


def _words(flag: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{flag}: {error}: {text}") from error


def _chosen_seeds(study: Study, row: StudyRow, wanted: Sequence[int] | None) -> list[int]:
    """Return the seeds of a row to run: those wanted, but of a row with its own seeds only these."""
    own = study.own_seeds(row)
    seeds = [seed for seed in wanted or study.seeds_of(row) if not own or seed in own]
    if not seeds:
        print(f"{row.name}: left out, it has the seeds {', '.join(map(str, own))} only", file=sys.stderr)
    return list(dict.fromkeys(seeds))


def plain_commands(
    study: Study, chosen: Sequence[tuple[StudyRow, int]], output: Path, added: Sequence[Sequence[str]] = ((), ())
) -> list[str]:
    """Return a shell line for each training: `fit`, its row's evaluations, then those of the rows that are `of` it.

    No line needs another to have ended, so a scheduler may run them in any order or together. A model that is not
    trained has a line of its own. The arguments are those of `run_missing`.
    """
    lines: dict[Path, dict[str, None]] = {}
    for row, seed in sorted(chosen, key=lambda one: one[0].of is not None):
        for step in study.steps(row, seed, output, *added):
            lines.setdefault(step.folder, {})[step.line] = None
    return [" && ".join(line) for line in lines.values()]


def run_missing(
    study: Study, chosen: Sequence[tuple[StudyRow, int]], output: Path, added: Sequence[Sequence[str]] = ((), ())
) -> list[str]:
    """Run each step that has left no result yet, one after another; continue with the next row where one fails.

    A training that failed is not tried again for the rows that evaluate its checkpoints; these fail too. A row and seed
    that another process is running is left to it.

    Args:
        study: its steps.
        chosen: rows and seeds, in order.
        output: folder of the runs.
        added: arguments added to every training, and to every evaluation.

    Returns:
        A line for each row and seed that failed.
    """
    failures: dict[str, str] = {}
    failed = []
    for number, (row, seed) in enumerate(chosen, start=1):
        heading = f"[{number}/{len(chosen)}] {row.name}, seed {seed}"
        steps = study.steps(row, seed, output, *added)
        try:
            lock = FolderLock(steps[0].folder)
        except FolderInUse:
            print(f"{heading}: running elsewhere", flush=True)
            continue
        try:
            failure = _run_steps(steps, heading, failures)
        finally:
            lock.release()
        if failure is not None:
            failed.append(f"{row.name}, seed {seed}: {failure}")
    return failed


def _run_steps(steps: Sequence[Step], heading: str, failures: dict[str, str]) -> str | None:
    """Run those steps that have not ended well before, until one fails or is refused.

    Args:
        steps: of a row and seed.
        heading: is printed before each step that runs.
        failures: command → why it failed; such a command is not run again, and a new failure is added.

    Returns:
        Why the last step failed; None if none did.
    """
    for step in steps:
        failure = failures.get(step.line) or _run_if_missing(step, heading)
        if failure is not None:
            failures[step.line] = failure
            return failure
    return None


def _run_if_missing(step: Step, heading: str) -> str | None:
    try:
        if _is_done(step):
            return None
    except ValueError as error:
        return str(error)
    print(f"{heading}: {step.kind}", flush=True)
    log = _run(step)
    return None if log is None else f"{step.kind}, {log}"


def _is_done(step: Step) -> bool:
    """Return whether a step has ended well before; a result without a record of it ran elsewhere, and is taken.

    Raises:
        ValueError: if it has a checkpoint or a result by other arguments, or a damaged record; one line.
    """
    record = read_record(step.folder, step.benchmark)
    if step.benchmark is None:
        done = record is not None and record.get("state", "done") == "done"
        to_keep, what, where = done or _has_checkpoint(step), "a training", "the folder"
    else:
        done = to_keep = result_of(step.folder, step.benchmark) is not None
        what, where = f"a result of {step.benchmark}", f"each folder benchmarks/{step.benchmark} in it"
    if record and to_keep and (difference := _difference(record["words"], step.arguments)):
        raise ValueError(f"{step.folder} holds {what} {difference}: remove {where} or give another --output")
    return done


def _difference(before: Sequence[str], now: Sequence[str]) -> str:
    """Return how the arguments of two runs differ, in words; empty if only their folder does."""
    before, now = (_without_folder(words) for words in (before, now))
    if before == now:
        return ""
    counts = Counter(before), Counter(now)
    different = sorted({*(counts[0] - counts[1]), *(counts[1] - counts[0])})
    return f"with other arguments ({', '.join(different)})" if different else "with its arguments in another order"


def _without_folder(words: Sequence[str]) -> list[str]:
    at = words.index(FOLDER) if FOLDER in words else len(words)
    return [*words[:at], *words[at + 2 :]]


def _has_checkpoint(step: Step) -> bool:
    return next(step.folder.rglob("*.ckpt"), None) is not None


def _run(step: Step) -> str | None:
    """Run a step in a separate process; return the path of its log if it failed."""
    step.folder.mkdir(parents=True, exist_ok=True)
    log = step.folder / f"{step.benchmark or 'train'}.log"
    one_go, start = step.evaluation is None and not _has_checkpoint(step), time.monotonic()
    if step.evaluation is None:
        write_record(step.folder, None, "started", step.arguments)
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
        return f"{log}: {last[0] if last else f'status {status}'}"
    cost = {"seconds": round(time.monotonic() - start, 1)} if one_go else {}
    write_record(step.folder, step.benchmark, "done", step.arguments, **cost)
    return None


def _write_table(study: Study, output: Path) -> None:
    """Print the table and write it next to the runs, as Markdown and CSV."""
    rows = table_rows(study, gather_study(study, output))
    text = study_markdown(study, rows)
    print(text)
    if output.is_dir():
        write_atomically(output / "table.md", text + "\n")
        write_csv(rows, output / "table.csv")
        print(f"{output / 'table.md'}, {output / 'table.csv'}")
