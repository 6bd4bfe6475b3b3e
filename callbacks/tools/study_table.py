"""The table of a study: scores over seeds, and differences from the base row with their uncertainty."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from datamodules.reading.files import csv_text, write_atomically

from ..results.records import Cell, Record, cell_of, read_records
from ..results.rendering import markdown_table, percent
from ..results.statistics import FEWEST_SEEDS
from ..results.stored import Checked, Json, read_as, read_results

if TYPE_CHECKING:
    from .study_plan import Study, StudyRow

PAPER = " The column of the paper's numbers is the paper's own, at its own scale."


class StudyScore(NamedTuple):
    """The outcome of one evaluation of a row and seed.

    Attributes:
        stored: its score.
        seconds: duration of the training, None where nothing was trained, it ran elsewhere or it was interrupted.
    """

    stored: Record
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
        machines: see `Record`, by seed.
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


class StepRecord(Checked):
    """The content of a file of `write_record`."""

    words: list[str]
    state: str = "done"
    seconds: float = 0.0


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
    file = _record_file(folder, benchmark)
    return read_as(file, "record of a study", StepRecord) if file.is_file() else None


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
        for evaluation in study.evaluations:
            own, base = (dict(sorted(results.get((name, evaluation), {}).items())) for name in (row.name, study.base))
            # each row has its own name of the benchmark, see `Step`
            columns = {one.stored.column._replace(benchmark="") for one in (*own.values(), *base.values())}
            cell = _cell(row, own)
            if cell is not None and row.name != study.base and len(columns) == 1:
                cell = cell.against(_cell(study.row(study.base), base))
            seconds = [one.seconds for one in own.values() if one.seconds is not None]
            published = row.published.get(evaluation)
            lines.append(
                StudyLine(
                    row=row.name,
                    evaluation=evaluation,
                    protocol="; ".join(sorted({one.stored.column.conditions for one in own.values()})),
                    scores={seed: one.stored.value for seed, one in own.items()},
                    machines={seed: one.stored.machine for seed, one in own.items()},
                    cell=cell,
                    published=None if published is None else published / 100,
                    minutes=fmean(seconds) / 60 if seconds else None,
                )
            )
    return lines


def _cell(row: StudyRow, by_seed: Mapping[int, StudyScore]) -> Cell | None:
    """Return the cell of a row; one seed of a model that is not trained is that network, all else a sample."""
    trained = not row.model or len(by_seed) > 1
    return cell_of([one.stored for one in by_seed.values()], trained) if by_seed else None


def study_markdown(study: Study, lines: Sequence[StudyLine]) -> str:
    """Return the table as Markdown, scores in per cent."""
    several, published = len(study.evaluations) > 1, any(line.published is not None for line in lines)
    heading = f"## {study.title}\n\n"
    if study.source:
        heading += f"{study.source}.{PAPER if published else ''}\n\n"
    heading += f"{study.score} in per cent. Difference: from “{study.base}”, with its 95 % interval over sequences and "
    heading += f"seeds; not tested with fewer than {FEWEST_SEEDS} seeds. Each row is tested by itself.\n\n"
    head = ["row", "evaluation", "seeds", "each", "mean", "spread", "difference", "paper", "minutes"]
    shown = [name for name in head if (name != "evaluation" or several) and (name != "paper" or published)]
    rows = [[_texts(line)[name] for name in shown] for line in lines]
    parts = [heading + markdown_table(shown, rows)]
    for evaluation in study.evaluations:
        protocols = sorted({line.protocol for line in lines if line.evaluation == evaluation and line.protocol})
        text = f"{evaluation}: {'; '.join(protocols)}.\n" if protocols else ""
        if len(protocols) > 1:
            text += "Rows scored by different protocols or on different data are not compared.\n"
        parts += [text] if text else []
    machines = sorted({machine for line in lines for machine in line.machines.values() if machine})
    if len(machines) > 1:
        text = f"Run on different machines: {'; '.join(machines)}.\n"
        parts.append(f"{text}A seed trains to another score on another machine; table.csv names that of each score.\n")
    return "\n".join(parts).rstrip()


def _texts(line: StudyLine) -> dict[str, str]:
    """Return column → text of a line."""
    cell = line.cell
    return {
        "row": line.row,
        "evaluation": line.evaluation,
        "seeds": str(len(line.scores)),
        "each": " / ".join(map(percent, line.scores.values())),
        "mean": percent(cell.mean if cell else None),
        "spread": percent(cell.spread if cell and len(line.scores) > 1 else None),
        "difference": cell.difference.in_points if cell and cell.difference else "",
        "paper": percent(line.published),
        "minutes": "" if line.minutes is None else f"{line.minutes:.0f}",
    }


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


def _score_of(file: Path, score: str) -> Record:
    found = read_records(file.parent, scores=[score])
    if not found:
        raise ValueError(f"{file}: has no score {score!r}; it has {', '.join(read_results(file)['scores'])}")
    return found[0]


def _record_file(folder: Path, benchmark: str | None) -> Path:
    return folder / f"{benchmark or 'trained'}.json"


def _training_seconds(folder: Path) -> float | None:
    return (read_record(folder, None) or {}).get("seconds")
