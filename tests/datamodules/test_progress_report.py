"""Progress without a terminal: a line every so often, with rate and remaining time."""

import re

from datamodules import progress_report
from datamodules.progress_report import ProgressReport, duration


def test_a_line_every_so_often(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(progress_report.time, "monotonic", lambda: now[0])
    called = []
    with ProgressReport("training", 100, "steps", done=20, every=30) as report:
        for step in range(21, 81):
            now[0] += 2.0
            report.advance(lambda: called.append(1) or "loss 0.5", to=step)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(called) == 4  # 120 seconds
    assert lines[0] == "training: 35/100 steps, 0.50 steps/s, 2 min left, loss 0.5"
    assert lines[-1] == "training: 80/100 steps, 0.50 steps/s, 40 s left, loss 0.5"


def test_an_unknown_total_and_slow_items(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress_report.time, "monotonic", lambda: now[0])
    with ProgressReport("predict", None, "frames", every=1) as report:
        now[0] += 40
        report.advance()
    assert capsys.readouterr().err == "predict: 1 frames, 40 s each\n"


def test_silent_ranks_say_nothing(monkeypatch, capsys):
    with ProgressReport("training", 3, every=0, silent=True) as report:
        report.advance()
    assert capsys.readouterr().err == ""


def test_duration():
    assert [duration(seconds) for seconds in (0.4, 59, 60, 3599, 3600, 90000)] == [
        "0 s", "59 s", "1 min", "1 h 00 min", "1 h 00 min", "25 h 00 min"
    ]  # fmt: skip
    assert re.match(r"\d+ min", duration(125))
