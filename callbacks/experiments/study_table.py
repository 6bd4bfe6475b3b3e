"""The table of a study: scores over seeds, and differences from the base row with their uncertainty."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from datamodules.reading.files import csv_text, write_atomically

from ..statistics.intervals import Difference
from ..statistics.text import percent
from ..statistics.uncertainty import difference_of
from ..stored_results import Json, read_results, read_shaped
from .results_table import Cell, StoredScore, cell_of, markdown_table, read_scores_of

if TYPE_CHECKING:
    from .study_plan import Study, StudyRow

PAPER = " The column of the paper's numbers is the paper's own, at its own scale."


class StudyScore(NamedTuple):
    """The outcome of one evaluation of a row and seed.

    Attributes:
        stored: its score.
        seconds: duration of the training, None where nothing was trained, it ran elsewhere or it was interrupted.
    """

    stored: StoredScore
    seconds: float | None


@dataclass(frozen=True)
class StudyLine:
    """One line of the table: a row under one evaluation.

    Args:
        row: name of the row.
        evaluation: name of the evaluation.
        protocol: name and digest of the protocol, the data and the number of sequences: all that two scores must agree
            in to be compared; several where seeds differ in it.
        scores: one a seed that has run, by seed, fractions.
        machines: see `StoredScore`, by seed.
        cell: mean, spread, and difference from the base row where `protocol` is that of both; None where none has run.
        published: the paper's score, in [0, 1].
        minutes: minutes of training, mean over seeds.
    """

    row: str
    evaluation: str
    protocol: str
    scores: Mapping[int, float]
    machines: Mapping[int, str]
    cell: Cell | None
    published: float | None
    minutes: float | None


StudyScores = dict[tuple[str, str], dict[int, StudyScore]]
"""(row, evaluation) → seed → score."""


def gather_study(study: Study, output: Path) -> StudyScores:
    """Read the results that the steps of a study have left below its folder; what has not run is left out."""
    found: StudyScores = {}
    for row in study.rows:
        for seed in _seeds_of(study, row, output):
            for step in study.steps(row, seed, output):
                if step.evaluation is None or step.benchmark is None:
                    continue
                file = result_of(step.folder, step.benchmark)
                if file is not None:
                    seconds = _training_seconds(step.folder) if row.train is not None else None
                    found.setdefault((row.name, step.evaluation), {})[seed] = StudyScore(
                        _score_of(file, study.score), seconds
                    )
    return found


def _seeds_of(study: Study, row: StudyRow, output: Path) -> list[int]:
    """Return the seeds of a row, those that the study does not list but that have a folder included."""
    names = (folder.name.removeprefix("seed-") for folder in study.folder_of(row, output).glob("seed-*"))
    return sorted({*study.seeds_of(row), *(int(name) for name in names if name.isdecimal())})


def result_of(folder: Path, benchmark: str) -> Path | None:
    """Return the newest `results.json` of a benchmark below a folder of runs, None where there is none."""
    files = folder.glob(f"**/benchmarks/{benchmark}/**/results.json")
    return max(files, key=lambda file: file.stat().st_mtime_ns, default=None)


def read_record(folder: Path, benchmark: str | None) -> Json | None:
    """Read what `write_record` has written; None if there is no such file.

    Raises:
        ValueError: if it is damaged; the message names it.
    """
    file, more = _record_file(folder, benchmark), {"state": str, "seconds": float}
    return read_shaped(file, "record of a study", {"words": [str]}, more) if file.is_file() else None


def write_record(folder: Path, benchmark: str | None, state: str, words: Sequence[str], **more: float) -> None:
    """Write what a training or an evaluation was.

    Args:
        folder: its folder.
        benchmark: name of the benchmark; None for a training.
        state: "started", which only a training has, or "done".
        words: its arguments.
        more: `seconds` of a training that ran in one go.
    """
    write_atomically(_record_file(folder, benchmark), json.dumps({"state": state, "words": words} | more) + "\n")


def table_rows(study: Study, results: StudyScores) -> list[StudyLine]:
    """Summarise results over seeds, a line for each row and evaluation in the study's order."""
    lines = []
    for row in study.rows:
        by_seed = not (row.model or study.row(study.base).model)
        for evaluation in study.evaluations:
            own, base = (dict(sorted(results.get((name, evaluation), {}).items())) for name in (row.name, study.base))
            scored_by, base_by = ({_scored_by(found) for found in side.values()} for side in (own, base))
            cell = cell_of([found.stored for found in own.values()]) if own else None
            if cell is not None and row.name != study.base and len(scored_by | base_by) == 1:
                cell = replace(cell, difference=_difference(own, base, same_seeds=by_seed))
            seconds = [found.seconds for found in own.values() if found.seconds is not None]
            published = row.published.get(evaluation)
            lines.append(
                StudyLine(
                    row=row.name,
                    evaluation=evaluation,
                    protocol="; ".join(sorted(scored_by)),
                    scores={seed: found.stored.value for seed, found in own.items()},
                    machines={seed: found.stored.machine for seed, found in own.items()},
                    cell=cell,
                    published=None if published is None else published / 100,
                    minutes=fmean(seconds) / 60 if seconds else None,
                )
            )
    return lines


def study_markdown(study: Study, lines: Sequence[StudyLine]) -> str:
    """Return the table as Markdown, scores in per cent."""
    out = io.StringIO()
    several, published = len(study.evaluations) > 1, any(line.published is not None for line in lines)
    print(f"## {study.title}\n", file=out)
    if study.source:
        print(f"{study.source}.{PAPER if published else ''}\n", file=out)
    how = f"Difference: from “{study.base}” by the seeds that both have, 95 % bootstrap interval over sequences."
    print(f"{study.score} in per cent. {how}\n", file=out)
    head = ["row", *(["evaluation"] if several else []), "seeds", "each", "mean", "spread", "difference"]
    head += [*(["paper"] if published else []), "minutes"]
    rows = []
    for line in lines:
        cells = [line.row, *([line.evaluation] if several else []), str(len(line.scores))]
        cells += [" / ".join(percent(score) for score in line.scores.values())]
        cells += (
            [percent(line.cell.mean), percent(line.cell.spread if len(line.scores) > 1 else None)]
            if line.cell
            else ["", ""]
        )
        cells.append(line.cell.difference.in_points if line.cell and line.cell.difference else "")
        cells += [percent(line.published)] if published else []
        cells.append("" if line.minutes is None else f"{line.minutes:.0f}")
        rows.append(cells)
    print(markdown_table(head, rows), end="", file=out)
    by_evaluation: dict[str, set[str]] = {}
    for line in lines:
        if line.protocol:
            by_evaluation.setdefault(line.evaluation, set()).add(line.protocol)
    for evaluation, protocols in by_evaluation.items():
        print(f"\n{evaluation}: {'; '.join(sorted(protocols))}.", file=out)
        if len(protocols) > 1:
            print("Rows scored by different protocols or on different data are not compared.", file=out)
    machines = sorted({machine for line in lines for machine in line.machines.values() if machine})
    if len(machines) > 1:
        print(f"\nRun on different machines: {'; '.join(machines)}.", file=out)
        print("A seed trains to another score on another machine; table.csv names that of each score.", file=out)
    return out.getvalue().rstrip()


def write_csv(lines: Sequence[StudyLine], file: Path) -> None:
    """Write a line for each row, evaluation and seed; scores are fractions.

    Raises:
        OSError: if the file cannot be written.
    """
    rows = [
        (line.row, line.evaluation, seed, score, line.protocol, line.published, line.machines[seed])
        for line in lines
        for seed, score in line.scores.items()
    ]
    head = ("row", "evaluation", "seed", "score", "protocol", "published", "machine")
    write_atomically(file, csv_text([head, *rows], "\n"))


def _difference(
    own: Mapping[int, StudyScore], base: Mapping[int, StudyScore], *, same_seeds: bool
) -> Difference | None:
    """Return the difference of two rows by the seeds that both have; a model that is not trained has none to share."""
    if same_seeds:
        shared = sorted(own.keys() & base.keys())
        own, base = ({seed: side[seed] for seed in shared} for side in (own, base))
    if not own or not base:
        return None
    mine, theirs = (cell_of([found.stored for found in side.values()]) for side in (own, base))
    return difference_of(mine.videos, theirs.videos)


def _score_of(file: Path, score: str) -> StoredScore:
    found = read_scores_of(file.parent, scores=[score])
    if not found:
        raise ValueError(f"{file}: has no score {score!r}; it has {', '.join(read_results(file)['scores'])}")
    return found[0]


def _scored_by(found: StudyScore) -> str:
    """Return, in words, all of a score's column but the benchmark's name, which the study makes unique."""
    column = found.stored.column
    protocol = f"{column.protocol} ({column.digest})" if column.digest else "no protocol"
    sequences = "" if column.sequences is None else f"{column.sequences} sequences"
    return ", ".join(filter(None, (protocol, column.data, sequences)))


def _record_file(folder: Path, benchmark: str | None) -> Path:
    return folder / f"{benchmark or 'trained'}.json"


def _training_seconds(folder: Path) -> float | None:
    return (read_record(folder, None) or {}).get("seconds")
