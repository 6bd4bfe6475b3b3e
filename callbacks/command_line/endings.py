"""One line for a mistake, and the exit status of a command; imports nothing heavy."""

import io
import os
import re
import select
import sys

MISTAKES = {
    "pytorch_lightning.utilities.exceptions": "MisconfigurationException",
    "callbacks.benchmarks.base": "BenchmarkError",
    "callbacks.training.safeguards": "TrainingStopped",
}
"""Module → exception that is reported in one line as `ValueError` and `OSError` are."""

LOST_RANK = re.compile(r"gloo/transport|[Cc]onnection (closed|reset) by peer|NCCL (error|watchdog)|DistBackendError")
"""Messages of torch.distributed when another rank has exited."""

REASON_OF_ONE_TYPE = re.compile(r"^  - (?!Expected a |Does not validate |Not a valid subclass )(.+)$", re.MULTILINE)
"""Line of the parser's message for a value that may be of several types: why a type's own constructor refused it."""


class UsageError(Exception):
    """Error for a command line that cannot be parsed."""


class Terminated(KeyboardInterrupt):
    """SIGTERM in a tool, which ends it as Ctrl-C does."""


def report(error: BaseException) -> str | int | None:
    """Return the status, or the line (status 1), that an error ends the process with; None for an error of the code."""
    kinds = [getattr(sys.modules[module], name) for module, name in MISTAKES.items() if module in sys.modules]
    if isinstance(error, KeyboardInterrupt):
        print(": ".join(["vidcorr: interrupted", *map(str, error.args)]), file=sys.stderr)
        return 143 if isinstance(error, Terminated) else 130
    if isinstance(error, BrokenPipeError) and _stdout_is_closed():  # by `vidcorr … | head`, which has read enough
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (Python flushes it when it ends)
        return 141
    signals = sys.modules.get("callbacks.signals")
    if signals is not None and isinstance(error, signals.SIGTERMException):
        return int(signals.status())
    if isinstance(error, UsageError):
        print(f"vidcorr: {error}", file=sys.stderr)
        return 2
    if isinstance(error, (ValueError, OSError, *kinds)):
        return f"vidcorr: {_one_line(error)} (--debug shows where)"
    if type(error).__name__ == "ProcessExitedException":  # of a rank that Lightning forked; it has said why
        status = getattr(error, "exit_code", 1)
        return status if status in (130, 143) else "vidcorr: a process of this run has ended, see what it said"
    if isinstance(error, RuntimeError) and LOST_RANK.search(str(error)):
        return "vidcorr: another process of this run has ended, see its message; resume with --ckpt_path last"
    if isinstance(error, RuntimeError) and "stateful callback" in str(error):
        same = str(error).partition("`")[2].partition("`")[0]
        return f"vidcorr: two {same} have the same settings; leave one out or give it another monitor"
    return None


def _stdout_is_closed() -> bool:
    """Return whether the reader of our output has closed it; another pipe may be what broke."""
    try:
        sys.stdout.flush()  # may have nothing left to write, as under PYTHONUNBUFFERED
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # errors and hang-ups are always reported
    except io.UnsupportedOperation:  # not a file, as in a notebook
        return False
    except (BrokenPipeError, ValueError):  # a ValueError once it is closed on our side too
        return True
    return bool(poll.poll(0))


def _one_line(error: BaseException) -> str:
    """Return the message for the user; the parser wraps a constructor's error in pages of its own text."""
    if "\nOriginal Traceback" in str(error):  # raised in a worker of a loader: after the last indented line it is named
        lines = str(error).strip().splitlines()
        said = " ".join(lines[max(number for number, line in enumerate(lines) if line.startswith(" ")) + 1 :])
        return said.partition(": ")[2] or said
    reasons: list[str] = []
    while "\n" in str(error) and (cause := error.__cause__ or error.__context__) is not None:
        reasons = REASON_OF_ONE_TYPE.findall(str(error))
        error = cause
    said = reasons[-1] if reasons and str(error).startswith("Expected a ") else str(error)
    return " ".join(said.split())
