"""Seconds per kind of work, by a clock of the test's own."""

from types import SimpleNamespace

import pytest

from callbacks.tracking import stopwatch
from callbacks.tracking.stopwatch import Stopwatch


def test_each_kind_is_charged_with_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def wait(seconds: float) -> None:
        now[0] += seconds

    def slow_items():
        for item in "ab":
            wait(2)
            yield item

    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    watch = Stopwatch()
    for item in watch.timed("decode", slow_items()):
        assert item in "ab"
        with watch("score"):
            wait(0.5)
        wait(100)  # of nobody's
    assert watch.seconds == {"decode": 4, "score": 1}
    with watch("score"):
        wait(0.128)
    assert watch.rounded() == {"decode": 4, "score": 1.13}
