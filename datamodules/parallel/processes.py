"""Parallel calls over many items, in processes that may hang or crash without ending the run."""

import os
import signal
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from itertools import islice
from multiprocessing import Pipe, Process, parent_process
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import Any, TypeVar

from ..reading.guards import DataError
from ..writing.progress import ProgressReport

WorkT = TypeVar("WorkT")
ResultT = TypeVar("ResultT")

STOPS = {signal.SIGINT, signal.SIGTERM}
"""Signals that end a run."""


def usable_cores() -> int:
    """Return the number of processor cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    function: Callable[[WorkT], ResultT], items: Sequence[WorkT], workers: int, timeout: float, title: str = "items"
) -> Generator[tuple[WorkT, ResultT | DataError]]:
    """Call a function with each item in a few processes; results are yielded as they are ready.

    An item whose process dies, or is still at it after the time limit, fails; a new process takes its place. When the
    caller stops iterating (also by Ctrl-C) the processes are killed, whatever they are at. The pools of
    the standard library cannot tell which item a process died of, and wait for one that hangs.

    Args:
        function: at the top level of a module, or a partial of one; may raise DataError, which fails the item.
        items: what it takes.
        workers: number of processes.
        timeout: seconds for one item.
        title: of the progress on stderr.

    Yields:
        (item, what the function returned, or an error that says why it did not).

    Raises:
        OSError: from the function, which is taken for the end of the run (a full disk, say).
        RuntimeError: any other error in the function, with its traceback.
    """
    waiting = iter(items)
    idle: list[tuple[Connection, Process]] = []
    busy: dict[Connection, tuple[Process, WorkT]] = {}
    with ProgressReport(title, len(items)) as progress:
        try:
            while True:
                for item in islice(waiting, max(workers, 1) - len(busy)):
                    pipe, process = idle.pop() if idle else _start(function, timeout)
                    busy[pipe] = process, item
                    pipe.send(item)
                if not busy:
                    return
                ready = wait(list(busy))
                for pipe in [pipe for pipe in busy if pipe in ready]:
                    process, item = busy[pipe]
                    outcome = _receive(pipe, process, timeout)
                    del busy[pipe]
                    if process.is_alive():
                        idle.append((pipe, process))
                    yield item, outcome
                    progress.advance()
        finally:
            for process in [process for process, _ in busy.values()] + [process for _, process in idle]:
                process.kill()
                process.join()


def _start(function: Callable[[Any], Any], timeout: float) -> tuple[Connection, Process]:
    pipe, end = Pipe()
    process = Process(target=_serve, args=(function, timeout, end, pipe), daemon=True)
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:  # Python swallows what a handler raises amid a fork
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    end.close()  # held by the process alone: its death closes the pipe
    return pipe, process


def _receive(pipe: Connection, process: Process, timeout: float) -> Any:
    """Return what the function returned, or why it did not; raise what ends the run."""
    try:
        outcome = pipe.recv()
    except EOFError:
        pipe.close()
        process.join()
        code = process.exitcode or 0
        if code == -signal.SIGALRM:
            return DataError(f"not done within {timeout:g} s")
        how = signal.strsignal(-code) if code < 0 else f"exit status {code}"
        return DataError(f"crashed the process that read it ({how})")
    if isinstance(outcome, OSError | RuntimeError):
        raise outcome
    return outcome


def _serve(function: Callable[[Any], Any], timeout: float, pipe: Connection, other_end: Connection) -> None:
    import cv2

    other_end.close()
    Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    for kind in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(kind, signal.SIG_DFL)  # not the parent's handler, which a fork inherits
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    cv2.setNumThreads(0)
    with suppress(EOFError):  # the parent has gone
        while True:
            item = pipe.recv()
            signal.setitimer(signal.ITIMER_REAL, timeout)  # the alarm ends the process, whatever it is at
            try:
                outcome = function(item)
            except DataError as error:
                outcome = DataError(str(error))  # without the traceback, which would keep what it saw
            except OSError as error:  # errors of libraries cannot always travel: a plain one can
                outcome = OSError(error.errno, error.strerror or str(error), error.filename)
            except Exception:
                outcome = RuntimeError(traceback.format_exc())
            signal.setitimer(signal.ITIMER_REAL, 0)
            pipe.send(outcome)


def _end_with_parent() -> None:
    """Exit when the parent does, so that a killed run leaves no worker behind."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
