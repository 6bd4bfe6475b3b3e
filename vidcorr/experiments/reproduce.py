"""Published scores, repeated with public weights and compared to the printed digits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..backbones import NamedNetwork
from ..results.formats import grid
from ..results.published import Published
from ..results.records import Record
from ..results.result import Result
from .benchmark_choice import BenchmarkChoice
from .evaluate import Job, Runner, process_group

LIST = ("row", "benchmark", "score", "printed", "protocol", "weights", "doubt")
"""Heads of the list of rows."""
COMPARED = ("row", "benchmark", "score", "printed", "here", "difference", "")
"""Heads of the comparison."""


def listed(rows: Sequence[Published]) -> str:
    """Return rows as a table: the first printed score, protocol, weights and doubt."""
    lines = []
    for row in rows:
        score, value = next(iter(row.scores.items()))
        weights = f"{row.model} is missing: {row.download}" if lacks_weights(row) else row.download
        lines.append([row.short_name, row.benchmark, score, _in_per_cent(value), row.protocol, weights, row.doubt])
    return grid("text", LIST, lines, right=len(LIST))


def lacks_weights(row: Published) -> bool:
    """Return whether the file of a row's weights is missing."""
    return row.model.endswith(".ckpt") and not Path(row.model).is_file()


def reproduce(rows: Sequence[Published], benchmarks: Sequence[BenchmarkChoice], output: Path) -> None:
    """Evaluate the networks of published rows by their protocols, and print our scores beside the published ones.

    Args:
        rows: rows whose weights are here.
        benchmarks: benchmarks with their data, each for its rows.
        output: folder of the results.

    Raises:
        ValueError: if no row has a printed score; or if a job failed, after all other jobs.
    """
    row_of_job: dict[Job, Published] = {}
    for choice in benchmarks:
        for row in rows:
            if row.benchmark == choice.config:
                benchmark = choice.with_arguments(protocol=row.protocol).build()
                network = NamedNetwork(row.model, pretrained=row.model.startswith("timm:"))
                row_of_job[Job(network, benchmark)] = row
    if not row_of_job:
        raise ValueError(f"no row has a printed score on {', '.join(each.config for each in benchmarks)}")
    with process_group():
        runner = Runner(output)
        lines = []
        for job, result in runner.run(list(row_of_job)).items():
            row = row_of_job[job]
            lines += [[row.short_name, *compared(result, score, value)] for score, value in row.scores.items()]
        print(f"\n{grid('text', COMPARED, lines, right=len(COMPARED))}", flush=True)
    runner.raise_failures()


def compared(result: Result, score: str, published: float) -> list[str]:
    """Return the cells of `COMPARED` but the first, in per cent with the printed digits.

    Args:
        result: our result.
        score: name of the score.
        published: the paper's score, a fraction.
    """
    printed = _in_per_cent(published)
    digits = len(printed.partition(".")[2])
    here = 100 * result.scores[score]
    difference = here - float(printed)
    remarks = []
    if abs(difference) <= 0.5 * 10**-digits + 1e-9:  # rounds to the printed digits
        remarks.append("as printed")
    if not result.on_test_set:
        remarks.append(f"not the whole test set ({Record(result, score).column.conditions})")
    return [result.benchmark, score, printed, f"{here:.{digits}f}", f"{difference:+.{digits}f}", "; ".join(remarks)]


def _in_per_cent(value: float) -> str:
    """Return a published fraction in per cent, with the digits that the paper prints: 0.523 is 52.3, 0.52 is 52.0."""
    digits = max(1, len(str(value)) - len("0.00"))  # two decimals of the fraction stand before the point of per cent
    return f"{100 * value:.{digits}f}"
