"""Seconds per kind of work, by a clock of the test's own."""

from types import SimpleNamespace

import pytest
import torch

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


class Marks:
    """A GPU's queue of work, and marks in it: work takes time on the device, not where it is asked for."""

    def __init__(self) -> None:
        self.queued, self.waits = 0.0, 0

    def event(self, enable_timing: bool) -> SimpleNamespace:
        assert enable_timing
        mark = SimpleNamespace(at=None, synchronize=self._wait)
        mark.record = lambda stream: setattr(mark, "at", self.queued)
        mark.elapsed_time = lambda later: 1000 * (later.at - mark.at)
        return mark

    def _wait(self) -> None:
        self.waits += 1


def test_a_gpu_is_asked_for_its_times_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, device = Marks(), torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "Event", gpu.event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: pytest.fail("a wait between two frames"))
    watch = Stopwatch()
    for _ in range(3):
        for work, seconds in (("backbone", 0.25), ("propagate", 0.5)):
            with watch(work, device):
                gpu.queued += seconds
        gpu.queued += 100  # of nobody's
    assert not gpu.waits
    assert watch.seconds == {"backbone": 0.75, "propagate": 1.5}
    assert watch.seconds == {"backbone": 0.75, "propagate": 1.5}  # read once
    monkeypatch.setattr(stopwatch, "MARKS", 2)
    for _ in range(9):
        with watch("backbone", device):
            gpu.queued += 1
    assert len(watch._marks) <= 2
    assert watch.seconds["backbone"] == 9.75
