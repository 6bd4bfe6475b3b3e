"""Requests to stop long work, by SIGTERM or Ctrl-C, after its current unit."""

import re
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

LOST_RANK = re.compile(r"gloo/transport|[Cc]onnection (closed|reset) by peer|NCCL (error|watchdog)|DistBackendError")
"""Messages of torch.distributed after another rank has exited."""
LOST_WORKER = re.compile(r"[Ww]orker .*(died|exited|killed)|DataLoader timed out")
"""Message for a dead or hanging loader worker."""
NAMES: dict[int, str] = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}
"""Handled signals → their names in messages."""
STOPS = set(NAMES)
REQUEUE: dict[int, str] = {getattr(signal, name): name for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)}
"""Signals by which SLURM asks a job to save and queue again → their names; handled on request. Windows has none."""


class Stopped(SystemExit):
    """Exception for a signal that asks this process to end; the exit status is 128 plus the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


class _Requests:
    """State of the process; class attributes are the defaults.

    Attributes:
        received: number of the first signal since the latest outermost block of `handled` began, kept after its end;
            None: no signal.
        depth: number of nested blocks of `handled`.
        deferring: number of these blocks that let a signal wait.
        interrupts: number of Ctrl-C so far; the second ends the process at once.
    """

    received: int | None = None
    depth = deferring = interrupts = 0

    def handle(self, number: int, frame: object) -> None:
        """Handle a signal: note it, and raise `Stopped`, unless it waits for `check`; a second Ctrl-C never waits.

        A signal after the first is ignored, unless it is Ctrl-C.
        """
        is_first = self.received is None
        is_interrupt = number == signal.SIGINT
        self.received = self.received or number
        self.interrupts += is_interrupt
        ends_at_once = is_first or is_interrupt  # a second SIGTERM does not interrupt the cleanup
        # `deferring`: number of open blocks that let a signal wait for `check`
        if (ends_at_once and not self.deferring) or self.interrupts > 1:
            raise Stopped(number)
        if is_first and is_interrupt:
            print("\nfinishing the current step; press Ctrl-C again to stop at once", file=sys.stderr)


requests = _Requests()


def cause_of(error: BaseException) -> int | None:
    """Return the number of the signal behind an error; None if it follows from no signal.

    `Stopped` and Lightning's `SIGTERMException` follow from a signal. An error about a lost worker or rank follows from
    a signal only if this process has received one.
    """
    number = requests.received
    # Lightning raises SIGTERMException if SIGTERM comes before our handlers are set
    if isinstance(error, Stopped) or type(error).__name__ == "SIGTERMException":
        return number or signal.SIGTERM  # without a number, another rank has received the signal
    is_of_lost_process = LOST_RANK.search(str(error)) or LOST_WORKER.search(str(error))
    return number if is_of_lost_process else None


def check() -> None:
    """Raise `Stopped` if a signal waits; call it between units of work."""
    # `depth`: number of open blocks of `handled`, of which `deferred` is a form; outside them no signal waits
    if requests.depth and requests.received is not None:
        raise Stopped(requests.received)


@contextmanager
def handled(defer: bool = False, further: Iterable[int] = ()) -> Iterator[None]:
    """Turn signals within a block into the exception `Stopped`; outside the main thread do nothing.

    Args:
        defer: False: a signal ends the block at once; True: a signal waits until the block calls `check`, but a second
            Ctrl-C ends the block at once.
        further: signals of `REQUEUE` to handle too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if not requests.depth:
        vars(requests).clear()  # back to the defaults, which are attributes of the class
    handler = partial(requests.handle)  # a new object, by which this block knows its handler below
    previous = {number: signal.signal(number, handler) for number in (*NAMES, *further)}
    requests.depth += 1
    requests.deferring += defer
    try:
        yield
    finally:
        requests.depth -= 1
        requests.deferring -= defer
        for number, earlier in previous.items():
            if signal.getsignal(number) is handler:  # else Lightning has restored the handler of an outer block
                signal.signal(number, earlier)


def unblock_stops() -> None:
    """Let SIGTERM and Ctrl-C reach this process, if it was started while they were blocked; Windows blocks none."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


deferred = partial(handled, defer=True)
"""`handled`, in which a signal waits until the block calls `check`."""
