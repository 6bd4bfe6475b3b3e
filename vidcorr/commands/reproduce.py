"""Repeat published scores with public weights, and find the protocol fields that explain a difference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..experiments.configured import common_flags, read_changes, read_on

if TYPE_CHECKING:  # pydantic, which a mistake need not wait for
    from ..experiments.evaluate import Job
    from ..experiments.study import StudyRow


def command(args: Sequence[str]) -> None:
    """Run `vidcorr reproduce` with its arguments.

    Raises:
        ValueError: for a user's mistake, or if a row failed.
    """
    parser = common_flags("vidcorr reproduce", __doc__, "reproduced")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to repeat (default: all rows with weights)")
    parser.add_argument("--study", default="studies/published.yaml", help="YAML file (default: %(default)s)")
    parser.add_argument("--no-fields", action="store_true", help="do not search for fields that explain a difference")
    flags = parser.parse_args(list(args))
    configured = read_on(flags.on)
    changes = read_changes(flags.change)

    from ..backbones.trust import allow_named
    from ..experiments.reproduce import PrintedScores, evaluations_of, jobs_of, listed, not_repeated, repeat
    from ..experiments.study import read_study

    study = read_study(flags.study)
    rows = [study.row(name) for name in dict.fromkeys(flags.rows)] or list(study.rows)
    if not configured:
        print(listed(study, rows, list(study.evaluate)), end="")
        if not flags.rows:
            print("\nother published rows (a question mark: a doubt, which published.csv states)\n")
            print(not_repeated(study), end="")
        return
    wanted: list[str] = []
    for entry in configured:
        wanted += evaluations_of(study, entry.name)
    if not any(name in row.published for row in rows for name in wanted):
        names = " ".join(entry.name for entry in configured)
        raise ValueError(f"--on {names}: no row has a printed score; rows have {', '.join(study.evaluate)}")
    missing = [row for row in rows if _lacks_weights(row)]
    if missing and flags.rows:
        path = missing[0].model[0]
        raise ValueError(f"{path} is missing: download {missing[0].download}, then: vidcorr convert FILE {path}")
    if missing:
        print(f"left out for want of weights:\n{listed(study, missing, wanted)}", flush=True)
    present = [row for row in rows if row not in missing]
    allow_named(args)
    views = (flags.protocol, changes, flags.stage, flags.stride)
    jobs: dict[Job, PrintedScores] = {}
    for entry in configured:
        benchmark = entry.build(limit_sequences=flags.limit)
        for evaluation in evaluations_of(study, entry.name):
            for row in present:
                if evaluation in row.published:
                    printed = PrintedScores(row.name, study.printed(row, evaluation))
                    jobs |= dict.fromkeys(jobs_of(row, evaluation, benchmark, *views), printed)
    repeat(jobs, flags.output, fields=not flags.no_fields)


def _lacks_weights(row: StudyRow) -> bool:
    """Return whether the file of a row's weights is missing."""
    return row.model[0].endswith(".ckpt") and not Path(row.model[0]).is_file()
