"""Error messages and the exit status of a command; imports nothing heavy."""

import inspect
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

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
    kinds, message = {kind.__name__ for kind in type(error).__mro__}, " ".join(str(error).split())
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
    if "OutOfMemoryError" in kinds:  # of a device; with advice where a benchmark or a prediction ran
        advice = TRAINING_ADVICE if command == "fit" else ROOM
        said = message if error.__cause__ else f"{message.partition(' GPU ')[0].rstrip('.')}; {advice}"
    elif "DistError" in kinds:
        said = "another process of this run has ended, see its message; resume with --ckpt_path last"
    elif isinstance(error, ValueError | OSError) or "MisconfigurationException" in kinds or _of_ours(type(error)):
        if "\nOriginal Traceback" in str(error):  # raised in a worker of the loader: the last line names it
            message = str(error).strip().splitlines()[-1].partition(": ")[2]
        if "Union subtypes" in message:  # of the parser, around the reason of a class that refused its arguments
            message = reason_of_parser(str(error))[1]
        said = printable(message) + ("" if _is_ours(error) else " (--debug shows where)")
    else:
        return None
    rank, size = os.environ.get("RANK") or os.environ.get("LOCAL_RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    return f"vidcorr: {said}" if rank == "0" or size == "1" else f"vidcorr: rank {rank} of {size}: {said}"


def near(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" with the most similar known name; empty if no name is similar."""
    found = get_close_matches(name, list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""


def _of_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in OUR_PACKAGES


def _is_ours(error: BaseException) -> bool:
    """Return whether the message is for a user: an OSError, or an error that our code raised."""
    raised_in = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)][-1:]
    ours = any(name.partition(".")[0] in OUR_PACKAGES for name in raised_in)
    return isinstance(error, OSError) or ours or _of_ours(type(error))


def _stdout_is_closed() -> bool:
    """Return whether the reader of stdout has closed it; otherwise another pipe broke."""
    try:
        print(flush=True)
    except (BrokenPipeError, ValueError):  # Python raises a ValueError if it has closed stdout itself
        return True
    return False


def printable(text: str) -> str:
    """Escape the control characters of a text: names in a file could send commands to the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def explain(message: str, known: Iterable[str] = (), classes: Iterable[str] = (), files: Iterable[Path] = ()) -> str:
    """Explain in a line why the parser refused its arguments: its innermost reason, and a similar name.

    Args:
        message: message of jsonargparse.
        known: names of the options.
        classes: names of the classes.
        files: configs; the first with the refused name is named.
    """
    of_class = r"class_path '([\w.]+)':\s*Option '([\w.]+)' is not accepted"
    without_base = re.sub(r"- Problem with given class_path 'pytorch_lightning\.\w+':\s*Option.*", "", message)
    message = without_base if "- Problem with" in without_base else message
    key, reason = reason_of_parser(message)
    name, hint = "", ""
    if found := re.search(of_class, message):
        path, name = found.groups()
        kind = pkgutil.resolve_name(path)
        reason, hint = f"{kind.__name__} has no option {name!r}", near(name, _parameters(kind))
        if kind.__module__.startswith("pytorch_lightning.core"):  # the type of the key, as no class was named
            reason, hint = f"nothing names the class of {name!r}; add --{key} CLASS or a --config", ""
    elif found := re.search(r"Expected a dot import path string: (\S+)", message):
        name = found[1]
        reason, hint = f"no class {name!r}", near(name, classes)
    elif found := re.search(r"does not accept option '([\w.]+)'|unrecognized arguments: (--[^\s=]+)", message):
        name = found[1] or found[2]
        hint = near(name, known if found[1] else [f"--{option}" for option in known])
    elif "are required: " in message and message.endswith(".model"):
        reason = "give --model NAME, a --config with a model, or --ckpt_path FILE (docs/models.md compares models)"
    if "not correspond to a subclass" in reason and "lightning.pytorch" in sys.modules:
        hint = "; vidcorr works with pytorch_lightning, whose classes are not those of lightning.pytorch"
    last = name.rpartition(".")[2]
    file = next((f"{path}: " for path in files if last and last in path.read_text("utf-8")), "")
    return file + ": ".join(filter(None, (key, reason))) + hint


def _parameters(kind: type) -> list[str]:
    """Return the names of a class's arguments, with those that `**kwargs` may pass on."""
    makers = [vars(base)["__init__"] for base in kind.__mro__ if "__init__" in vars(base)]
    return [name for make in makers for name in inspect.signature(make).parameters]


def reason_of_parser(message: str) -> tuple[str, str]:
    """Return key and innermost reason of a message of the parser, which lists the reasons of all accepted types.

    Example:
        >>> reason_of_parser("Parser key 'x':\\n  Errors:\\n    - Expected a <class 'int'>\\n  Given value: many")
        ('x', "expected int, got 'many'")
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
        reason = f"expected {expected}, got {rest.splitlines()[0]!r}"
    return ".".join(outer[1::2]), reason
