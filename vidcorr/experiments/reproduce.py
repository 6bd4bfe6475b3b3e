"""Published scores, repeated with public weights and compared to the printed digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, cast

from ..benchmarks.base import Benchmark
from ..benchmarks.network import NetworkSpec
from ..functional import PropagationProtocol
from ..results.published import PUBLISHED, line_of, published_row
from ..results.records import Record, score_of
from ..results.rendering import percent
from .configured import protocols_of, views_of
from .evaluate import Job, Runner, process_group
from .grid import single_changes
from .study import Study, StudyRow

MOST_CHANGES = 5
"""Number of printed changes of single fields."""


def protocol_of(row: StudyRow, evaluation: str) -> str:
    """Return the name of a row's protocol; empty for the config's protocol.

    Raises:
        ValueError: if the row's evaluation has other arguments.
    """
    arguments = row.evaluate.get(evaluation, ())
    if arguments and (arguments[0], len(arguments)) != ("--protocol", 2):
        raise ValueError(f"row {row.name!r}: {' '.join(arguments)}: a row to reproduce names its protocol alone")
    return "".join(arguments[1:])


def described(row: StudyRow, evaluation: str) -> str:
    """Return a row's printed score, and its protocol and doubt, in words."""
    printed = row.published[evaluation]
    parts = [f"{evaluation} {printed} printed"]
    if protocol := protocol_of(row, evaluation):
        known = published_row(evaluation, protocol, printed)
        parts.append(f"protocol {protocol}")
        if known and known.doubt:
            parts.append(f"doubt: {known.doubt}")
    return "; ".join(parts)


def not_repeated(study: Study) -> list[str]:
    """Return a line per published row that the study does not evaluate."""
    pairs = [(row, name) for row in study.rows for name in row.published if name in study.evaluate]
    repeated = [published_row(name, protocol_of(row, name), row.published[name]) for row, name in pairs]
    return [line_of(row) for row in PUBLISHED if row not in repeated]


def jobs_of(
    row: StudyRow,
    name: str,
    benchmark: Benchmark,
    protocols: Sequence[str],
    changes: Mapping[str, Any],
    stages: Sequence[str],
    strides: Sequence[int],
) -> list[Job]:
    """Return the jobs of a row on a benchmark; protocols, stages and strides replace the row's own.

    Args:
        row: the row.
        name: evaluation of the study.
        benchmark: its benchmark.
        protocols: names of protocols.
        changes: new values of protocol fields.
        stages: stages of the features.
        strides: strides of the features.
    """
    (chosen,) = protocols_of([benchmark], protocols or list(filter(None, [protocol_of(row, name)])), changes)
    network = NetworkSpec.read(row.model[0], "--pretrained" in row.model)
    views = views_of([network], stages, strides)
    return [Job(view, benchmark, protocol) for view, protocol in product(views, chosen)]


def repeat(jobs: Mapping[Job, tuple[str, float]], output: Path, fields: bool = True) -> None:
    """Score jobs, and print the differences from the printed scores.

    Args:
        jobs: job → name of its row, and printed score in per cent.
        output: folder of the results.
        fields: search for protocol fields that explain a difference.

    Raises:
        ValueError: if a job failed; raised once all other jobs have run.
    """
    with process_group() as rank:
        runner = Runner(output)
        for job, result in runner.run(list(jobs)).items():
            row, printed = jobs[job]
            (record,) = score_of(result)
            line, is_missed = verdict(f"{row} on {job.benchmark.name}", record, printed)
            print(line, flush=True)
            if is_missed and fields:
                for line in moving_fields(job, record, runner, printed):
                    print(f"  {line}")
    if rank == 0:
        runner.raise_failures(len(jobs))


def verdict(name: str, record: Record, printed: float) -> tuple[str, bool]:
    """Compare a score with a printed score, to the printed digits.

    Args:
        name: row and benchmark.
        record: the score.
        printed: printed score in per cent.

    Returns:
        A line of text, and True if the score differs.
    """
    digits, missed = len(str(printed).partition(".")[2]), 100 * record.value - printed
    is_missed = abs(missed) > 0.5 * 10**-digits + 1e-9
    said = f"{missed:+.{digits}f} of {printed} printed" if is_missed else "as printed"
    part = "" if record.result.on_test_set else f"; not the whole test set ({record.column.conditions})"
    return f"{name}: {100 * record.value:.{digits}f}, {said}{part}", is_missed


def moving_fields(job: Job, record: Record, runner: Runner, printed: float) -> list[str]:
    """Score all changes of a single field of a job's protocol.

    Args:
        job: job with a score that differs from the printed score.
        record: score of the job.
        runner: runner of the changes.
        printed: printed score in per cent.

    Returns:
        Lines with the largest changes, and with the change that comes nearest to the printed score.
    """
    kind, protocol = type(job.benchmark), cast("PropagationProtocol", job.protocol)
    others = single_changes(protocol, kind.default_name, kind.protocols_like)
    results = runner.run([Job(job.network, job.benchmark, other) for other in others])
    values = {other.protocol.name: score_of(result, record.column.score)[0].value for other, result in results.items()}
    moved = sorted(values, key=lambda name: -abs(values[name] - record.value))
    lines = [f"{name}: {100 * (values[name] - record.value):+.1f}" for name in moved[:MOST_CHANGES]]
    nearest = min(moved, key=lambda name: abs(100 * values[name] - printed))
    return [*lines, f"nearest to the printed score: {nearest}, {percent(values[nearest])}"]
