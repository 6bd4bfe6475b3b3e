"""Published scores, repeated with public weights and compared to the printed digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..benchmarks.network import NetworkSpec
from ..results.formats import grid
from ..results.published import Published, published_row
from ..results.records import score_of
from ..results.result import Result
from .benchmark_choice import BenchmarkChoice
from .evaluate import Job, Runner, process_group
from .study import Study, StudyRow

LIST = ("row", "benchmark", "score", "printed", "protocol", "weights")
"""Heads of the list of rows; a printed number with a question mark has a doubt."""
COMPARED = ("row", "benchmark", "score", "printed", "here", "difference", "")
"""Heads of the comparison."""


def config_of(study: Study, evaluation: str) -> str:
    """Return the config of an evaluation's benchmark, as after `--on`."""
    words = study.evaluate[evaluation]
    return words[words.index("--on") + 1].partition("=")[0]


def protocol_of(row: StudyRow, evaluation: str) -> str:
    """Return the name of a row's protocol; empty for the config's protocol."""
    return "".join(row.arguments_of(evaluation)[1:])


def published_of(study: Study, row: StudyRow, evaluation: str, score: str) -> Published | None:
    """Return the row of published.csv with a score of a study's row; None without one, or without a protocol."""
    protocol = protocol_of(row, evaluation)
    if not protocol:
        return None
    return published_row(config_of(study, evaluation), protocol, study.printed(row, evaluation)[score], score)


def listed(study: Study, rows: Sequence[StudyRow]) -> str:
    """Return rows as a table: printed scores, protocols and weights; doubts below."""
    lines = []
    doubts: dict[str, dict[str, None]] = {}
    for row in rows:
        for evaluation in row.published:
            for score, number in study.printed(row, evaluation).items():
                known = published_of(study, row, evaluation, score)
                printed = str(number)
                if known and known.doubt:
                    doubts.setdefault(known.doubt, {})[f"{row.name} {evaluation}"] = None
                    printed += " ?"
                weights = f"{row.model[0]} is missing: {row.download}" if lacks_weights(row) else row.download
                lines.append([row.name, evaluation, score, printed, protocol_of(row, evaluation), weights])
    text = grid("text", LIST, lines, right=len(LIST))
    for doubt, names in doubts.items():
        text += f"? {', '.join(names)}: {doubt}\n"
    return text


def lacks_weights(row: StudyRow) -> bool:
    """Return whether the file of a row's weights is missing."""
    return row.model[0].endswith(".ckpt") and not Path(row.model[0]).is_file()


def repeat(study: Study, rows: Sequence[StudyRow], benchmarks: Sequence[BenchmarkChoice], output: Path) -> None:
    """Score rows by their networks and protocols, and print the printed scores beside.

    Args:
        study: the study of the rows.
        rows: rows whose weights are here.
        benchmarks: benchmarks with their data; a row is scored on those for which it has a printed score.
        output: folder of the results.

    Raises:
        ValueError: if no row has a printed score; or if a job failed, after all other jobs.
    """
    printed: dict[Job, tuple[str, Mapping[str, float]]] = {}
    for choice in benchmarks:
        for row in rows:
            for evaluation in row.published:
                if config_of(study, evaluation) == choice.config:
                    benchmark = choice.with_arguments(protocol=protocol_of(row, evaluation) or None).build()
                    network = NetworkSpec.read(row.model[0], "--pretrained" in row.model)
                    printed[Job(network, benchmark)] = row.name, study.printed(row, evaluation)
    if not printed:
        raise ValueError(f"no row has a printed score on {', '.join(each.config for each in benchmarks)}")
    with process_group():
        runner = Runner(output)
        lines = []
        for job, result in runner.run(list(printed)).items():
            name, scores = printed[job]
            lines += [[name, *compared(result, score, number)] for score, number in scores.items()]
        print(f"\n{grid('text', COMPARED, lines, right=len(COMPARED))}", flush=True)
    runner.raise_failures()


def compared(result: Result, score: str, printed: float) -> list[str]:
    """Return the cells of `COMPARED` but the first: a score and a printed score in per cent, to the printed digits."""
    digits = len(str(printed).partition(".")[2])
    record = score_of(result, score)
    difference = 100 * record.value - printed
    remarks = []
    if abs(difference) <= 0.5 * 10**-digits + 1e-9:
        remarks.append("as printed")
    if not result.on_test_set:
        remarks.append(f"not the whole test set ({record.column.conditions})")
    here = f"{100 * record.value:.{digits}f}"
    return [result.benchmark, score, str(printed), here, f"{difference:+.{digits}f}", "; ".join(remarks)]
