"""Parallel calls in processes that may hang or crash."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from multiprocessing import forkserver, get_all_start_methods, get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..progress import progress_bar
from ..signals import REQUEUE
from .files import DataError

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext
    from multiprocessing.process import BaseProcess as Process

WorkT = TypeVar("WorkT")
ResultT = TypeVar("ResultT")


STOPS = {signal.SIGINT, signal.SIGTERM}
"""Signals that end a run."""
ALARM: int | None = getattr(signal, "SIGALRM", None)
"""Signal that ends a process at its time limit; Windows has none, and no limit."""


def server_context() -> ForkServerContext | SpawnContext:
    """Return the context in which this project starts processes: children of a server that runs no threads.

    Windows has no such server: each process is a new Python there.

    A fork of this process would copy locks that threads of torch, OpenMP or PyAV hold, and could stand still for good.
    The server imports torch once. Start its children within `without_main`.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["torch", "cv2", "av"])
    # A signal to the process group must end neither the server nor the tracker: its children would be taken for dead.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, REQUEUE)
    resource_tracker.ensure_running()  # started before STOPS are blocked: it ignores them, and would unblock them here
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    forkserver.ensure_running()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


@contextmanager
def without_main() -> Iterator[None]:
    """Hide the main module from the processes that start: they would import it, which begins the run again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def unblock_stops() -> None:
    """Let STOPS reach this process again, which the server of processes blocks; Windows blocks no signals."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def usable_cores() -> int:
    """Return the number of processor cores available to this process."""
    if hasattr(os, "sched_getaffinity"):  # macOS has none
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_processes(
    function: Callable[[WorkT], ResultT],
    items: Sequence[WorkT],
    workers: int | None,
    timeout: float,
    title: str = "items",
) -> Generator[tuple[WorkT, ResultT | DataError]]:
    """Call a function with every item, each in a process of its own; yield results as they are ready.

    An item fails if its process dies or exceeds the time limit. The processes are killed when the caller stops
    iterating (also by Ctrl-C). The pools of the standard library cannot tell the item that killed a process, and wait
    for a process that hangs.

    Args:
        function: function at the top level of a module that can be imported; a DataError fails the item.
        items: arguments of the function.
        workers: number of processes at a time; None: the usable cores.
        timeout: seconds per item; 0 sets no limit.
        title: title of the progress on stderr.

    Yields:
        (item, result of the function or the error of the item).

    Raises:
        OSError: from the function; it ends the run (for example, a full disk).
        RuntimeError: any other error in the function, with its traceback.
    """
    waiting = iter(items)
    count = max(workers or usable_cores(), 1)
    busy: dict[Connection, tuple[Process, WorkT]] = {}
    with progress_bar(title, len(items)) as progress:
        try:
            while True:
                for item in islice(waiting, count - len(busy)):
                    pipe, process = _start(function, item, timeout)
                    busy[pipe] = process, item
                if not busy:
                    return
                ready, *_ = wait(list(busy))
                process, item = busy.pop(cast("Connection", ready))
                yield item, _receive(cast("Connection", ready), process, timeout)
                progress.update()
        finally:
            for process, _ in busy.values():
                process.kill()
                process.join()


def _start(function: Callable[[Any], Any], item: Any, timeout: float) -> tuple[Connection, Process]:
    """Start a process for an item; return the pipe of its outcome, and the process."""
    context = server_context()
    pipe, end = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(function, item, timeout, end), daemon=True)
    with without_main():
        process.start()
    end.close()  # held by the process alone: its death closes the pipe
    return pipe, process


def _receive(pipe: Connection, process: Process, timeout: float) -> Any:
    """Return the function's result or the item's error; raise an error that ends the run."""
    with pipe:
        try:
            outcome = pipe.recv()
        except EOFError:
            process.join()
            code = process.exitcode or 0
            how = signal.strsignal(-code) if code < 0 else f"exit status {code}"
            if -code == ALARM:  # set by `_serve`
                how = f"not done within {timeout:g} s"
            return DataError(f"stopped the process that read it ({how})")
    process.join()
    if isinstance(outcome, OSError | RuntimeError):
        raise outcome
    return outcome


def _serve(function: Callable[[Any], Any], item: Any, timeout: float, pipe: Connection) -> None:
    """Call the function in the process of an item, and send its result, or the error as `_receive` takes it."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    unblock_stops()
    cv2.setNumThreads(0)
    if ALARM is not None:
        signal.setitimer(signal.ITIMER_REAL, timeout)  # the alarm ends the process; 0 sets none
    try:
        outcome = function(item)
    except DataError as error:
        outcome = DataError(str(error))
    except OSError as error:  # a plain error, as libraries' errors may not pickle
        outcome = OSError(error.errno, error.strerror or str(error), error.filename)
    except Exception:
        outcome = RuntimeError(traceback.format_exc())
    pipe.send(outcome)
