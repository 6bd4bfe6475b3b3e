"""Error messages and the exit status of a command; imports nothing heavy."""

import os
from argparse import ArgumentError
from collections.abc import Iterable
from itertools import dropwhile

from . import signals


class UsageError(Exception):
    """Error for a command line that cannot be parsed."""


WRONG_WORDS = (UsageError, ArgumentError)
"""Errors of a command line, which end a command with status 2."""


def exit_status(error: BaseException) -> str | int | None:
    """Return the argument of `sys.exit` after an error: a status, or a message, which exits with 1; None for a bug."""
    number = signals.cause_of(error)  # of the signal behind the error, or None
    if number:
        return 128 + int(number)  # as a shell reports a signal
    if isinstance(error, WRONG_WORDS):
        return 2
    message = _message_to_user(error)
    if message is None:
        return None
    rank = os.environ.get("RANK") or os.environ.get("LOCAL_RANK", "0")
    size = os.environ.get("WORLD_SIZE", "1")
    place = "" if rank == "0" or size == "1" else f"rank {rank} of {size}: "
    return f"vidcorr: {place}{printable(message)}"


def _message_to_user(error: BaseException) -> str | None:
    """Return the message of an error that a user can mend, or that follows from a lost process; None for a bug."""
    message = message_of(error)
    if _is_of_lost_rank(error, message):
        return "another process of this run has ended, see its message; resume it by: vidcorr resume"
    if "\nOriginal Traceback" in str(error):  # a worker of the loader raised it
        kind, _, text = _end_of_traceback(str(error)).partition(": ")
        return text if _is_expected(error) else f"a worker of the loader raised {kind}: {text} (--debug shows where)"
    if signals.LOST_WORKER.search(message):
        return f"a worker of the loader is lost, for example by memory: {message}; resume it by: vidcorr resume"
    if message.startswith("Expected more than 1 value per channel"):  # torch's, of batch normalisation
        return f"{message}; set a larger --data.batch_size or --data.size"
    if message.startswith("No supported gpu backend"):
        return f"{message} On a CPU: --config trainer/cpu.yaml"
    if message.startswith("Early stopping conditioned on metric"):
        return f"{message}; a benchmark logs its scores if it runs in each epoch: --on davis=FOLDER --every 1"
    return message if _is_expected(error) else None


def _is_expected(error: BaseException) -> bool:
    """Return True for an error that a user can mend."""
    return _is_ours(error) or isinstance(error, ValueError | OSError) or "MisconfigurationException" in _names_of(error)


def _is_of_lost_rank(error: BaseException, message: str) -> bool:
    """Return True if an error follows from the end of another rank: by its type, or by the words of `LOST_RANK`.

    The words, such as "connection reset", do not count in errors of ours, or in an OSError, which a download may raise.
    """
    may_be_of_ranks = not _is_ours(error) and not isinstance(error, OSError)
    return "DistError" in _names_of(error) or (may_be_of_ranks and bool(signals.LOST_RANK.search(message)))


def _is_ours(error: BaseException) -> bool:
    """Return True if the class of an error is defined in vidcorr."""
    return type(error).__module__.partition(".")[0] == "vidcorr"


def _names_of(error: BaseException) -> set[str]:
    """Return the names of an error's class and its bases; by name, since torch and Lightning are not imported here."""
    return {kind.__name__ for kind in type(error).__mro__}


def _end_of_traceback(text: str) -> str:
    r"""Return the end of a traceback in one line: `CLASS: MESSAGE` of the error."""
    _, _, behind = text.rpartition("\n  File ")
    # drop the line of code and its marks, which are indented
    lines = dropwhile(lambda line: line.startswith(" "), behind.splitlines()[1:])
    return " ".join(map(str.strip, lines))


def printable(text: str) -> str:
    """Return a text with codes (`\\x1b`) in place of letters that cannot be printed; line breaks stay.

    Such letters in a file's name could move a terminal's cursor, or turn the direction of the words behind them.
    """
    shown = ""
    for letter in text:
        is_shown = letter.isprintable() or letter == "\n"
        shown += letter if is_shown else letter.encode("unicode_escape").decode()
    return shown


def message_of(error: BaseException) -> str:
    r"""Return the message of an error in one line.

    jsonargparse lists the reasons for all types that an option accepts, indented below their option and class: the
    innermost reasons are kept, with the lines above them.

    Example:
        >>> message_of(ValueError("key:\n  Errors:\n    - no int\n    - no list\n  Given value: x"))
        'key: no int; no list'
        >>> message_of(ValueError("key:\n    - no int\n    - Expected a <class 'NoneType'>"))
        'key: no int'
        >>> message_of(ValueError("key:\n  Class A\n  Class B:\n    - no int"))
        'key: Class B: no int'
        >>> message_of(ValueError("key:\n  - Expected a <class 'NoneType'>"))
        "key: Expected a <class 'NoneType'>"
        >>> message_of(ValueError("a\nb\n")), message_of(ValueError(""))
        ('a b', '')
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    deepest = max(map(_indent, lines), default=0)
    if deepest == 0:
        return " ".join(map(str.strip, lines))
    reasons = list(dict.fromkeys(line.strip(" -") for line in lines if _indent(line) == deepest))
    # an option that may be left out also has the reason "Expected a <class 'NoneType'>", which is no remedy
    kept = [reason for reason in reasons if not reason.endswith(f"{type(None)}")]
    return " ".join([*_lines_above(lines, deepest), "; ".join(kept or reasons)])


def _lines_above(lines: Iterable[str], deepest: int) -> list[str]:
    """Return the parents of the first line with the largest indent in an indented outline, outermost parent first."""
    above: list[str] = []
    for line in lines:
        # `above` holds the parents of this line: drop those that are indented as far as it, or further
        while above and _indent(above[-1]) >= _indent(line):
            above.pop()
        if _indent(line) == deepest:
            break
        above.append(line)
    return [line.strip(" -") for line in above if line.strip() != "Errors:"]


def _indent(line: str) -> int:
    """Return the number of blanks at the beginning of a line."""
    return len(line) - len(line.lstrip())
