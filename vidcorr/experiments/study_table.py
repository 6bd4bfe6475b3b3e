"""The table of a study: the scores of its rows over their seeds, beside the paper's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from statistics import fmean

from ..results.records import Record, score_of
from ..results.result import Result
from ..results.statistics import from_best
from ..results.tables import Cell, Table
from .study import MAIN, Study, StudyRow

Rows = dict[str, dict[str, Cell]]
"""Row → head of a column → cell."""


def study_table(study: Study, output: Path) -> Table:
    """Make the table of a study from its results in a folder.

    A row is a training over its seeds. A column is a score of an evaluation, and its head names both: `otb success`.
    The paper's numbers of the same score stand in the next column.

    Args:
        study: the study.
        output: folder of its runs and results.

    Raises:
        ValueError: if the folder has no results; if a result is damaged, lacks a score of the study, or has several
            stages in a row without `best_stage_by`.
    """
    results = _results(study, output)
    if not results:
        raise ValueError(f"{output}: holds no result of the study {study.title!r}; run the study first")
    rows: Rows = defaultdict(dict)
    chosen: dict[str, set[str]] = defaultdict(set)
    heads: list[str] = []
    for evaluation in study.evaluate:
        for score in study.scores.get(evaluation, (MAIN,)):
            head = f"{evaluation} {score or _main_score(results, evaluation)}".rstrip()
            heads.append(head)
            for row in study.rows:
                records = _records(row, score, results.get((row.name, evaluation), {}))
                if records:
                    is_trained = not row.model or bool(row.then or study.then)
                    rows[row.name][head] = Cell(tuple(records), trained=is_trained)
                    if row.best_stage_by:
                        chosen[row.name].add(records[0].stage.layer)
            if _add_published(study, evaluation, score, f"{head}, paper", rows):
                heads.append(f"{head}, paper")
    named: Rows = {}
    for row in study.rows:
        named[_name_with_stage(row, chosen[row.name])] = rows[row.name]
    table = Table({study.title: dict(zip(heads, heads, strict=True))}, named)
    base = study.row(study.base) if study.base else study.rows[0]
    return table.with_differences(_name_with_stage(base, chosen[base.name]))


ResultsByPlace = dict[Path, Result]


def _results(study: Study, output: Path) -> dict[tuple[str, str], ResultsByPlace]:
    """Return (row, evaluation) → folder → result, with the seed of the study."""
    found: dict[tuple[str, str], ResultsByPlace] = {}
    for line in study.lines(output):
        for step in line:
            stages: set[str] = set()
            for place in step.results:
                result = Result.load(place)
                if result.stage.layer in stages:
                    raise ValueError(
                        f"two results of {step.row!r} for seed {step.seed} in {step.output}: remove the old one"
                    )
                stages.add(result.stage.layer)
                network = result.network.model_copy(update={"seed": step.seed})
                seeded = result.model_copy(update={"network": network})
                found.setdefault((step.row, step.evaluation), {})[place] = seeded
    return found


def _main_score(results: dict[tuple[str, str], ResultsByPlace], evaluation: str) -> str:
    """Return the key of the first score of an evaluation; empty if it has no result."""
    for (_, name), of_row in results.items():
        if name == evaluation:
            result = next(iter(of_row.values()))
            return next(iter(result.scores), "")
    return ""


def _records(row: StudyRow, score: str, results: ResultsByPlace) -> list[Record]:
    """Return the records of a score, one per seed; of several stages, those of the row's best stage."""
    by_stage: dict[str, list[Record]] = {}
    for place, result in results.items():
        record = score_of(result, score, place)
        by_stage.setdefault(record.stage.layer, []).append(record)
    if len(by_stage) < 2:
        return list(chain.from_iterable(by_stage.values()))
    if not row.best_stage_by:
        place = next(iter(results))
        raise ValueError(f"{place}: has the stages {', '.join(by_stage)}; give the row {row.name!r} a best_stage_by")
    return by_stage[_best_stage(row, results)]


def _best_stage(row: StudyRow, results: ResultsByPlace) -> str:
    """Return the stage with the highest mean of the row's choosing score over the seeds."""
    values: dict[str, list[float]] = {}
    for place, result in results.items():
        record = score_of(result, row.best_stage_by, place)
        values.setdefault(record.stage.layer, []).append(record.value)
    return min(values, key=lambda stage: from_best(fmean(values[stage])))


def _add_published(study: Study, evaluation: str, score: str, head: str, rows: Rows) -> bool:
    """Add the paper's numbers of a score to the rows; return whether there is one."""
    is_found = False
    for row in study.rows:
        number = study.printed(row, evaluation).get(score)
        if number is not None:
            rows[row.name][head] = Cell(published=number / 100)
            is_found = True
    return is_found


def _name_with_stage(row: StudyRow, stages: Sequence[str] | set[str]) -> str:
    """Return the name of a row, with the stages that its rule has chosen."""
    if not stages:
        return row.name
    return f"{row.name} ({', '.join(sorted(stages))})"
