"""Error messages and the exit status of a command; imports nothing heavy."""

import builtins
import io
import os
import re
import select
import sys
import traceback
from collections.abc import Iterable
from difflib import get_close_matches

from . import signals

NO_SUCH_SCORE = "Early stopping conditioned on metric"
"""Opening of Lightning's RuntimeError for an `EarlyStopping` whose `monitor` was never logged."""
TRAINING_ADVICE = (
    "lower data.batch_size and raise trainer.accumulate_grad_batches as much, or set --trainer.precision bf16-mixed"
)
"""Advice after a device has run out of memory in a training step."""
ROOM = "the network alone does not fit: end other processes on this GPU, or take a smaller network"
"""Advice after a device has run out of memory before any work."""

OUR_PACKAGES = ("callbacks", "cli", "datamodules", "lightning_modules", "vidcorr")


class UsageError(Exception):
    """Error for a command line that cannot be parsed."""


class Terminated(KeyboardInterrupt):
    """SIGTERM in a tool; it ends the tool as Ctrl-C does."""


def report(error: BaseException, command: str = "fit") -> str | int | None:
    """Return a command's exit status after an error, or a message (status 1); None for a bug: it gets a traceback."""
    kind, message = type(error).__name__, str(error)
    if isinstance(error, KeyboardInterrupt):
        print(": ".join(["vidcorr: interrupted", *map(str, error.args)]), file=sys.stderr)
        return 143 if isinstance(error, Terminated) else 130
    if isinstance(error, BrokenPipeError) and _stdout_is_closed():  # as by `vidcorr … | head`
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (Python flushes it when it ends)
        return 141
    if number := signals.cause_of(error):
        return 128 + int(number)
    if isinstance(error, UsageError):
        print(f"vidcorr: {error}", file=sys.stderr)
        return 2
    if kind == "ProcessExitedException":  # a rank that Lightning forked; unless killed, it printed the reason
        status, rank, name = (getattr(error, key, None) for key in ("exit_code", "error_index", "signal_name"))
        if name in ("SIGKILL", "SIGSEGV", "SIGBUS", "SIGABRT"):
            cause = ", most often because the machine ran out of memory" if name == "SIGKILL" else ""
            return f"vidcorr: rank {rank} was ended by {name}{cause}; resume with --ckpt_path last"
        return status if status in (130, 143) else f"vidcorr: rank {rank} of this run has ended, see its message"
    if kind == "ProcessRaisedException":
        said = _told_by_process(message)
    elif _is_mistake(error):
        said = _one_line(error) + ("" if _is_ours(error) else " (--debug shows where)")
    elif kind == "OutOfMemoryError":  # of a device; with advice where a benchmark or a prediction ran
        advice = TRAINING_ADVICE if command == "fit" else ROOM
        said = message if error.__cause__ else f"{message.partition(' GPU ')[0].rstrip('.')}; {advice}"
    elif isinstance(error, RuntimeError) and signals.LOST_RANK.search(message):
        said = "another process of this run has ended, see its message; resume with --ckpt_path last"
    else:
        return None
    return f"vidcorr: {_rank()}{said}" if said else None


def _rank() -> str:
    """Return "rank N of M: " in ranks from 1 on; empty in rank 0 and in a single process."""
    rank, size = os.environ.get("RANK") or os.environ.get("LOCAL_RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    return "" if rank == "0" or size == "1" else f"rank {rank} of {size}: "


def near(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" with the most similar known name; empty if no name is similar."""
    found = get_close_matches(name, list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""


def _is_mistake(error: BaseException) -> bool:
    """Return whether an error is a user's mistake, not a fault of the code."""
    of_lightning = type(error).__name__ == "MisconfigurationException" or str(error).startswith(NO_SUCH_SCORE)
    return isinstance(error, (ValueError, OSError)) or of_lightning or _of_ours(type(error))


def _of_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in OUR_PACKAGES


def _told_by_process(message: str) -> str:
    """Return a mistake's message from the traceback of a rank that Lightning forked; empty for a bug."""
    kind, _, said = message.strip().splitlines()[-1].partition(": ")
    builtin = getattr(builtins, kind, None)
    is_mistake = isinstance(builtin, type) and issubclass(builtin, (ValueError, OSError))
    return said if is_mistake or kind.partition(".")[0] in OUR_PACKAGES else ""


def _stdout_is_closed() -> bool:
    """Return whether the reader of stdout has closed it; otherwise another pipe broke."""
    try:
        sys.stdout.flush()  # the buffer may be empty, as under PYTHONUNBUFFERED
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # errors and hang-ups are always reported
    except io.UnsupportedOperation:  # not a file, as in a notebook
        return False
    except (BrokenPipeError, ValueError):  # a ValueError if our side is closed too
        return True
    return bool(poll.poll(0))


def _is_ours(error: BaseException) -> bool:
    """Return whether the message is for a user: an OSError, or an error that our code raised."""
    raised_in = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)][-1:]
    ours = any(name.partition(".")[0] in OUR_PACKAGES for name in raised_in)
    return isinstance(error, OSError) or ours or _of_ours(type(error)) or "Does not validate" in str(error)


def _one_line(error: BaseException) -> str:
    """Return the message of a mistake without worker tracebacks and parser listings."""
    message = str(error)
    if "\nOriginal Traceback" in message:  # raised in a worker: after the last indented line it is named
        lines = message.strip().splitlines()
        said = " ".join(lines[max(number for number, line in enumerate(lines) if line.startswith(" ")) + 1 :])
        return said.partition(": ")[2] or said
    if "Does not validate" in message:
        return reason_of_parser(message)
    return printable(" ".join(message.split()))


def printable(text: str) -> str:
    """Escape the control characters of a text: names in a file could send commands to the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def reason_of_parser(message: str) -> str:
    """Return the innermost reason in a message of the parser, which lists the reasons of all accepted types.

    Example:
        >>> reason_of_parser("Parser key 'x':\\n  Errors:\\n    - Expected a <class 'int'>\\n  Given value: many")
        "x: expected int, got 'many'"
    """
    *outer, inner = re.split(r"Parser key [\"']([^\"']+)[\"']:", message)
    said, _, rest = re.sub(r"\. Got value: ", "\nGiven value: ", inner).partition("Given value: ")
    said = re.sub(r"<class '(?:\w+\.)*(\w+)'>|typing\.|Problem with given class_path '.*':\s*", r"\1", said)
    reasons = re.findall(r"^ *- (.+)$", said, re.MULTILINE) or [" ".join(said.split())]
    passed_over = ("Expected ", "Not a valid subclass ", "Does not validate")
    reason = next((line for line in reasons if not line.startswith(passed_over)), None)
    if reason is None:
        kinds = [re.sub("Expected (an? )?", "", line) for line in reasons if line.startswith("Expected ")]
        expected = " or ".join(kind for kind in kinds if kind != "NoneType")
        expected = re.sub(r"^Literal\[(.+)\]$", r"one of \1", expected)
        given, _, _ = rest.partition("\n")
        reason = f"expected {expected}, got {given!r}"
    return ": ".join(filter(None, (".".join(outer[1::2]), reason)))
