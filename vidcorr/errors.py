"""Error messages and the exit status of a command; imports nothing heavy."""

import os
import sys
import traceback

from . import signals

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
    kinds = {kind.__name__ for kind in type(error).__mro__}
    message = one_line(error)
    if isinstance(error, KeyboardInterrupt):
        print(": ".join(["vidcorr: interrupted", *map(str, error.args)]), file=sys.stderr)
        return 143 if isinstance(error, Terminated) else 130
    if isinstance(error, BrokenPipeError) and _stdout_is_closed():  # for example by `vidcorr … | head`
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (Python flushes it when it ends)
        return 141
    number = signals.cause_of(error)
    if number:
        return 128 + int(number)
    if isinstance(error, UsageError):
        print(f"vidcorr: {error}", file=sys.stderr)
        return 2
    if "OutOfMemoryError" in kinds:  # a device's memory; a benchmark or a prediction has added its advice
        advice = TRAINING_ADVICE if command == "fit" else ROOM
        said = message if error.__cause__ else f"{message.partition(' GPU ')[0].rstrip('.')}; {advice}"
    elif "DistError" in kinds or (signals.LOST_RANK.search(message) and not _of_ours(type(error))):
        said = "another process of this run has ended, see its message; resume with --ckpt_path last"
    elif isinstance(error, ValueError | OSError) or _of_ours(type(error)) or _is_refusal_of_lightning(error):
        if "\nOriginal Traceback" in str(error):  # raised in a worker of the loader: the last line names it
            message = str(error).strip().splitlines()[-1].partition(": ")[2]
        said = printable(message)
        if not _is_ours(error):
            said += " (--debug shows where)"
    else:
        return None
    rank = os.environ.get("RANK") or os.environ.get("LOCAL_RANK", "0")
    size = os.environ.get("WORLD_SIZE", "1")
    if rank == "0" or size == "1":
        return f"vidcorr: {said}"
    return f"vidcorr: rank {rank} of {size}: {said}"


def _of_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in OUR_PACKAGES


def _is_ours(error: BaseException) -> bool:
    """Return whether the message is for a user: an OSError, or an error that our code raised."""
    return isinstance(error, OSError) or _package_of(error) in OUR_PACKAGES or _of_ours(type(error))


def _package_of(error: BaseException) -> str:
    """Return the package whose code raised an error; empty without a traceback."""
    package = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        package, _, _ = str(frame.f_globals.get("__name__")).partition(".")
    return package


def _is_refusal_of_lightning(error: BaseException) -> bool:
    """Return whether Lightning's own code refuses something: an error that it raises itself, with words for a user."""
    if "MisconfigurationException" in [kind.__name__ for kind in type(error).__mro__]:
        return True
    return type(error) is RuntimeError and _package_of(error) in ("pytorch_lightning", "lightning_fabric")


def _stdout_is_closed() -> bool:
    """Return whether the reader of stdout has closed it; otherwise another pipe broke."""
    try:
        print(flush=True)
    except (BrokenPipeError, ValueError):  # Python raises a ValueError if it has closed stdout itself
        return True
    return False


LINE_BREAK_AND_BYTES = "\n" + "".join(map(chr, range(0xDC80, 0xDD00)))
"""Letters that a message may hold: line breaks, and bytes of a file name that are not UTF-8 (surrogates in Python)."""


def printable(text: str, kept: str = LINE_BREAK_AND_BYTES) -> str:
    """Replace the letters of a text that cannot be printed by their codes (`\\x1b`).

    A name in a file could otherwise move a terminal's cursor, or turn the words after it around.

    Args:
        text: any text.
        kept: unprintable letters that stay as they are.
    """
    if text.isprintable():
        return text
    shown = ""
    for letter in text:
        is_shown = letter.isprintable() or letter in kept
        shown += letter if is_shown else letter.encode("unicode_escape").decode()
    return shown


def one_line(error: BaseException) -> str:
    r"""Return the message of an error in one line.

    jsonargparse lists the reasons for all types that an option accepts, indented below their option and class: the
    innermost reasons are kept, with the lines above them.

    Example:
        >>> one_line(ValueError("key:\n  Errors:\n    - no int\n    - no list\n  Given value: x"))
        'key: Errors: no int; no list'
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    depths = [len(line) - len(line.lstrip()) for line in lines]
    depth = max(depths, default=0)
    if depth == 0:
        return " ".join(map(str.strip, lines))
    reasons = dict.fromkeys(line.strip(" -") for line, of_line in zip(lines, depths, strict=True) if of_line == depth)
    above: list[str] = []
    for line, of_line in reversed(list(zip(lines, depths, strict=True))[: depths.index(depth)]):
        if of_line < depth:
            above.insert(0, line.strip(" -"))
            depth = of_line
    return " ".join([*above, "; ".join(reasons)])
