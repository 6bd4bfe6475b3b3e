"""Items in processes: what comes back when one returns, fails, dies, hangs, or the run is stopped."""

import faulthandler
import os
import signal
import sys
import time
from contextlib import closing
from functools import partial
from multiprocessing import Process, active_children, forkserver, get_context, resource_tracker
from pathlib import Path

import pytest

from tests.helpers.refusal import refused
from vidcorr.signals import REQUEUE
from vidcorr.videos.files import DataError, DecodingError
from vidcorr.videos.processes import STOPS, in_processes, server_context, usable_cores


@pytest.fixture(autouse=True, params=["forked", pytest.param("of the server", marks=pytest.mark.slow)])
def start(request, monkeypatch):
    """Start processes by a fork, or by the server, which first loads torch."""
    if request.param == "forked":
        monkeypatch.setattr("vidcorr.videos.processes.server_context", partial(get_context, "fork"))


def act(item: tuple[str, int]) -> int:
    """Does what the item says."""
    word, number = item
    if word == "wrong":
        raise DecodingError("a.mp4", "is broken")
    if word == "crash":
        faulthandler.disable()  # pytest's would print where every thread is
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C is for the parent
    if word == "hang":
        time.sleep(60)
    if word == "exit":
        os._exit(3)
    if word == "full":
        raise OSError(28, "No space left on device", "b.mp4")
    if word == "bug":
        raise KeyError("nothing")
    return os.getpid() if word == "pid" else 3 * number


def test_each_item_gives_its_result_or_its_failure():
    good = [("interrupt", 7), *(("number", number) for number in range(5))]
    bad = {
        ("wrong", 1): "a.mp4: is broken",
        ("crash", 0): "stopped the process that read it (Segmentation fault)",
        ("hang", 0): "stopped the process that read it (not done within 0.3 s)",
        ("exit", 0): "stopped the process that read it (exit status 3)",
    }
    items = [*good[:3], *bad, *good[3:]]
    main = sys.modules["__main__"]
    outcomes = in_processes(act, items, 2, timeout=0.3)
    found = {item: str(outcome) if isinstance(outcome, DataError) else outcome for item, outcome in outcomes}
    assert found == {item: 3 * item[1] for item in good} | bad
    assert sys.modules["__main__"] is main


def test_an_error_of_the_run_stops_it():
    refused(OSError, "No space left .*'b.mp4'", list, in_processes(act, [("full", 0)], 1, timeout=5))
    with pytest.raises(RuntimeError, match="KeyError: 'nothing'"):
        list(in_processes(act, [("bug", 0)], 1, timeout=5))


def test_a_run_that_is_left_kills_what_hangs():
    outcomes = in_processes(act, [("pid", 0), ("hang", 0)], 2, timeout=60)
    with closing(outcomes):
        _, pid = next(outcomes)
    assert not Path(f"/proc/{pid}").exists()
    assert not any(map(Process.is_alive, active_children()))


def test_signals_to_all_processes_end_neither_the_server_nor_the_tracker(monkeypatch):
    now = partial(signal.pthread_sigmask, signal.SIG_BLOCK, [])
    before, blocked = now(), []
    for module in (resource_tracker, forkserver):
        monkeypatch.setattr(module, "ensure_running", lambda: blocked.append(now()))
    assert server_context().get_start_method() == "forkserver"
    assert blocked == [before | set(REQUEUE), before | set(REQUEUE) | STOPS]
    assert now() == before


def test_only_the_cores_of_this_process_are_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {5, 7, 9})
    assert usable_cores() == 3
