"""Repeat published scores with public weights, and find the protocol fields that explain a difference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..command_line.configs import find_config
from ..experiments.configured import common_flags, read_on

if TYPE_CHECKING:  # with torch, which a mistake need not wait for
    from ..experiments.configured import Configured
    from ..experiments.job import Job
    from ..experiments.runner import Runner
    from ..results.records import Record
    from .study_plan import Study, StudyRow

MOST_CHANGES = 5
"""Number of printed changes of single fields."""


def command(args: Sequence[str]) -> None:
    """Run `vidcorr reproduce` with its arguments.

    Raises:
        ValueError: for a user's mistake, or if a row failed.
    """
    parser = common_flags("vidcorr reproduce", __doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to repeat (default: all rows with weights)")
    parser.add_argument("--study", default="studies/published.yaml", help="YAML file (default: %(default)s)")
    parser.add_argument("--no-fields", action="store_true", help="do not search for fields that explain a difference")
    parser.add_argument("--output", type=Path, default="reproduced", help="folder of results (default: reproduced)")
    flags = parser.parse_args(list(args))
    configured = read_on(flags.on)

    from .study_plan import read_study

    study = read_study(find_config(flags.study))
    rows = [study.row(name) for name in flags.rows] or list(study.rows)
    wanted = [entry.name for entry in configured] or list(study.evaluations)
    if not any(name in row.published for row in rows for name in wanted):
        raise ValueError(
            f"--on {' '.join(wanted)}: no row has a printed score; rows have {', '.join(study.evaluations)}"
        )
    missing = [row for row in rows if spec_of(row).endswith(".ckpt") and not Path(spec_of(row)).is_file()]
    for row in missing if configured else rows:
        needs = f"{spec_of(row)} is missing: " if row in missing else ""
        for name in (name for name in wanted if name in row.published):
            printed = f"{name} {row.published[name]} printed{conditions(row, name)}"
            print(f"{row.name}: {printed}; {needs}weights: {row.download}")
    if not configured and not flags.rows:
        print("\n".join(["", "other published rows:", *not_repeated(study)]))
    if configured:
        _repeat([row for row in rows if row not in missing], configured, flags)
    if configured and missing and flags.rows:
        raise ValueError("; ".join(f"{row.name}: its weights are missing" for row in missing))


def _repeat(rows: Sequence[StudyRow], configured: Sequence[Configured], flags: Any) -> None:
    """Score rows on benchmarks, and compare the scores with the printed scores."""
    from lightning_modules.checkpoints import allow_named

    from ..experiments.runner import Runner, process_group
    from ..experiments.store import Store
    from ..results.records import score_of

    allow_named(vars(flags))
    benchmarks = {entry.name: entry.build(limit_sequences=flags.limit) for entry in configured}
    jobs = {
        job_of(row, name, benchmark): (row, row.published[name])
        for name, benchmark in benchmarks.items()
        for row in rows
        if name in row.published
    }
    with process_group() as rank:
        runner = Runner(Store(flags.output))
        for job, result in runner.run(list(jobs)).items():
            row, printed = jobs[job]
            (record,) = score_of(result)
            line, is_missed = verdict(f"{row.name} on {job.benchmark.name}", record, printed)
            print(line, flush=True)
            if is_missed and not flags.no_fields:
                for line in moving_fields(job, record, runner, printed):
                    print(f"  {line}")
    if rank == 0:
        runner.raise_failures(len(jobs))


def spec_of(row: StudyRow) -> str:
    """Return the name of a row's network."""
    return row.model[0]


def protocol_of(row: StudyRow, evaluation: str) -> str:
    """Return the name of a row's protocol; empty for the config's protocol.

    Raises:
        ValueError: if the row's evaluation has other arguments.
    """
    arguments = row.evaluate.get(evaluation, ())
    if arguments and (arguments[0], len(arguments)) != ("--trainer.callbacks.protocol", 2):
        raise ValueError(f"row {row.name!r}: {' '.join(arguments)}: a row to reproduce names its protocol alone")
    return "".join(arguments[1:])


def conditions(row: StudyRow, evaluation: str) -> str:
    """Return protocol, input size and doubt of a row, in words."""
    from lightning_modules.functional import PropagationProtocol

    from ..results.published import published_row, seen_size

    if not (protocol := protocol_of(row, evaluation)):
        return ""
    known = published_row(evaluation, protocol, row.published[evaluation])
    size = seen_size(PropagationProtocol.named(protocol, evaluation, ("davis",)))
    return f"; protocol {protocol}, {size}" + (f"; doubt: {known.doubt}" if known and known.doubt else "")


def not_repeated(study: Study) -> list[str]:
    """Return a line per published row that the study does not evaluate."""
    from ..results.published import PUBLISHED, line_of, published_row

    pairs = [(row, name) for row in study.rows for name in row.published if name in study.evaluations]
    found = [published_row(name, protocol_of(row, name), row.published[name]) for row, name in pairs]
    return [line_of(row) for row in PUBLISHED if row not in found]


def job_of(row: StudyRow, evaluation: str, benchmark: Any) -> Job:
    """Return the job of a row: its frozen network, a benchmark, and the row's protocol."""
    from ..experiments.configured import protocols_of
    from ..experiments.job import Job, NetworkSpec

    network = NetworkSpec.of_study(row.model)
    ((protocol,),) = protocols_of([benchmark], list(filter(None, [protocol_of(row, evaluation)])))
    return Job(network, benchmark, protocol)


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
    from ..experiments.grid import single_changes
    from ..experiments.job import Job
    from ..results.records import score_of
    from ..results.rendering import percent

    kind: Any = type(job.benchmark)
    base: Any = job.protocol
    protocols = single_changes(base, kind.name, kind.protocols_like)
    found = runner.run([Job(job.network, job.benchmark, protocol) for protocol in protocols])
    changes = [
        (score_of(result, record.column.score)[0].value - record.value, changed.protocol)
        for changed, result in found.items()
    ]
    changes.sort(key=lambda pair: -abs(pair[0]))
    lines = [f"{protocol.name}: {100 * change:+.1f}" for change, protocol in changes[:MOST_CHANGES]]
    near, nearest = min(changes, key=lambda pair: abs(100 * (record.value + pair[0]) - printed))
    return [*lines, f"nearest to the printed score: {nearest.name}, {percent(record.value + near)}"]
