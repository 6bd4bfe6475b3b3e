"""Write report.html again for all benchmark results in a folder, with comparisons to other results."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def command(args: Sequence[str]) -> None:
    """Run `vidcorr report`; a user's mistake raises ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr report", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of a benchmark result, or a folder above")
    compared = "results to compare, or folders above"
    parser.add_argument("--beside", nargs="+", default=[], type=Path, metavar="FOLDER", help=compared)
    flags = parser.parse_args(list(args))

    from ..results.page import write_report
    from ..results.result import RESULTS_FILE, Result, results_below

    others = {folder: result for place in flags.beside for folder, result in results_below(place).items()}
    files = [flags.folder] if flags.folder.name == RESULTS_FILE else sorted(flags.folder.rglob(RESULTS_FILE))
    if not files:
        raise ValueError(f"{flags.folder}: no {RESULTS_FILE} of a benchmark in or below it")
    failed = []
    for folder in (file.parent for file in files):
        try:
            result = Result.load(folder)
            beside = {
                "/".join(place.resolve().parts[-2:]): other
                for place, other in others.items()
                if other.benchmark == result.benchmark and place != folder
            }
            if others and not beside:
                raise ValueError(f"{folder}: none of the results of --beside is of {result.benchmark}")
            print(write_report(folder, beside, result))
        except (OSError, ValueError) as error:
            failed.append(str(error))
    if failed:
        raise ValueError(f"report: {len(failed)} of {len(files)} pages could not be written: {'; '.join(failed)}")
