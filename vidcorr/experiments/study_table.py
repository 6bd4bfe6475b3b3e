"""The table of a study, and the page with its curves and reports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..results.page import write_study_page
from ..results.records import Cell, Record, Table, score_of
from ..results.rendering import render
from ..results.statistics import FEWEST_SEEDS
from ..videos.files import write_atomically
from .figure import figure
from .store import Store
from .study_plan import Study, StudyEvaluation, StudyRow
from .training import Training


def show_study(study: Study, store: Store) -> None:
    """Print the table of a study, and write it if its folder exists: table.md, table.csv and study.html."""
    table, output = study_table(study, store), store.folder
    print(text := study_markdown(study, table))
    if output.is_dir():
        write_atomically(output / "table.md", text + "\n")
        write_atomically(output / "table.csv", render(table, "csv"))
        print(f"{output / 'table.md'}, {output / 'table.csv'}, {_write_page(study, table, store)}")


def study_table(study: Study, store: Store) -> Table:
    """Make the table of a study from all results in a store, also of seeds that the study does not list.

    A row is a training over its seeds, a column an evaluation, followed by a column of the paper's scores.

    Raises:
        ValueError: if a result is damaged, or lacks the study's score.
    """
    rows: dict[str, dict[str, Cell]] = {}
    for row in study.rows:
        records_of: dict[str, list[Record]] = {}
        for evaluation in _done(study, row, store):
            result = store.result(evaluation)
            seeded = result.network.model_copy(update={"seed": evaluation.seed})
            result = result.model_copy(update={"network": seeded})
            record = score_of(result, study.score, store.folder_of(evaluation))[0]
            records_of.setdefault(evaluation.name, []).append(record)
        rows[row.name] = {f"{name}, paper": Cell(published=value / 100) for name, value in row.published.items()}
        for name, records in records_of.items():
            # a single seed of an untrained model stands for a network, all other seeds are samples
            rows[row.name][name] = Cell(tuple(records), trained=not row.model or len(records) > 1)
    heads = [head for name in study.evaluations for head in (name, f"{name}, paper")]
    filled = tuple(head for head in heads if head in study.evaluations or any(head in row for row in rows.values()))
    return Table({study.title: {head: head for head in filled}}, rows).with_differences(study.base)


def _done(study: Study, row: StudyRow, store: Store) -> Iterator[StudyEvaluation]:
    """Yield the finished evaluations of a row, of all seeds on disk."""
    names = {folder.name.split("-")[1] for folder in (store.folder / study.folder_of(row)).glob("seed-*")}
    for seed in sorted(int(name) for name in names if name.isdecimal()):
        yield from (job for job in study.jobs(row, seed) if not isinstance(job, Training) and store.holds(job))


def _write_page(study: Study, table: Table, store: Store) -> Path:
    """Write study.html, with curves of the trainings that ran the benchmark davis."""
    reports: dict[tuple[str, str], dict[int, Path]] = {}
    runs: dict[Path, None] = {}
    for evaluation in (found for row in study.rows for found in _done(study, row, store)):
        if (page := store.folder_of(evaluation) / "report.html").is_file():
            reports.setdefault((evaluation.row, evaluation.name), {})[evaluation.seed] = page
        if evaluation.training is not None:
            runs[store.folder_of(evaluation.training)] = None
    measured = [run for run in runs if any(run.glob("**/benchmarks/davis/epoch=*/results.json"))]
    curves = figure(measured, store.folder / "curves.png") if measured else None
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
