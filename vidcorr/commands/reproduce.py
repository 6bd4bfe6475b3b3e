"""Repeat published scores with public weights, and find the protocol fields that explain a difference."""

from collections.abc import Sequence
from pathlib import Path

from ..experiments.configured import common_flags, read_changes, read_on


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
    configured, changes = read_on(flags.on), read_changes(flags.change)

    from ..backbones.trust import allow_named
    from ..experiments.reproduce import described, jobs_of, not_repeated, repeat
    from ..experiments.study import read_study

    study = read_study(flags.study)
    rows = [study.row(name) for name in flags.rows] or list(study.rows)
    wanted = [entry.name for entry in configured] or list(study.evaluate)
    if not any(name in row.published for row in rows for name in wanted):
        known = ", ".join(study.evaluate)
        raise ValueError(f"--on {' '.join(wanted)}: no row has a printed score; rows have {known}")
    missing = [row for row in rows if row.model[0].endswith(".ckpt") and not Path(row.model[0]).is_file()]
    if missing and flags.rows and configured:
        path, page = missing[0].model[0], missing[0].download
        raise ValueError(f"{path} is missing: download {page}, then: vidcorr convert FILE {path}")
    for row in missing if configured else rows:
        needs = f"{row.model[0]} is missing; " if row in missing else ""
        for name in wanted:
            if name in row.published:
                print(f"{row.name}: {described(row, name)}; {needs}weights: {row.download}")
    if not configured:
        if not flags.rows:
            print("", "other published rows:", *not_repeated(study), sep="\n")
        return
    allow_named(args)
    jobs = {}
    for entry in configured:
        benchmark = entry.build(limit_sequences=flags.limit)
        for row in (row for row in rows if entry.name in row.published and row not in missing):
            views = (flags.protocol, changes, flags.stage, flags.stride)
            for job in jobs_of(row, entry.name, benchmark, *views):
                jobs[job] = row.name, row.published[entry.name]
    repeat(jobs, flags.output, fields=not flags.no_fields)
