"""One line for a mistake, and the exit status of a command; imports nothing heavy."""

import builtins
import io
import os
import re
import select
import sys
import traceback

MISTAKES = {
    "pytorch_lightning.utilities.exceptions": "MisconfigurationException",
    "callbacks.benchmarks.base": "BenchmarkError",
    "callbacks.training.safeguards": "TrainingStopped",
}
"""Module → exception that is reported in one line as `ValueError` and `OSError` are."""

LOST_RANK = re.compile(r"gloo/transport|[Cc]onnection (closed|reset) by peer|NCCL (error|watchdog)|DistBackendError")
"""Messages of torch.distributed when another rank has exited."""

REASON_OF_PARSER = re.compile(r"^ *- (?!Expected a |Does not validate |Not a valid subclass )(.+)$", re.MULTILINE)
"""Line of the parser's message for a value that may be of several types: why the type that was meant refused it."""
OUR_PACKAGES = ("callbacks", "cli", "datamodules", "lightning_modules")


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
    if signals is not None and signals.explains(error):
        return int(signals.status())
    if isinstance(error, UsageError):
        print(f"vidcorr: {error}", file=sys.stderr)
        return 2
    if isinstance(error, (ValueError, OSError, *kinds)):
        said, ours = _one_line(error)
        return f"vidcorr: {said}" + ("" if ours else " (--debug shows where)")
    if type(error).__name__ == "ProcessRaisedException" and (said := _told_by_process(str(error))):
        return f"vidcorr: {said}"
    if type(error).__name__ == "ProcessExitedException":  # of a rank that Lightning forked; it has said why
        status = getattr(error, "exit_code", 1)
        return status if status in (130, 143) else "vidcorr: a process of this run has ended, see what it said"
    if isinstance(error, RuntimeError) and LOST_RANK.search(str(error)):
        return "vidcorr: another process of this run has ended, see its message; resume with --ckpt_path last"
    if isinstance(error, RuntimeError) and "stateful callback" in str(error):
        same = str(error).partition("`")[2].partition("`")[0]
        return f"vidcorr: two {same} have the same settings; leave one out or give it another monitor"
    return None


def _told_by_process(message: str) -> str:
    """Return a mistake's message from the traceback of a rank that Lightning forked; "" for an error of the code."""
    kind, _, said = message.strip().splitlines()[-1].partition(": ")
    builtin = getattr(builtins, kind, None)
    is_mistake = isinstance(builtin, type) and issubclass(builtin, (ValueError, OSError))
    return said if is_mistake or kind.partition(".")[0] in OUR_PACKAGES else ""


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


def reason_of_parser(message: str) -> str:
    """Return the line of the parser's message that says what is wrong, with the option that it is about."""
    option = re.search(r'Parser key "([^"]+)":', message)
    reason = REASON_OF_PARSER.search(message)
    if reason is None:
        return " ".join(message.split())
    return f"{option[1]}: {reason[1]}" if option else reason[1]


def _is_ours(error: BaseException) -> bool:
    """Return whether the message was written for a user: it is the system's about a file, or raised by our code."""
    raised_in = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)][-1:]
    names = (type(error).__module__, *raised_in)
    return isinstance(error, OSError) or any(name.partition(".")[0] in OUR_PACKAGES for name in names)


def _one_line(error: BaseException) -> tuple[str, bool]:
    """Return the message, and whether it was written for a user; the parser wraps a constructor's in pages."""
    if "\nOriginal Traceback" in str(error):  # raised in a worker of a loader: after the last indented line it is named
        lines = str(error).strip().splitlines()
        said = " ".join(lines[max(number for number, line in enumerate(lines) if line.startswith(" ")) + 1 :])
        return said.partition(": ")[2] or said, _is_ours(error)
    reasons: list[str] = []
    while "\n" in str(error) and (cause := error.__cause__ or error.__context__) is not None:
        reasons = REASON_OF_PARSER.findall(str(error))
        error = cause
    if reasons and str(error).startswith("Expected a "):
        return " ".join(reasons[-1].split()), True
    return " ".join(str(error).split()), _is_ours(error)
