"""The table of a study: rows over their seeds, differences from the base row, and the scores of the paper."""

from collections.abc import Iterator
from pathlib import Path

from ..results.records import Cell, Record, Table, score_of
from ..results.result import RESULTS_FILE, Result
from ..videos.files import slug
from .study import Study, StudyRow


def study_table(study: Study, output: Path) -> Table:
    """Make the table of a study from all results in a folder, also of seeds that the study does not list.

    A row is a training over its seeds, a column an evaluation, followed by a column of the paper's scores.

    Args:
        study: the study.
        output: folder of its runs and results.

    Raises:
        ValueError: if the folder has no results, a result is damaged or lacks the study's score, or a row has two
            results for a seed.
    """
    rows: dict[str, dict[str, Cell]] = {}
    for row in study.rows:
        rows[row.name] = {f"{name}, paper": Cell(published=value / 100) for name, value in row.published.items()}
        for name in study.evaluations:
            if records := tuple(_records(study, row, name, output)):
                # a single seed of an untrained model stands for a network, all other seeds are samples
                rows[row.name][name] = Cell(records, trained=not row.model or len(records) > 1)
    if not any(name in row for row in rows.values() for name in study.evaluations):
        raise ValueError(f"{output}: holds no result of the study {study.title!r}; run the study first")
    heads = [head for name in study.evaluations for head in (name, f"{name}, paper")]
    filled = [head for head in heads if head in study.evaluations or any(head in row for row in rows.values())]
    return Table({study.title: {head: head for head in filled}}, rows).with_differences(study.base)


def _records(study: Study, row: StudyRow, evaluation: str, output: Path) -> Iterator[Record]:
    """Yield the scores of a row by seed."""
    places: dict[int, Path] = {}
    for file in (output / slug(row.name)).glob(f"seed-*/{slug(evaluation)}-????????/**/{RESULTS_FILE}"):
        place, seed = file.parent, int(file.relative_to(output).parts[1].split("-")[1])
        if (first := places.setdefault(seed, place)) != place:
            twice = f"two results of {row.name!r} for seed {seed}, {first} and {place}"
            raise ValueError(f"{twice}: of one run, whose arguments in the study have changed; remove the old one")
    for seed, place in sorted(places.items()):
        result = Result.load(place)
        seeded = result.model_copy(update={"network": result.network.model_copy(update={"seed": seed})})
        yield score_of(seeded, study.score, place)[0]
