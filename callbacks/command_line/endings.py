"""One line for a mistake, and the exit status of a command; imports nothing heavy."""

import builtins
import io
import os
import re
import select
import sys
import traceback
from collections.abc import Iterable
from difflib import get_close_matches

LOST_RANK = re.compile(r"gloo/transport|[Cc]onnection (closed|reset) by peer|NCCL (error|watchdog)|DistBackendError")
"""Messages of torch.distributed when another rank has exited."""

TRAINING_ADVICE = (
    "; lower data.batch_size and raise trainer.accumulate_grad_batches as much, or set --trainer.precision bf16-mixed"
)
"""Advice for a device that is out of memory."""

OUR_PACKAGES = ("callbacks", "cli", "datamodules", "lightning_modules")


class UsageError(Exception):
    """Error for a command line that cannot be parsed."""


class Terminated(KeyboardInterrupt):
    """SIGTERM in a tool, which ends it as Ctrl-C does."""


def report(error: BaseException) -> str | int | None:
    """Return the status, or the line (status 1), that an error ends the process with; None for an error of the code."""
    kind, message = type(error).__name__, str(error)
    signals = sys.modules.get("callbacks.process.signals")
    if isinstance(error, KeyboardInterrupt):
        print(": ".join(["vidcorr: interrupted", *map(str, error.args)]), file=sys.stderr)
        return 143 if isinstance(error, Terminated) else 130
    if isinstance(error, BrokenPipeError) and _stdout_is_closed():  # by `vidcorr … | head`, which has read enough
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (Python flushes it when it ends)
        return 141
    if signals is not None and (number := signals.cause_of(error)):
        return 128 + int(number)
    if isinstance(error, UsageError):
        print(f"vidcorr: {error}", file=sys.stderr)
        return 2
    if kind == "ProcessExitedException":  # of a rank that Lightning forked; it has said why, unless it was killed
        status, rank, name = (getattr(error, key, None) for key in ("exit_code", "error_index", "signal_name"))
        if name in ("SIGKILL", "SIGSEGV", "SIGBUS", "SIGABRT"):
            cause = ", most often because the machine ran out of memory" if name == "SIGKILL" else ""
            return f"vidcorr: rank {rank} was ended by {name}{cause}; resume with --ckpt_path last"
        return status if status in (130, 143) else f"vidcorr: rank {rank} of this run has ended, see what it said"
    if kind == "ProcessRaisedException":
        said = _told_by_process(message)
    elif isinstance(error, (ValueError, OSError)) or kind == "MisconfigurationException" or _of_ours(type(error)):
        error = _cause_of(error)
        said = _one_line(error) + ("" if _is_ours(error) else " (--debug shows where)")
    elif kind == "OutOfMemoryError":  # of a device; with advice where a benchmark or a prediction ran
        said = message if error.__cause__ else message.partition(" GPU ")[0].rstrip(".") + TRAINING_ADVICE
    elif isinstance(error, RuntimeError) and LOST_RANK.search(message):
        said = "another process of this run has ended, see its message; resume with --ckpt_path last"
    else:
        return None
    return f"vidcorr: {_rank()}{said}" if said else None


def _rank() -> str:
    """Return "rank N of M: " in a rank that Lightning or a launcher has started; empty in the first, and alone."""
    rank, size = os.environ.get("RANK") or os.environ.get("LOCAL_RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    return "" if rank == "0" or size == "1" else f"rank {rank} of {size}: "


def near(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" with the known name that is most like an unknown one; empty where none is."""
    found = get_close_matches(name, list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""


def _of_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in OUR_PACKAGES


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


def _is_ours(error: BaseException) -> bool:
    """Return whether the message was written for a user: it is the system's about a file, or raised by our code."""
    raised_in = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)][-1:]
    ours = any(name.partition(".")[0] in OUR_PACKAGES for name in raised_in)
    return isinstance(error, OSError) or ours or _of_ours(type(error)) or "Does not validate" in str(error)


def _one_line(error: BaseException) -> str:
    """Return the message of a mistake; those of a loader's worker and of the parser have pages around it."""
    message = str(error)
    if "\nOriginal Traceback" in message:  # raised in a worker: after the last indented line it is named
        lines = message.strip().splitlines()
        said = " ".join(lines[max(number for number, line in enumerate(lines) if line.startswith(" ")) + 1 :])
        return said.partition(": ")[2] or said
    if "Does not validate" in message:
        return reason_of_parser(message)
    return printable(" ".join(message.split()))


def printable(text: str) -> str:
    """Return text whose control characters are escaped: names in a file could command the terminal."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


def _cause_of(error: BaseException) -> BaseException:
    """Return the mistake itself, where the parser has written pages around its message."""
    message, cause = str(error), error.__cause__ or error.__context__
    said_inside = "\nOriginal Traceback" in message or "Does not validate" in message
    return error if "\n" not in message or said_inside or cause in (None, error) else _cause_of(cause)


def reason_of_parser(message: str) -> str:
    """Return the innermost reason in a message of the parser, which lists for each type why a value does not fit.

    Example:
        >>> reason_of_parser("Parser key 'x':\\n  Errors:\\n    - Expected a <class 'int'>\\n  Given value: many")
        "x: expected int, got 'many'"
    """
    *outer, inner = re.split(r"Parser key [\"']([^\"']+)[\"']:", message)
    if said := re.match(r"\s*Expected an? (?:typing\.)?(.+)\. Got value: (.*)", inner):
        kind = re.sub(r"Literal\[(.+)\]", r"one of \1", said[1])
        return f"{'.'.join(outer[1::2])}: expected {kind}, got {said[2]!r}"
    inner, _, given = inner.partition("Given value: ")
    reasons = [
        re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", each) for each in re.findall(r"^ *- (.+)$", inner, re.MULTILINE)
    ]
    expected = [re.sub(r"Expected (an? )?(typing\.)?", "", each) for each in reasons if each.startswith("Expected ")]
    other = [
        each for each in reasons if not each.startswith(("Expected ", "Not a valid subclass ", "Does not validate"))
    ]
    if other:
        reason = other[0]
    elif expected:
        kinds = " or ".join(each for each in expected if each != "NoneType")
        reason = f"expected {kinds}, got {given.splitlines()[0]!r}"
    else:
        reason = " ".join(inner.split())
    return ": ".join(filter(None, (".".join(outer[1::2]), reason)))
