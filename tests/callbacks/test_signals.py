"""A signal ends a block at once, or lets it finish its work; handlers are restored."""

import os
import signal

import pytest

from callbacks import signals


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_at_once_and_deferred(number, status):
    before = [signal.getsignal(each) for each in signals.WATCHED]
    with pytest.raises(signals.Stopped) as stopped, signals.handled():
        send(number)
    assert stopped.value.code == status
    assert signals.status() == status

    done = []

    def work() -> None:
        with signals.handled(), signals.deferred():
            signals.check()
            send(number)
            done.append("under way")
            signals.check()
            done.append("never")

    with pytest.raises(signals.Stopped) as stopped:
        work()
    assert (done, stopped.value.code) == (["under way"], status)
    assert [signal.getsignal(each) for each in signals.WATCHED] == before
    signals.check()  # nothing is asked of what comes later
    with signals.handled():
        assert signals.received() is None


def test_a_second_interrupt_ends_at_once_and_a_second_sigterm_does_not(capsys):
    with signals.deferred():
        send(signal.SIGTERM)
        send(signal.SIGTERM)

    def interrupted_twice() -> None:
        with signals.deferred():
            send(signal.SIGINT)
            assert "press Ctrl-C again" in capsys.readouterr().err
            send(signal.SIGINT)
            pytest.fail("still running")

    with pytest.raises(signals.Stopped):
        interrupted_twice()


def test_sigterm_is_passed_on_once():
    told = []
    with signals.deferred(told.append):
        send(signal.SIGINT)
        send(signal.SIGTERM)
        send(signal.SIGTERM)
    assert told == []  # the terminal has told all processes of the Ctrl-C
    with signals.deferred(told.append):
        send(signal.SIGTERM)
    assert told == [signal.SIGTERM]
