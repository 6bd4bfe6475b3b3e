"""The table of a study: the scores of its rows over their seeds, beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from ..results.records import Column, Record, records_of, score_of
from ..results.result import Result
from ..results.statistics import from_best
from ..results.tables import PAPER, Cell, Table
from .study import FIRST, Study, StudyRow

Results = dict[tuple[str, str], dict[Path, Result]]
"""Row and evaluation → folder → result, with the seed of the study."""


def study_table(study: Study, output: Path, scores: Sequence[str] = ()) -> Table:
    """Make the table of a study from its results in a folder.

    A row is a training over its seeds. A column is a score of an evaluation, and its head names both: `otb success`.
    The paper's numbers of the same score stand in the next column.

    Args:
        study: the study.
        output: folder of its runs and results.
        scores: scores of each evaluation that has them, in place of the study's.

    Raises:
        ValueError: if the folder has no results; if a result is damaged or lacks a score of the study, if a row has two
            results of a seed, or several stages without `best_stage_by`.
    """
    results = _results(study, output)
    if not results:
        raise ValueError(f"{output}: holds no result of the study {study.title!r}; run the study first")
    rows: dict[str, dict[str, Cell]] = {row.name: {} for row in study.rows}
    names = {row.name: row.name for row in study.rows}
    columns: dict[str, Column] = {}
    for evaluation in study.evaluate:
        of_evaluation: list[Result] = []
        for row in study.rows:
            of_evaluation += results.get((row.name, evaluation), {}).values()
        first = next((score for result in of_evaluation for score in result.scores), FIRST)
        shown: Sequence[str] = study.scores.get(evaluation, (first,))
        if scores:
            shown = [score for score in scores if any(records_of(result, scores=[score]) for result in of_evaluation)]
        for score in shown:
            measured = Column(evaluation, score, "")
            head = f"{evaluation} {score}".rstrip()
            for row in study.rows:
                records = _records(row, score, results.get((row.name, evaluation), {}))
                if records:
                    is_trained = not row.model or bool(row.then or study.then)
                    rows[row.name][head] = Cell(tuple(records), trained=is_trained)
                    columns[head] = measured
                    if row.best_stage_by:
                        names[row.name] = f"{row.name} ({records[0].stage.layer})"
            for row in study.rows:
                printed = study.printed(row, evaluation)
                number = printed.get(FIRST if score == first and FIRST in printed else score)
                if number is not None:
                    rows[row.name][f"{head}, {PAPER}"] = Cell(published=number / 100)
                    columns[f"{head}, {PAPER}"] = measured._replace(conditions=PAPER)
    for row in study.rows:
        for benchmark, numbers in row.beside.items():
            for score, number in numbers.items():
                head = f"{benchmark} {score}, {PAPER}"
                rows[row.name][head] = Cell(published=number / 100)
                columns[head] = Column(benchmark, score, PAPER)
    table = Table(columns, {names[name]: row for name, row in rows.items()})
    base = study.row(study.base) if study.base else study.rows[0]
    own_bases = {names[row.name]: names[row.base] for row in study.rows if row.base}
    return table.with_differences(names[base.name], own_bases)


def _results(study: Study, output: Path) -> Results:
    found: Results = {}
    for line in study.lines(output):
        for step in line:
            for place in step.results:
                result = Result.load(place)
                network = result.network.model_copy(update={"seed": step.seed})
                seeded = result.model_copy(update={"network": network})
                found.setdefault((step.row, step.evaluation), {})[place] = seeded
    return found


def _records(row: StudyRow, score: str, results: dict[Path, Result]) -> list[Record]:
    """Return the records of a score, one per seed; of several stages, those of the row's best stage."""
    by_stage = _by_stage(score, results)
    if len(by_stage) < 2:
        records = next(iter(by_stage.values()), [])
    elif len(set(map(len, by_stage.values()))) > 1:
        raise ValueError(f"row {row.name!r}: some seeds lack stages of {', '.join(by_stage)}; run the study again")
    elif row.best_stage_by:
        choosing = _by_stage(row.best_stage_by, results)
        means = {stage: fmean(record.value for record in found) for stage, found in choosing.items()}
        records = by_stage[min(means, key=lambda stage: from_best(means[stage]))]
    else:
        place = next(iter(results))
        raise ValueError(f"{place}: has the stages {', '.join(by_stage)}; give the row {row.name!r} a best_stage_by")
    seeds = [record.seed for record in records]
    for record in records:
        if seeds.count(record.seed) > 1:
            raise ValueError(
                f"two results of {row.name!r} for seed {record.seed} in {record.place.parent}: remove the old one"
            )
    return records


def _by_stage(score: str, results: dict[Path, Result]) -> dict[str, list[Record]]:
    """Return stage → records of a score, one per seed."""
    by_stage: dict[str, list[Record]] = {}
    for place, result in results.items():
        by_stage.setdefault(result.stage.layer, []).append(score_of(result, score, place))
    return by_stage
