"""Repeat published scores whose weights are public, and see which field of the protocol moves those that differ."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..command_line.configs import find_config
from ..results.records import Record
from ..results.rendering import percent
from .study import run_missing, study_markdown, study_table
from .study_plan import Study, StudyRow, read_study, slug

MOST_CHANGES = 5
"""Changes of single fields that are shown."""


def command(args: Sequence[str]) -> None:
    """Run `vidcorr reproduce` with its arguments.

    Raises:
        ValueError: for a user's mistake, or if a row failed; one line.
    """
    parser = argparse.ArgumentParser(prog="vidcorr reproduce", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to repeat (default: all whose weights are there)")
    parser.add_argument("--root", help="folder of the data; without it, the rows and their weights are listed")
    parser.add_argument("--benchmark", default="davis", help="davis (default), jhmdb or vip")
    parser.add_argument("--study", default="studies/published.yaml", help="YAML file of the rows")
    parser.add_argument("--no-fields", action="store_true", help="do not look for the field that moves a score")
    parser.add_argument("--output", type=Path, default=Path("reproduced"), help="folder of results")
    flags = parser.parse_args(list(args))
    study = of_benchmark(read_study(find_config(flags.study)), flags.benchmark, flags.root)
    rows = [study.row(name) for name in flags.rows] or list(study.rows)
    missing = [row for row in rows if spec_of(row).endswith(".ckpt") and not Path(spec_of(row)).is_file()]
    for row in rows if flags.root is None else missing:
        needs = f"{spec_of(row)} is missing: " if row in missing else ""
        print(f"{row.name}: {row.published[flags.benchmark]} printed; {needs}weights: {row.download}")
    if flags.root is None:
        return
    output = flags.output / flags.benchmark
    failed = run_missing(study, [(row, study.seeds_of(row)[0]) for row in rows if row not in missing], output)
    table = study_table(study, output)
    print(study_markdown(study, table), end="\n\n")
    for row in rows:
        cell = table.rows[row.name].get(flags.benchmark)
        if cell is None:
            continue
        record, printed = cell.records[0], row.published[flags.benchmark]
        line, is_missed = verdict(row.name, record, printed)
        print(line, flush=True)
        if is_missed and not flags.no_fields:
            for line in moving_fields(row, record, study, flags.root, output, printed):
                print(f"  {line}")
    if failed or (missing and flags.rows):
        raise ValueError("; ".join([*failed, *(f"{row.name}: its weights are missing" for row in missing)]))


def of_benchmark(study: Study, benchmark: str, root: str | None) -> Study:
    """Return the rows of a study that have a printed score on a benchmark, evaluated on it alone.

    Raises:
        ValueError: if there is none; one line.
    """
    rows = tuple(row for row in study.rows if benchmark in row.published)
    if not rows:
        raise ValueError(
            f"--benchmark {benchmark}: no row has a printed score; there are {', '.join(study.evaluations)}"
        )
    arguments = (*study.evaluations[benchmark], *(("--trainer.callbacks.root", root) if root else ()))
    return study.model_copy(update={"rows": rows, "evaluations": {benchmark: arguments}, "base": rows[0].name})


def spec_of(row: StudyRow) -> str:
    """Return the network of a row, as its `--model` names it."""
    return row.model[row.model.index("--model") + 1]


def verdict(name: str, record: Record, printed: float) -> tuple[str, bool]:
    """Return in one line whether a score is the printed one, in per cent with its digits; and whether it misses it."""
    digits, missed = len(str(printed).partition(".")[2]), 100 * record.value - printed
    is_missed = abs(missed) > 0.5 * 10**-digits + 1e-9
    said = f"{missed:+.{digits}f} of {printed} printed" if is_missed else "as printed"
    part = "" if record.run.on_test_set else f"; not the whole test set ({record.column.conditions})"
    return f"{name}: {100 * record.value:.{digits}f}, {said}{part}", is_missed


def moving_fields(row: StudyRow, record: Record, study: Study, root: str, output: Path, printed: float) -> list[str]:
    """Score each change of one field of a row's protocol; return the largest changes, and what comes nearest.

    Args:
        row: of the study.
        record: its score.
        study: of one evaluation, see `of_benchmark`.
        root: folder of the data.
        output: folder of the rows; the sweep has one below it.
        printed: score in per cent.
    """
    from .compare import Network
    from .grid import single_changes
    from .sweep import Sweep, sweep_benchmark
    from .sweep_findings import record_of

    (arguments,) = study.evaluations.values()
    benchmark = sweep_benchmark(arguments[arguments.index("--config") + 1], root=root)
    kind, like = type(benchmark).name, benchmark.protocols_like
    base = type(benchmark.protocol).named(record.protocol["name"], kind, like)
    network = Network.read(spec_of(row), "--model.pretrained" in row.model, study.seeds_of(row)[0])
    view = replace(network, stage=record.run.results["stage"], stride=record.run.results["stride"])
    protocols = single_changes(base, kind, like)
    scored = Sweep([view], benchmark, output / "fields" / slug(row.name), record.column.score).records(protocols)
    changes = [(one.value - record.value, each) for each in protocols if (one := record_of(scored, each))]
    changes.sort(key=lambda pair: -abs(pair[0]))
    lines = [f"{protocol.name}: {100 * change:+.1f}" for change, protocol in changes[:MOST_CHANGES]]
    near, nearest = min(changes, key=lambda pair: abs(100 * (record.value + pair[0]) - printed))
    return [*lines, f"nearest to the printed score: {nearest.name}, {percent(record.value + near)}"]
