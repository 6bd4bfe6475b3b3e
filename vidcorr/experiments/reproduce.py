"""Published scores, repeated with public weights and compared to the printed digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, cast

from ..benchmarks.base import Benchmark
from ..benchmarks.network import NetworkSpec
from ..functional import PropagationProtocol
from ..results.published import PUBLISHED, Published, published_row
from ..results.records import Record, score_of
from ..results.statistics import from_best
from ..results.text_tables import percent, text_table
from .configured import views_of
from .evaluate import Job, Runner, process_group
from .grid import single_changes
from .protocol_choice import protocols_of
from .study import Study, StudyRow

MOST_CHANGES = 5
"""Number of printed changes of single fields."""
LIST = ("row", "benchmark", "score", "printed", "protocol", "weights")
"""Heads of the list of rows; a printed number with a question mark has a doubt."""
COMPARED = ("row", "benchmark", "score", "printed", "here", "difference", "")
"""Heads of the comparison."""


class PrintedScores(NamedTuple):
    """The printed scores of a row on a benchmark.

    Attributes:
        row: name of the row.
        scores: key → number in per cent, with the printed digits; `MAIN` stands for the benchmark's first score.
    """

    row: str
    scores: Mapping[str, float]


def evaluations_of(study: Study, config: str) -> list[str]:
    """Return the evaluations of a study that use a config of a benchmark.

    Args:
        study: the study.
        config: name in configs/benchmarks, or path of a YAML file, as after `--on`.
    """
    return [name for name in study.evaluate if config_of(study, name) == config]


def config_of(study: Study, evaluation: str) -> str:
    """Return the config of an evaluation's benchmark; empty if it names none."""
    words = study.evaluate[evaluation]
    if "--on" not in words[:-1]:
        return ""
    return words[words.index("--on") + 1].partition("=")[0]


def protocol_of(row: StudyRow, evaluation: str) -> str:
    """Return the name of a row's protocol; empty for the config's protocol.

    Raises:
        ValueError: if the row's evaluation has other arguments.
    """
    arguments = row.arguments_of(evaluation)
    if arguments and (arguments[0], len(arguments)) != ("--protocol", 2):
        raise ValueError(
            f"row {row.name!r}: {' '.join(arguments)}: a row to reproduce may have --protocol alone; leave out the rest"
        )
    return "".join(arguments[1:])


def published_of(study: Study, row: StudyRow, evaluation: str, score: str) -> Published | None:
    """Return the row of published.csv with a score of a study's row; None without one, or without a protocol."""
    protocol = protocol_of(row, evaluation)
    if not protocol:
        return None
    return published_row(config_of(study, evaluation), protocol, study.printed(row, evaluation)[score], score)


def listed(study: Study, rows: Sequence[StudyRow], evaluations: Sequence[str]) -> str:
    """Return rows as a table: printed scores, protocols and weights; doubts below."""
    lines = []
    doubts: dict[str, dict[str, None]] = {}
    for row in rows:
        for evaluation in evaluations:
            for score, number in study.printed(row, evaluation).items():
                printed = str(number)
                known = published_of(study, row, evaluation, score)
                if known and known.doubt:
                    printed = f"{number} ?"
                    doubts.setdefault(known.doubt, {})[f"{row.name} {evaluation}"] = None
                protocol = protocol_of(row, evaluation)
                lines.append([row.name, evaluation, score or "the first", printed, protocol, weights_of(row)])
    text = text_table(LIST, lines)
    for doubt, names in doubts.items():
        text += f"? {', '.join(names)}: {doubt}\n"
    return text


def weights_of(row: StudyRow) -> str:
    """Return where the weights of a row are, and whether its file is missing."""
    is_missing = row.model[0].endswith(".ckpt") and not Path(row.model[0]).is_file()
    return f"{row.model[0]} is missing: {row.download}" if is_missing else row.download


def not_repeated(study: Study) -> str:
    """Return the published rows that the study does not evaluate, as a table."""
    repeated = []
    for row in study.rows:
        for evaluation in row.published:
            for score in study.printed(row, evaluation):
                repeated.append(published_of(study, row, evaluation, score))
    lines = []
    for published in PUBLISHED:
        if published not in repeated:
            score, number = next(iter(published.scores.items()))
            printed = f"{100 * number:.6g}"
            if published.doubt:
                printed += " ?"
            lines.append([published.name, published.benchmark, score, printed, published.protocol, published.weights])
    return text_table(LIST, lines)


def jobs_of(
    row: StudyRow,
    evaluation: str,
    benchmark: Benchmark,
    protocols: Sequence[str],
    changes: Mapping[str, Any],
    stages: Sequence[str],
    strides: Sequence[int],
) -> list[Job]:
    """Return the jobs of a row on a benchmark; protocols, stages and strides replace the row's own.

    Args:
        row: the row.
        evaluation: evaluation of the study.
        benchmark: its benchmark.
        protocols: names of protocols.
        changes: new values of protocol fields.
        stages: stages of the features.
        strides: strides of the features.
    """
    own = protocol_of(row, evaluation)
    names = protocols
    if own and not protocols:
        names = [own]
    (chosen,) = protocols_of([benchmark], names, changes)
    network = NetworkSpec.read(row.model[0], "--pretrained" in row.model)
    views = views_of([network], stages, strides)
    return [Job(view, benchmark, protocol) for view, protocol in product(views, chosen)]


def repeat(jobs: Mapping[Job, PrintedScores], output: Path, fields: bool = True) -> None:
    """Score jobs, and print a table of the differences from the printed scores.

    Args:
        jobs: job → its printed scores.
        output: folder of the results.
        fields: search for protocol fields that explain a difference.

    Raises:
        ValueError: if a job failed; raised once all other jobs have run.
    """
    with process_group() as rank:
        runner = Runner(output)
        lines = []
        missed = []
        for job, result in runner.run(list(jobs)).items():
            printed = jobs[job]
            for score, number in printed.scores.items():
                record = score_of(result, score)[0]
                line, is_missed = verdict(printed.row, job.benchmark.name, record, number)
                lines.append(line)
                if is_missed:
                    missed.append((job, printed.row, record, number))
        if lines:
            print(f"\n{text_table(COMPARED, lines)}", flush=True)
        for job in runner.elsewhere:
            print(f"Not in the table, because it runs elsewhere: {job.title}")
        if fields:
            for job, row, record, number in missed:
                print(f"{row} on {job.benchmark.name}, {record.column.score} by other values of a field:")
                print(text_table(("", "", ""), moving_fields(job, record, runner, number)), flush=True)
    if rank == 0:
        runner.raise_failures(len(jobs))


def verdict(row: str, benchmark: str, record: Record, printed: float) -> tuple[list[str], bool]:
    """Compare a score with a printed score, to the printed digits.

    Args:
        row: name of the row.
        benchmark: name of the benchmark.
        record: the score.
        printed: printed score in per cent.

    Returns:
        Cells for `COMPARED`, and True if the score differs.
    """
    digits = len(str(printed).partition(".")[2])
    difference = 100 * record.value - printed
    is_missed = not abs(difference) <= 0.5 * 10**-digits + 1e-9  # written so that NaN is missed too
    remarks: list[str] = []
    if not is_missed:
        remarks.append("as printed")
    if not record.result.on_test_set:
        remarks.append(f"not the whole test set ({record.column.conditions})")
    here = f"{100 * record.value:.{digits}f}"
    off = f"{difference:+.{digits}f}"
    return [row, benchmark, record.column.score, str(printed), here, off, "; ".join(remarks)], is_missed


def moving_fields(job: Job, record: Record, runner: Runner, printed: float) -> list[list[str]]:
    """Score all changes of a single field of a job's protocol.

    Args:
        job: job with a score that differs from the printed score.
        record: score of the job.
        runner: runner of the changes.
        printed: printed score in per cent.

    Returns:
        Protocol, score and difference from the job's score: of the largest changes, and last of the change that comes
        nearest to the printed score.
    """
    kind = type(job.benchmark)
    protocol = cast("PropagationProtocol", job.protocol)
    others = single_changes(protocol, kind.default_name, kind.protocols_like)
    results = runner.run([Job(job.network, job.benchmark, other) for other in others])
    values = {}
    for other, result in results.items():
        values[other.protocol.name] = score_of(result, record.column.score)[0].value
    if not values:
        return [["no field has another value in a named protocol", "", ""]]
    moved = sorted(values, key=lambda name: from_best(abs(values[name] - record.value)))
    nearest = min(values, key=lambda name: abs(100 * values[name] - printed))
    lines = []
    for name in [*moved[:MOST_CHANGES], nearest]:
        lines.append([name, percent(values[name]), f"{100 * (values[name] - record.value):+.1f}"])
    lines[-1][0] = f"nearest to the printed score: {nearest}"
    return lines
