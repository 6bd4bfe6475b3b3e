"""Items in processes: what comes back when one returns, fails, dies, hangs, or the run is stopped."""

import os
import signal
import sys
import time
from concurrent.futures import wait
from contextlib import closing
from functools import partial
from multiprocessing import Process, active_children, forkserver, get_context, resource_tracker
from pathlib import Path
from unittest.mock import MagicMock, Mock

import cv2
import pytest

from tests.helpers.refusal import refused
from vidcorr.signals import REQUEUE, STOPS
from vidcorr.videos import processes
from vidcorr.videos.files import DataError, read_bytes
from vidcorr.videos.processes import in_processes, server_context, usable_cores


@pytest.fixture(autouse=True, params=["forked", pytest.param("of the server", marks=pytest.mark.slow)])
def start(request, monkeypatch):
    """Start processes by a fork, or by the server, which first loads torch."""
    if request.param == "forked":
        monkeypatch.setattr("vidcorr.videos.processes.server_context", partial(get_context, "fork"))


def call(item):
    """Call the first with the others."""
    function, *arguments = item
    return function(*arguments)


def threads_of_opencv():
    """Ask OpenCV; its own function names no module, for which pickle would ask every module that is loaded."""
    return cv2.getNumThreads()


READ = "stopped the process that read it"
SECONDS = 1
"""Limit of an item: no busy machine delays the shortest for so long."""
OUTCOMES = {
    (signal.raise_signal, signal.SIGINT): None,  # Ctrl-C is for the parent
    **{(abs, -number): number for number in range(5)},
    (read_bytes, "a.mp4"): "a.mp4: cannot be read (No such file or directory)",
    (signal.raise_signal, signal.SIGKILL): f"{READ} (Killed)",
    (time.sleep, 60): f"{READ} (not done within {SECONDS} s)",
    (os._exit, 3): f"{READ} (exit status 3)",
}


def test_each_item_gives_its_result_or_its_failure(monkeypatch):
    main, progress, busy = sys.modules["__main__"], MagicMock(), []

    def counted(futures, **options):
        busy.append(len(futures))
        return wait(futures, **options)

    monkeypatch.setattr(processes, "progress_bar", progress)
    monkeypatch.setattr(processes, "wait", counted)
    outcomes = in_processes(call, list(OUTCOMES), 2, timeout=SECONDS)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # as the server does
    found = {item: str(outcome) if isinstance(outcome, DataError) else outcome for item, outcome in outcomes}
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert found == OUTCOMES
    assert progress.return_value.__enter__.return_value.update.call_count == len(OUTCOMES)
    assert max(busy) == 2
    assert sys.modules["__main__"] is main


def test_an_error_of_the_run_stops_it():
    refused(OSError, "No such file .*'b.mp4'", list, in_processes(call, [(os.stat, "b.mp4")], 1, timeout=5))
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        list(in_processes(call, [(divmod, 1, 0)], 1, timeout=5))


def test_a_run_that_is_left_kills_what_hangs():
    outcomes = in_processes(call, [(os.getpid,), (time.sleep, 60)], 2, timeout=60)
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
    monkeypatch.setattr(forkserver, "ensure_running", Mock(side_effect=OSError("no process")))
    refused(OSError, "no process", server_context)
    assert now() == before


def test_only_the_cores_of_this_process_are_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {5, 7, 9})
    assert usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == os.cpu_count()
    ((_, threads),) = in_processes(call, [(threads_of_opencv,)], None, timeout=5)
    assert threads == 1
