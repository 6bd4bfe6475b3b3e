"""Progress of long work on stderr."""

from types import SimpleNamespace

from vidcorr import signals


def test_the_first_line_of_a_report_without_a_terminal_comes_soon(capsys, monkeypatch):
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(signals, "time", clock)
    for silent in (False, True):
        report = signals.ProgressReport("work", 100, silent=silent)
        for _ in range(100):
            clock.now += 1
            report.advance()
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" items")[0] for line in lines] == [f"work: {n}/100" for n in (5, 35, 65, 95)]


def test_a_command_forgets_the_signal_of_an_earlier_command():
    signals.requests.received = 15
    signals.forget()
    assert signals.requests.received is None
