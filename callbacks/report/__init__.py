"""What a benchmark run found, as a page that a browser opens without a network."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from .material import Chart, write_material
from .page import write_report

__all__ = ["Chart", "command", "write_material", "write_report"]


def command(words: Sequence[str]) -> None:
    """`vidcorr report`: the words after it.

    Raises:
        ValueError, OSError: for a user's mistake, one line.
    """
    parser = argparse.ArgumentParser(
        prog="vidcorr report", description="Write report.html anew for every benchmark run in a folder."
    )
    parser.add_argument("folder", type=Path, help="of a benchmark run, or any folder above it")
    parser.add_argument(
        "--beside", nargs="+", default=[], type=Path, metavar="RESULTS", help="other runs for the table of scores"
    )
    flags = parser.parse_args(list(words))
    found = sorted(path.parent for path in flags.folder.rglob("results.json"))
    if not found:
        raise ValueError(f"{flags.folder}: no results.json of a benchmark in or below it")
    failed = []
    for folder in found:
        try:
            print(write_report(folder, flags.beside))
        except (OSError, ValueError) as error:
            failed.append(str(error) if str(folder) in str(error) else f"{folder}: {error}")
    if failed:
        raise ValueError(f"report: {len(failed)} of {len(found)} pages could not be written: {'; '.join(failed)}")
