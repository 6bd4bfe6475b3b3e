"""Parallel calls over many items, in processes that may hang or crash without ending the run."""

import os
import signal
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import islice
from multiprocessing import Pipe, Process, parent_process
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import Any, Generic, TypeVar

from ..reading.errors import DataError, DecodingError
from ..reading.files import ProgressReport

WorkT = TypeVar("WorkT")
ResultT = TypeVar("ResultT")

STOPS = {signal.SIGINT, signal.SIGTERM}
"""Signals that end a run."""


@dataclass(frozen=True)
class Failure:
    """Reason for which an item gave no result, in one line without the item's name."""

    reason: str


def in_processes(
    function: Callable[[WorkT], ResultT], items: Sequence[WorkT], workers: int, timeout: float, title: str = "items"
) -> Generator[tuple[WorkT, ResultT | Failure]]:
    """Call a function with each item in a few processes; results are yielded as they are ready.

    An item whose process dies, or is still at it after the time limit, fails; a new process takes its place. When the
    caller stops iterating (also by Ctrl-C) the processes are killed, whatever they are at.

    Args:
        function: at the top level of a module, or a partial of one; may raise DataError, which fails the item.
        items: what it takes.
        workers: number of processes.
        timeout: seconds for one item.
        title: of the progress on stderr.

    Yields:
        (item, what the function returned or why it did not).

    Raises:
        OSError: from the function, which is taken for the end of the run (a full disk, say).
        RuntimeError: any other error in the function, with its traceback.
    """
    waiting, progress = iter(items), ProgressReport(title, len(items))
    busy: list[_Worker[WorkT, ResultT]] = []
    idle: list[_Worker[WorkT, ResultT]] = []
    try:
        while True:
            for item in islice(waiting, max(workers, 1) - len(busy)):
                worker = idle.pop() if idle else _Worker(function)
                busy.append(worker)
                worker.give(item, timeout)
            if not busy:
                return
            soonest = min(worker.deadline for worker in busy)
            wait([worker.pipe for worker in busy], max(0.0, soonest - time.monotonic()))
            for worker in list(busy):
                if worker.pipe.poll():
                    outcome = worker.take()
                elif time.monotonic() > worker.deadline:
                    worker.end()
                    outcome = Failure(f"not done within {timeout:g} s")
                else:
                    continue
                busy.remove(worker)
                if worker.process.is_alive():
                    idle.append(worker)
                yield worker.item, outcome
                progress.advance()
    finally:
        progress.clear()
        for worker in busy + idle:
            worker.end()


class _Worker(Generic[WorkT, ResultT]):
    """A process that calls the function with one item at a time."""

    item: WorkT
    deadline = 0.0

    def __init__(self, function: Callable[[WorkT], ResultT]) -> None:
        self.pipe, end = Pipe()
        self.process = Process(target=_serve, args=(function, end, self.pipe), daemon=True)
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:  # Python swallows what a handler raises amid a fork
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        end.close()  # held by the process alone: its death closes the pipe

    def give(self, item: WorkT, timeout: float) -> None:
        self.item, self.deadline = item, time.monotonic() + timeout
        self.pipe.send(item)

    def take(self) -> ResultT | Failure:
        try:
            outcome: ResultT | Failure | OSError | RuntimeError = self.pipe.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode or 0
            self.end()
            how = signal.strsignal(-code) if code < 0 else f"exit status {code}"
            return Failure(f"crashed the process that read it ({how})")
        if isinstance(outcome, OSError | RuntimeError):
            raise outcome
        return outcome

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(function: Callable[[Any], Any], pipe: Connection, other_end: Connection) -> None:
    import cv2

    other_end.close()
    Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the parent's handler, which a fork inherits
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    cv2.setNumThreads(0)
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(function(item))
        except DataError as error:
            pipe.send(Failure(error.reason if isinstance(error, DecodingError) else str(error)))
        except OSError as error:  # errors of libraries cannot always travel: a plain one can
            pipe.send(OSError(error.errno, error.strerror or str(error), error.filename))
        except Exception:
            pipe.send(RuntimeError(traceback.format_exc()))


def _end_with_parent() -> None:
    """Exit when the parent does, so that a killed run leaves no worker behind."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
