"""The table of a study: scores over seeds, and differences from the base row with their uncertainty."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from datamodules.reading.writing import csv_text, write_atomically

from ..metrics.intervals import Difference
from ..metrics.uncertainty import difference_of, mean_over_runs, values_by_sequence
from ..stored_results import protocols_of, read_results, read_rows, read_sequences, read_shaped

if TYPE_CHECKING:
    from .study_plan import Study

PAPER = " The column of the paper's numbers is the paper's own, at its own scale."


@dataclass(frozen=True)
class StudyResult:
    """The outcome of one evaluation of a row and seed.

    Args:
        score: in [0, 1].
        videos: sequence → scores of its objects; None where the benchmark writes none by this name.
        protocol: name and digest of its protocol.
        seconds: duration of the training, None where nothing was trained, it ran elsewhere or it was interrupted.
    """

    score: float
    videos: Mapping[str, Sequence[float]] | None
    protocol: str
    seconds: float | None


@dataclass(frozen=True)
class StudyLine:
    """One line of the table: a row under one evaluation.

    Args:
        row: name of the row.
        evaluation: name of the evaluation.
        protocol: name and digest; several where seeds were scored by different ones.
        scores: one a seed that has run, by seed.
        mean: over seeds, NaN where none has run.
        spread: largest minus smallest.
        difference: from the base row over sequences, each the mean over the seeds of its row; None for the base row
            itself, or where the protocols or sequences differ.
        published: the paper's score, in [0, 1].
        minutes: minutes of training, mean over seeds.
    """

    row: str
    evaluation: str
    protocol: str
    scores: Mapping[int, float]
    mean: float
    spread: float
    difference: Difference | None
    published: float | None
    minutes: float | None


StudyResults = dict[tuple[str, str], dict[int, StudyResult]]
"""(row, evaluation) → seed → result."""


def gather_study(study: Study, output: Path) -> StudyResults:
    """Read the results that the steps of a study have left below its folder; what has not run is left out."""
    found: StudyResults = {}
    for row in study.rows:
        for seed in study.seeds_of(row):
            for step in study.steps(row, seed, output):
                if step.evaluation is None or step.benchmark is None:
                    continue
                file = result_of(step.folder, step.benchmark)
                if file is not None:
                    seconds = _training_seconds(step.folder) if row.train is not None else None
                    found.setdefault((row.name, step.evaluation), {})[seed] = _result(file, study.score, seconds)
    return found


def result_of(folder: Path, benchmark: str) -> Path | None:
    """Return the newest `results.json` of a benchmark below a folder of runs, None where there is none."""
    files = folder.glob(f"**/benchmarks/{benchmark}/**/results.json")
    return max(files, key=lambda file: file.stat().st_mtime_ns, default=None)


def table_rows(study: Study, results: StudyResults) -> list[StudyLine]:
    """Summarise results over seeds, a line for each row and evaluation in the study's order."""
    lines = []
    for row in study.rows:
        for evaluation in study.evaluations:
            own, base = results.get((row.name, evaluation), {}), results.get((study.base, evaluation), {})
            scores = {seed: result.score for seed, result in sorted(own.items())}
            seconds = [result.seconds for result in own.values() if result.seconds is not None]
            published = row.published.get(evaluation)
            lines.append(
                StudyLine(
                    row=row.name,
                    evaluation=evaluation,
                    protocol=", ".join(sorted({result.protocol for result in own.values()})),
                    scores=scores,
                    mean=fmean(scores.values()) if scores else math.nan,
                    spread=max(scores.values()) - min(scores.values()) if scores else math.nan,
                    difference=None if row.name == study.base else _difference(own, base),
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
    print(
        f"{study.score} in per cent. Difference: from “{study.base}”, 95 % bootstrap interval over sequences.\n",
        file=out,
    )
    head = ["row", *(["evaluation"] if several else []), "seeds", "each", "mean", "spread", "difference"]
    head += [*(["paper"] if published else []), "minutes"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", file=out)
    for line in lines:
        cells = [line.row, *([line.evaluation] if several else []), str(len(line.scores))]
        cells += [" / ".join(_percent(score) for score in line.scores.values()), _percent(line.mean)]
        cells.append(_percent(line.spread) if len(line.scores) > 1 else "")
        cells.append(line.difference.in_points if line.difference else "")
        cells += [_percent(line.published)] if published else []
        cells.append("" if line.minutes is None else f"{line.minutes:.0f}")
        print(f"| {' | '.join(cells)} |", file=out)
    by_evaluation: dict[str, set[str]] = {}
    for line in lines:
        if line.protocol:
            by_evaluation.setdefault(line.evaluation, set()).add(line.protocol)
    for evaluation, protocols in by_evaluation.items():
        print(f"\n{evaluation}: {', '.join(sorted(protocols))}.", file=out)
        if len(protocols) > 1:
            print("Rows scored by different protocols do not compare.", file=out)
    return out.getvalue().rstrip()


def write_csv(lines: Sequence[StudyLine], file: Path) -> None:
    """Write a line for each row, evaluation and seed; scores are fractions.

    Raises:
        OSError: if the file cannot be written.
    """
    rows = [
        (line.row, line.evaluation, seed, score, line.protocol, line.published)
        for line in lines
        for seed, score in line.scores.items()
    ]
    head = ("row", "evaluation", "seed", "score", "protocol", "published")
    write_atomically(file, csv_text([head, *rows], "\n"))


def _result(file: Path, score: str, seconds: float | None) -> StudyResult:
    content = read_results(file)
    scores = content["scores"]
    if score not in scores:
        raise ValueError(f"{file}: has no score {score!r}; it has {', '.join(scores)}")
    protocols = protocols_of(content)
    named = ", ".join(f"{protocol['name']} ({protocol['digest']})" for protocol in protocols) or "no protocol"
    videos = values_by_sequence(read_rows(file.with_name("per_sequence.csv")), score, read_sequences(file.parent))
    return StudyResult(float(scores[score]), videos, named, seconds)


def _difference(own: Mapping[int, StudyResult], base: Mapping[int, StudyResult]) -> Difference | None:
    """Compare two rows over sequences; every seed of either counts, since rows need not share seeds."""
    if len({result.protocol for side in (own, base) for result in side.values()}) != 1:
        return None
    return difference_of(*(mean_over_runs([result.videos for result in side.values()]) for side in (own, base)))


def _training_seconds(folder: Path) -> float | None:
    file, kind = folder / "trained.json", "record of a training"
    if not file.is_file() or "seconds" not in read_shaped(file, kind, {}):
        return None
    return float(read_shaped(file, kind, {"seconds": float})["seconds"])


def _percent(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{100 * value:.1f}"
