"""Requests to stop, by SIGTERM or Ctrl-C: the current unit of work is finished before the process ends."""

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

try:
    from pytorch_lightning.utilities.exceptions import SIGTERMException
except ModuleNotFoundError:  # the evaluation runs without Lightning
    SIGTERMException = SystemExit  # type: ignore[misc, assignment]

FOLLOWS = re.compile(r"[Ww]orker .*(died|exited|killed)|gloo/transport|[Cc]onnection (closed|reset) by peer")
"""Messages for a dead worker of a loader, and of torch.distributed when another rank has exited."""
NAMES: dict[int, str] = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}
"""The signals that are handled, as messages call them."""


class Stopped(SIGTERMException):
    """Exception raised when a signal asks this process to end; the exit status is 128 plus the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


class _Requests:
    """State of the process: the first signal that arrived, and whether a block is running that is finished first.

    Until something is set, the values are those of the class.
    """

    received: int | None = None
    owner = depth = deferring = interrupts = 0
    forward: Callable[[int], None] | None = None

    def handle(self, number: int, frame: Any) -> None:
        if os.getpid() != self.owner:  # a forked worker, before it has set its own handlers
            os._exit(1)
        first = self.received is None
        self.received = self.received or number
        self.interrupts += number == signal.SIGINT
        if first and number == signal.SIGTERM and self.forward is not None:
            self.forward(number)
        if not self.deferring or self.interrupts > 1:
            raise Stopped(number)
        if first and number == signal.SIGINT:
            print("\nfinishing the current step; press Ctrl-C again to stop at once", file=sys.stderr)


_requests = _Requests()


def received() -> int | None:
    """Return the number of the signal that asked the newest block of `handled` to stop, or None."""
    return _requests.received


def cause_of(error: BaseException) -> int | None:
    """Return the signal that an error is a stop by, or follows from where it reached a worker or another rank too."""
    number = _requests.received
    if isinstance(error, SIGTERMException):
        return number or signal.SIGTERM  # which may have come to another rank
    return number if FOLLOWS.search(str(error)) else None


def at_once() -> bool:
    """Return whether Ctrl-C was pressed a second time, which aborts immediately."""
    return _requests.interrupts > 1


def check() -> None:
    """Stop here if a signal has asked for it; call it wherever everything before is complete.

    Raises:
        Stopped: if SIGTERM or Ctrl-C arrived since `handled` or `deferred` began.
    """
    if _requests.depth and _requests.received is not None:
        raise Stopped(_requests.received)


@contextmanager
def handled(forward: Callable[[int], None] | None = None, defer: bool = False) -> Iterator[None]:
    """End the block with `Stopped` as soon as a signal arrives; does nothing outside the main thread.

    Args:
        forward: called with SIGTERM's number when it arrives, to notify the other processes of the run.
        defer: let a signal wait until the block calls `check`; a second Ctrl-C ends it at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if not _requests.depth or _requests.owner != os.getpid():  # else nested; a forked rank begins anew
        vars(_requests).clear()
        _requests.owner = os.getpid()
    previous = {number: signal.signal(number, _requests.handle) for number in NAMES}
    before = _requests.forward
    _requests.forward = forward or before
    _requests.depth += 1
    _requests.deferring += defer
    try:
        yield
    finally:
        _requests.depth -= 1
        _requests.deferring -= defer
        _requests.forward = before
        for number, handler in previous.items():
            if signal.getsignal(number) == _requests.handle:  # else others, as Lightning, have put back their own
                signal.signal(number, handler)


deferred = partial(handled, defer=True)
"""`handled`, where a signal waits until the block calls `check`."""
