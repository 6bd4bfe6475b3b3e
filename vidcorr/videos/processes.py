"""Parallel calls in processes that may hang or crash."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from itertools import islice
from multiprocessing import forkserver, get_all_start_methods, get_context, resource_tracker
from multiprocessing.context import BaseContext
from types import ModuleType
from typing import TypeVar

from pebble import ProcessExpired, ProcessPool

from ..progress import progress_bar
from ..signals import REQUEUE, STOPS, unblock_stops
from .files import DataError

WorkT = TypeVar("WorkT")
ResultT = TypeVar("ResultT")


def server_context() -> BaseContext:
    """Return the multiprocessing context for this project's processes, and start the server that forks them.

    A fork of this process would copy locks that threads of torch, OpenMP or PyAV hold, and could stand still for good.
    The server runs no threads and imports torch once. Start processes within `without_main`. Windows has no such
    server: each process is a new Python there.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["torch", "cv2", "av"])
    _start_server()
    return context


def _start_server() -> None:
    """Start the server and its tracker of resources, unless they run, with the signals of STOPS and REQUEUE blocked.

    These signals stop a run, or ask it to save and queue again. A process inherits the signals that are blocked while
    it starts. Unblocked, a signal to the process group would end the server and the tracker, and the server's children
    would be taken for dead.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, REQUEUE)
    try:
        resource_tracker.ensure_running()  # first: it ignores STOPS, but this call would unblock them
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def without_main() -> Iterator[None]:
    """Put an empty module in place of the main module during the block.

    A process that starts in the block would otherwise import the user's script, and so begin the run again.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def usable_cores() -> int:
    """Return the number of processor cores available to this process."""
    # macOS has no affinity
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    function: Callable[[WorkT], ResultT],
    items: Sequence[WorkT],
    workers: int | None,
    timeout: float,
    title: str = "items",
) -> Generator[tuple[WorkT, ResultT | DataError]]:
    """Call a function with every item in processes; yield results as they are ready.

    While the generator runs, also between two items, `sys.modules` holds an empty main module (`without_main`): a new
    process would otherwise import the user's script, and so run it again.

    An item fails if its process dies or exceeds the time limit. The processes are killed when the caller stops
    iterating (also by Ctrl-C). The pools of the standard library cannot tell the item that killed a process, and wait
    for a process that hangs; pebble's can.

    Args:
        function: function at the top level of a module that can be imported; a DataError fails the item.
        workers: number of processes at a time; None: the usable cores.
        timeout: seconds per item.

    Yields:
        (item, result of the function or the error of the item).

    Raises:
        OSError: from the function; it ends the run (for example, a full disk).
        RuntimeError: any other error in the function, with its traceback.
    """
    count = max(workers or usable_cores(), 1)
    waiting = iter(items)
    busy: dict[Future[ResultT | DataError], WorkT] = {}
    pool = ProcessPool(count, initializer=_prepare, context=server_context())
    with progress_bar(title, len(items)) as progress, without_main():
        try:
            while True:
                for item in islice(waiting, count - len(busy)):  # as many items as processes are free
                    busy[pool.schedule(_outcome, (function, item), timeout=timeout)] = item
                if not busy:
                    return
                ready, _ = wait(busy, return_when=FIRST_COMPLETED)
                for future in ready:
                    yield busy.pop(future), _result_or_error_of_item(future, timeout)
                    progress.update()
        finally:
            pool.stop()
            pool.join()


def _prepare() -> None:
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    unblock_stops()  # a new process inherits the signals that its parent has blocked
    cv2.setNumThreads(0)


def _outcome(function: Callable[[WorkT], ResultT], item: WorkT) -> ResultT | DataError:
    """Return the function's result, or the `DataError` of its item.

    Any other error is raised in a form that pickles: the error goes to the parent process.
    """
    try:
        return function(item)
    except DataError as error:
        return DataError(str(error))
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), error.filename) from None
    except Exception:
        raise RuntimeError(traceback.format_exc()) from None


def _result_or_error_of_item(future: Future[ResultT | DataError], timeout: float) -> ResultT | DataError:
    """Return a call's result, or the `DataError` of its item; raise any other error, which ends the run.

    A call that takes longer than `timeout` seconds, or whose process dies, gives a `DataError` too.
    """
    try:
        return future.result()
    except TimeoutError:  # pebble has killed the process
        how = f"not done within {timeout:g} s"
    except ProcessExpired as expired:
        code = expired.exitcode
        how = str(signal.strsignal(-code)) if code < 0 else f"exit status {code}"
    return DataError(f"stopped the process that read it ({how})")
