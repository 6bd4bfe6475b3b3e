"""Interleaved timing of several ways to do one thing, and the rows of the table that `make speed` prints."""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import times as process_times
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch
from numpy.typing import NDArray

from tests.helpers.memory import peak_of
from tests.helpers.references import real_videos

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Ways = Mapping[str, Callable[[], object]]


@dataclass
class Times:
    """Seconds of each run: by the clock, and of the CPU with the children that have ended."""

    runs: list[NDArray[np.float64]] = field(default_factory=list)

    @property
    def least(self) -> float:
        """Least CPU time, which other jobs of the machine hardly move; with a GPU the least time by the clock."""
        return float(np.min(self.runs, axis=0)[0 if torch.cuda.is_available() else 1])

    def __str__(self) -> str:
        kinds = zip(("clock", "CPU"), np.min(self.runs, axis=0), np.median(self.runs, axis=0), strict=True)
        return ", ".join(f"{kind} {in_words(least)} (median {in_words(middle)})" for kind, least, middle in kinds)


def real_folder() -> Path:
    """Return the folder of the real videos.

    Raises:
        SystemExit: in one line, if VIDCORR_DATA names no folder.
    """
    folder = real_videos()
    if folder is None:
        sys.exit("needs real videos: set VIDCORR_DATA to their folder (docs/same-data.md)")
    return folder


def now() -> NDArray[np.float64]:
    """Return the clock and the CPU time, when a GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return np.array([perf_counter(), process_time() + sum(process_times()[2:4])])


def interleave(ways: Ways, rounds: int) -> dict[str, Times]:
    """Run all ways in turn, so that a busy moment of the machine hits each; a first round only warms up."""
    found = {name: Times() for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            began = now()
            way()
            if number:
                found[name].runs.append(now() - began)
    return found


def compare(
    what: str, plain: Ways, ours: Callable[[], object], rounds: int, unit: int = 1, memory: bool = False
) -> dict[str, Times]:
    """Time the plain ways and ours, report and return the times.

    Args:
        what: is measured.
        plain: name → a way that ours replaces.
        ours: is compared.
        rounds: of all ways.
        unit: number of items of a run; a row of the table shows the time of one.
        memory: print the peak of what a way allocates.
    """
    ways = {**plain, "vidcorr": ours}
    times = interleave(ways, rounds)
    if memory:
        print(*(f"{name}: peak {peak_of(way) / 1e6:.1f} MB" for name, way in ways.items()), sep="\n", flush=True)
    report(what, times, unit)
    return times


def report(what: str, times: Mapping[str, Times], unit: int = 1) -> None:
    """Print the times of all ways, and a row of the table for every way beside ours, `vidcorr`.

    Args:
        what: was measured.
        times: name of a way → its times.
        unit: number of items of a run; a row shows the time of one.
    """
    print(*(f"{name}: {spent}" for name, spent in times.items()), sep="\n", flush=True)
    for name in [name for name in times if name != "vidcorr"]:
        against = f", against {name}" if name != "plain" else ""
        row(what + against, times[name].least / unit, times["vidcorr"].least / unit)


def row(what: str, plain: float, ours: float) -> None:
    """Print seconds of the plain way and of ours, and their ratio, as a row of Markdown."""
    print(f"| {what} | {in_words(plain)} | {in_words(ours)} | {plain / ours:.2g}× |", flush=True)


def in_words(seconds: float) -> str:
    """Return seconds with three digits, in s or ms."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def flags(doc: str, repeats: int = 0) -> argparse.ArgumentParser:
    """Return a parser whose help is a script's docstring, with `--repeats` where there is a default."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if repeats:
        parser.add_argument("--repeats", type=int, default=repeats)
    return parser
