"""Write the page of every benchmark run in a folder again, with other runs for comparison if wanted."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def command(args: Sequence[str]) -> None:
    """Run `vidcorr report` with its arguments; a user's mistake raises a one-line ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr report", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of a benchmark run, or any folder above it")
    parser.add_argument(
        "--beside", nargs="+", default=[], type=Path, metavar="FOLDER", help="runs to compare, or folders above them"
    )
    flags = parser.parse_args(list(args))

    from ..report import write_report
    from ..results.stored import read_run, runs_below

    found = runs_below(flags.folder)
    others = [read_run(folder) for each in flags.beside for folder in runs_below(each)]
    failed = []
    for folder in found:
        try:
            own = read_run(folder).results["benchmark"]
            beside = [other.folder for other in others if other.results["benchmark"] == own and other.folder != folder]
            if others and not beside:
                raise ValueError(f"none of the runs of --beside is a result of {own}")
            print(write_report(folder, beside))
        except (OSError, ValueError, LookupError, TypeError) as error:  # the last two: a file of another shape
            failed.append(str(error) if str(folder) in str(error) else f"{folder}: {error}")
    if failed:
        raise ValueError(f"report: {len(failed)} of {len(found)} pages could not be written: {'; '.join(failed)}")
