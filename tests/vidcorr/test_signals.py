"""Requests to stop, by signals."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from pytorch_lightning.utilities.exceptions import SIGTERMException

from vidcorr import signals


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_without_deferral_a_signal_ends_at_once(number, status):
    def work():
        with signals.handled():
            with signals.deferred():
                pass
            try:
                send(number)
            finally:
                send(signal.SIGTERM)  # the cleanup goes on

    with pytest.raises(signals.Stopped) as stopped:
        work()
    assert stopped.value.code == status


def test_a_second_interrupt_ends_at_once_and_a_second_sigterm_does_not(capsys):
    with signals.deferred():
        send(signal.SIGTERM)
        send(signal.SIGTERM)
    assert not capsys.readouterr().err

    def interrupted_twice():
        with signals.deferred():
            send(signal.SIGINT)
            assert "press Ctrl-C again" in capsys.readouterr().err
            send(signal.SIGINT)
            pytest.fail("still running")

    with pytest.raises(signals.Stopped):
        interrupted_twice()


def test_after_a_block_handlers_are_those_before_it_but_one_that_another_set_within():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with signals.handled():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    after = {number: signal.signal(number, handler) for number, handler in before.items()}
    assert after == before | {signal.SIGTERM: signal.SIG_IGN}


def test_outside_the_main_thread_nothing_is_handled():
    def work():
        with signals.handled():
            return signal.getsignal(signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == signal.getsignal(signal.SIGTERM)


def test_a_stop_has_the_first_signal_as_its_cause_and_a_lost_worker_or_rank_only_if_one_came():
    lost = ["DataLoader worker (pid 7) is killed by signal: Killed.", "Connection closed by peer [127.0.0.1]:7"]
    other = RuntimeError("shapes cannot be multiplied")
    errors = [signals.Stopped(signal.SIGTERM), SIGTERMException(), *map(RuntimeError, lost), other]
    for received, causes in ((None, [15, 15, None, None, None]), (2, [2, 2, 2, 2, None])):
        signals.requests.received = received
        assert list(map(signals.cause_of, errors)) == causes
        signals.check()  # no block handles signals
