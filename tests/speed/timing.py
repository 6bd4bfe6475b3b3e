"""Interleaved timing of several ways to do one thing, as rows of the table that `make speed` prints."""

from collections.abc import Callable, Mapping
from os import times as process_times
from time import perf_counter, process_time

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def now() -> float:
    """Return seconds of CPU time, children that have ended included; on a GPU by the clock, after all queued work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return perf_counter()
    return process_time() + sum(process_times()[2:4])


def enough(rounds: int, seconds: float) -> int:
    """Return the number of rounds: at least ten where a round takes less than a second."""
    return max(rounds, 10) if seconds < 1 else rounds


def least(
    ways: Mapping[str, Callable[[], object]], rounds: int, prepare: Callable[[], object] = lambda: None
) -> dict[str, float]:
    """Return the least seconds of each way; all run in turn, and a first round only warms up.

    Args:
        ways: what is timed.
        rounds: number of rounds; more where a round takes less than a second.
        prepare: runs before each round, and is not timed.
    """
    spent: dict[str, list[float]] = {name: [] for name in ways}
    number = 0
    wanted = rounds
    while number <= wanted:
        prepare()
        for name, way in ways.items():
            began = now()
            way()
            spent[name].append(now() - began)
        wanted = enough(rounds, sum(seconds[-1] for seconds in spent.values()))
        number += 1
    return {name: min(seconds[1:]) for name, seconds in spent.items()}


def row(what: str, plain: float, ours: float) -> str:
    """Return seconds of the plain way and of ours, and their ratio, as a row of Markdown."""
    ratio = float(f"{plain / ours:.2g}")
    return f"| {what} | {in_words(plain)} | {in_words(ours)} | {ratio:g}× |"


def in_words(seconds: float) -> str:
    """Return seconds with three digits, in s or ms."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"
