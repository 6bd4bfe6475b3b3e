"""Progress of long work on stderr."""

from types import SimpleNamespace

from vidcorr import progress


def test_the_first_line_of_a_report_without_a_terminal_comes_soon(capsys, monkeypatch):
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(progress, "time", clock)
    for silent in (False, True):
        report = progress.ProgressReport("work", 100, silent=silent)
        for _ in range(100):
            clock.now += 1
            report.advance(note="a")
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" items")[0] for line in lines] == [f"work: {n}/100" for n in (5, 35, 65, 95)]
    assert lines[0] == "work: 5/100 items, 1.00 items/s, 0:01:35 left, a"
