"""Published scores, repeated with public weights and compared to the printed digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..benchmarks.network import NetworkSpec
from ..results.formats import grid
from ..results.published import Published, published_row
from ..results.records import Record, score_of
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
                doubt = known.doubt if known else ""
                if doubt:
                    doubts.setdefault(doubt, {})[f"{row.name} {evaluation}"] = None
                printed = f"{number} ?" if doubt else str(number)
                facts = [score or "the first", printed, protocol_of(row, evaluation), weights_of(row)]
                lines.append([row.name, evaluation, *facts])
    text = grid("text", LIST, lines, right=len(LIST))
    for doubt, names in doubts.items():
        text += f"? {', '.join(names)}: {doubt}\n"
    return text


def lacks_weights(row: StudyRow) -> bool:
    """Return whether the file of a row's weights is missing."""
    return row.model[0].endswith(".ckpt") and not Path(row.model[0]).is_file()


def weights_of(row: StudyRow) -> str:
    """Return where the weights of a row are, and whether its file is missing."""
    return f"{row.model[0]} is missing: {row.download}" if lacks_weights(row) else row.download


def repeat(
    study: Study, rows: Sequence[StudyRow], benchmarks: Sequence[BenchmarkChoice], limit: int | None, output: Path
) -> None:
    """Score rows by their networks and protocols, and print the printed scores beside.

    Args:
        study: the study of the rows.
        rows: rows whose weights are here.
        benchmarks: benchmarks with their data; a row is scored on those for which it has a printed score.
        limit: number of sequences; None: all.
        output: folder of the results.

    Raises:
        ValueError: if no row has a printed score; or if a job failed, after all other jobs.
    """
    printed: dict[Job, tuple[str, Mapping[str, float]]] = {}
    for choice in benchmarks:
        for row in rows:
            for evaluation in row.published:
                if config_of(study, evaluation) == choice.config:
                    protocol = protocol_of(row, evaluation)
                    benchmark = choice.under(protocol).with_arguments(limit_sequences=limit).build()
                    network = NetworkSpec.read(row.model[0], "--pretrained" in row.model)
                    printed[Job(network, benchmark)] = row.name, study.printed(row, evaluation)
    if not printed:
        raise ValueError(f"no row has a printed score on {', '.join(each.config for each in benchmarks)}")
    with process_group():
        runner = Runner(output)
        lines = []
        for job, result in runner.run(list(printed)).items():
            row_name, scores = printed[job]
            for score, number in scores.items():
                lines.append(compared(row_name, score_of(result, score), number))
        print(f"\n{grid('text', COMPARED, lines, right=len(COMPARED))}", flush=True)
    runner.raise_failures()


def compared(row: str, record: Record, printed: float) -> list[str]:
    """Return the cells of `COMPARED` for a score and a printed score in per cent, to the printed digits."""
    digits = len(str(printed).partition(".")[2])
    difference = 100 * record.value - printed
    remarks = []
    if abs(difference) <= 0.5 * 10**-digits + 1e-9:
        remarks.append("as printed")
    if not record.result.on_test_set:
        remarks.append(f"not the whole test set ({record.column.conditions})")
    here = f"{100 * record.value:.{digits}f}"
    off = f"{difference:+.{digits}f}"
    return [row, record.result.benchmark, record.column.score, str(printed), here, off, "; ".join(remarks)]
