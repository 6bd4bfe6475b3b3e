"""Repeat published scores whose weights are public, and see which field of the protocol moves those that differ."""

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
"""Changes of single fields that are shown."""


def command(args: Sequence[str]) -> None:
    """Run `vidcorr reproduce` with its arguments.

    Raises:
        ValueError: for a user's mistake, or if a row failed; one line.
    """
    parser = common_flags("vidcorr reproduce", __doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to repeat (default: all whose weights are there)")
    parser.add_argument("--study", default="studies/published.yaml", help="YAML file of the rows")
    parser.add_argument("--no-fields", action="store_true", help="do not look for the field that moves a score")
    parser.add_argument("--output", type=Path, default=Path("reproduced"), help="folder of results")
    flags = parser.parse_args(list(args))
    configured = read_on(flags.on)

    from .study_plan import read_study

    study = read_study(find_config(flags.study))
    rows = [study.row(name) for name in flags.rows] or list(study.rows)
    wanted = [each.text.partition("=")[0] for each in configured] or list(study.evaluations)
    if not any(name in row.published for row in rows for name in wanted):
        raise ValueError(
            f"--on {' '.join(wanted)}: no row has a printed score; there are {', '.join(study.evaluations)}"
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
    """Score rows on benchmarks, and say of each whether it is as printed."""
    from lightning_modules.checkpoints import allow_named

    from ..experiments.runner import Runner, process_group
    from ..experiments.store import Store
    from ..results.records import score_of

    allow_named(vars(flags))
    benchmarks = {each.text.partition("=")[0]: each.build(limit_sequences=flags.limit) for each in configured}
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
    """Return the network of a row, as its `--model` names it."""
    return row.model[row.model.index("--model") + 1]


def protocol_of(row: StudyRow, evaluation: str) -> str:
    """Return the name of the protocol that a row is evaluated by; empty: that of the config.

    Raises:
        ValueError: if the row has other arguments; one line.
    """
    arguments = row.evaluate.get(evaluation, ())
    if arguments and (arguments[0], len(arguments)) != ("--trainer.callbacks.protocol", 2):
        raise ValueError(f"row {row.name!r}: {' '.join(arguments)}: a row to reproduce names its protocol alone")
    return "".join(arguments[1:])


def conditions(row: StudyRow, evaluation: str) -> str:
    """Return the protocol of a row, the size that its network sees, and what is in doubt, in words."""
    from lightning_modules.functional import PropagationProtocol

    from ..results.published import published_row, seen_size

    if not (protocol := protocol_of(row, evaluation)):
        return ""
    known = published_row(evaluation, protocol, row.published[evaluation])
    size = seen_size(PropagationProtocol.named(protocol, evaluation, ("davis",)))
    return f"; protocol {protocol}, {size}" + (f"; doubt: {known.doubt}" if known and known.doubt else "")


def not_repeated(study: Study) -> list[str]:
    """Return the published rows that a study does not evaluate, one line each."""
    from ..results.published import PUBLISHED, line_of, published_row

    pairs = [(row, name) for row in study.rows for name in row.published if name in study.evaluations]
    found = [published_row(name, protocol_of(row, name), row.published[name]) for row, name in pairs]
    return [line_of(row) for row in PUBLISHED if row not in found]


def job_of(row: StudyRow, evaluation: str, benchmark: Any) -> Job:
    """Return the job of a row: its frozen network on a benchmark, by the protocol that its arguments name."""
    from ..experiments.configured import protocols_of
    from ..experiments.job import Job, NetworkSpec

    network = NetworkSpec.read(spec_of(row), "--model.pretrained" in row.model)
    ((protocol,),) = protocols_of([benchmark], list(filter(None, [protocol_of(row, evaluation)])))
    return Job(network, benchmark, protocol)


def verdict(name: str, record: Record, printed: float) -> tuple[str, bool]:
    """Return in one line whether a score is the printed one, in per cent with its digits; and whether it misses it."""
    digits, missed = len(str(printed).partition(".")[2]), 100 * record.value - printed
    is_missed = abs(missed) > 0.5 * 10**-digits + 1e-9
    said = f"{missed:+.{digits}f} of {printed} printed" if is_missed else "as printed"
    part = "" if record.result.on_test_set else f"; not the whole test set ({record.column.conditions})"
    return f"{name}: {100 * record.value:.{digits}f}, {said}{part}", is_missed


def moving_fields(job: Job, record: Record, runner: Runner, printed: float) -> list[str]:
    """Score each change of one field of a job's protocol; return the largest changes, and what comes nearest.

    Args:
        job: whose score is not the printed one.
        record: its score.
        runner: runs the changes.
        printed: score in per cent.
    """
    from ..experiments.grid import single_changes
    from ..experiments.job import Job
    from ..results.records import score_of
    from ..results.rendering import percent

    kind: Any = type(job.benchmark)
    base: Any = job.protocol
    others = [Job(job.network, job.benchmark, each) for each in single_changes(base, kind.name, kind.protocols_like)]
    found = runner.run(others)
    changes = [
        (score_of(result, record.column.score)[0].value - record.value, one.protocol) for one, result in found.items()
    ]
    changes.sort(key=lambda pair: -abs(pair[0]))
    lines = [f"{protocol.name}: {100 * change:+.1f}" for change, protocol in changes[:MOST_CHANGES]]
    near, nearest = min(changes, key=lambda pair: abs(100 * (record.value + pair[0]) - printed))
    return [*lines, f"nearest to the printed score: {nearest.name}, {percent(record.value + near)}"]
