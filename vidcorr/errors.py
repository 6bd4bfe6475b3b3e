"""Error messages and the exit status of a command; imports nothing heavy."""

import inspect
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from . import signals

TRAINING_ADVICE = (
    "lower data.batch_size and raise trainer.accumulate_grad_batches as much, or set --trainer.precision bf16-mixed"
)
"""Advice after a device has run out of memory in a training step."""
ROOM = "the network alone does not fit: end other processes on this GPU, or take a smaller network"
"""Advice after a device has run out of memory before any work."""
OUR_PACKAGES = ("callbacks", "cli", "datamodules", "lightning_modules", "vidcorr")


_commands: list[str] = []  # commands that run in this process, the innermost last


@contextmanager
def command_line(words: Sequence[str]) -> Iterator[None]:
    """Mark a block as a run of the command line, so that advice names flags and not functions."""
    _commands.append(" ".join(words))
    try:
        yield
    finally:
        _commands.pop()


def command_line_runs() -> bool:
    """Return whether the command line runs, rather than a user's Python program."""
    return bool(_commands)


class UsageError(Exception):
    """Error for a command line that cannot be parsed."""


class Terminated(KeyboardInterrupt):
    """SIGTERM in a tool; it ends the tool as Ctrl-C does."""


def report(error: BaseException, command: str = "fit") -> str | int | None:
    """Return a command's exit status after an error, or a message (status 1); None for a bug: it gets a traceback."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    message = " ".join(str(error).split())
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
        if "Union subtypes" in message:  # the parser has wrapped the error of a class that refused its arguments
            message = refusal_of_parser(str(error)).reason
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


def near(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return "; did you mean …?" with the most similar known name; empty if no name is similar.

    Args:
        name: the unknown name.
        known: the names that exist.
        prefix: text before the suggested name, such as `--`.
    """
    names = list(known)
    ending = [known_name for known_name in names if known_name.endswith(f"_{name}")]  # lr of base_lr
    found = get_close_matches(name, names, 1) or ending
    return f"; did you mean {prefix}{found[0]}?" if found else ""


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


class Refusal(NamedTuple):
    """One reason why the parser refused its arguments.

    Attributes:
        key: name of the option, with dots.
        class_path: class whose argument it is; empty if none.
        reason: the parser's words.
        value: the value that was given, as text.
    """

    key: str
    class_path: str
    reason: str
    value: str = ""


def explain(
    message: str,
    words: Sequence[str] = (),
    known: Iterable[str] = (),
    classes: Iterable[str] = (),
    files: Iterable[tuple[Path, object]] = (),
) -> str:
    """Explain in a line why the parser refused its arguments: its innermost reason, and a similar name.

    Args:
        message: message of jsonargparse or argparse.
        words: the command line.
        known: names of the options.
        classes: names of the classes.
        files: path and content of the configs; the last that sets the refused name is named, unless a flag does.
    """
    key, class_path, reason, value = refusal_of_parser(message)
    name = ""
    hint = ""
    if reason.startswith("Option "):
        name = _quoted(reason)
        kind = pkgutil.resolve_name(class_path)
        reason = f"{kind.__name__} has no option {name!r}"
        hint = near(name, _parameters(kind))
        if kind.__module__.startswith("pytorch_lightning.core"):  # the type of the key, as no class was named
            reason = f"nothing names the class of {name!r}; add --{key} CLASS or a --config"
            hint = ""
    elif reason.startswith(NO_PATH):
        name = reason.removeprefix(NO_PATH).split()[0]
        known_classes = list(classes)
        reason = f"no class {name!r}"
        hint = near(name, known_classes) or "; a class of your own is module:Class"
        if name in known_classes:
            reason = f"the class {name} is of another kind than this option takes"
            hint = ""
    elif "does not accept option" in reason:
        name = _quoted(reason.partition("does not accept option")[2])
        hint = near(name, known)
    elif reason.startswith(UNKNOWN):
        flag, _, _ = reason.removeprefix(UNKNOWN).partition("=")
        if flag.startswith("--"):
            hint = near(flag.split()[0][2:], known, "--")
    elif "are required: " in reason and reason.endswith(".model"):
        reason = "give --model NAME, a --config with a model, or --ckpt_path FILE (docs/models.md compares models)"
    elif reason.startswith("Expected "):
        reason = f"expected {reason.removeprefix('Expected ')}, got {value!r}"
    if reason.endswith("not correspond to a subclass of LightningModule"):
        hint = "; a network is --model NAME, or in a config class_path: FrozenEncoder with init_args: {spec: NAME}"
    if "not correspond to a subclass" in reason and "lightning.pytorch" in sys.modules:
        hint = "; vidcorr works with pytorch_lightning, whose classes are not those of lightning.pytorch"
    option = (name or key).rpartition(".")[2]
    of_key = (f"--{key}.", f"--{key}=", f"--{key}+")
    sets_key = any(word == f"--{key}" or word.startswith(of_key) for word in words)
    is_flag = sets_key and any(option in word for word in words)
    if option and not is_flag:
        key = ": ".join([*_files_with(option, files), *filter(None, [key])])
    return ": ".join(filter(None, (key, reason))) + hint


NO_PATH = "Expected a dot import path string: "
UNKNOWN = "unrecognized arguments: "


def _quoted(text: str) -> str:
    """Return what stands between the first two quotation marks."""
    return text.split("'")[1]


def _files_with(name: str, files: Iterable[tuple[Path, object]]) -> list[str]:
    """Return the path of the last config that sets a name; empty if none does."""
    for path, content in reversed(list(files)):
        if _sets(content, name):
            return [str(path)]
    return []


def _sets(content: object, name: str) -> bool:
    """Return whether a name is a key, or the value of a class path, anywhere in the content of a config."""
    if isinstance(content, dict):
        return name in content or f"{name}+" in content or _sets(list(content.values()), name)
    if isinstance(content, list):
        return any(_sets(value, name) for value in content)
    return isinstance(content, str) and content.rpartition(".")[2] == name


def _parameters(kind: type) -> list[str]:
    """Return the names of a class's arguments, with those that `**kwargs` may pass on."""
    names: list[str] = []
    for base in kind.__mro__:
        if "__init__" in vars(base):
            names += inspect.signature(vars(base)["__init__"]).parameters
    return names


def refusal_of_parser(message: str) -> Refusal:
    """Return the innermost reason of a message of the parser, which lists the reasons of all accepted types.

    Example:
        >>> message = "Parser key 'x':\\n  Errors:\\n    - Expected a <class 'int'>\\n  Given value: many"
        >>> tuple(refusal_of_parser(message))
        ('x', '', 'Expected int', 'many')
    """
    refusals = _refusals(message)
    of_given_class = [one for one in refusals if one.class_path and one.class_path.rpartition(".")[2] not in BASES]
    refusals = of_given_class or refusals
    for refusal in refusals:
        if refusal.reason.startswith(NO_PATH) or not refusal.reason.startswith(PASSED_OVER):
            return refusal
    deepest = max(refusals, key=lambda refusal: refusal.key.count("."))
    kinds: dict[str, None] = {}
    for refusal in refusals:
        if refusal.key == deepest.key and not refusal.reason.startswith("Expected a path "):
            kind = re.sub("^Expected (an? )?", "", refusal.reason)
            kinds[re.sub("^Not a valid subclass of ", "a ", kind)] = None
    kinds.pop("NoneType", None)
    return deepest._replace(reason=f"Expected {' or '.join(kinds)}")


BASES = frozenset(("Callback", "LightningDataModule", "LightningModule", "Logger", "Plugin", "Profiler", "Strategy"))
"""Classes that the parser tries if the class of an option refuses its arguments."""
LISTINGS = (
    "Does not validate",
    "Subtypes:",
    "Errors:",
    "Given value type:",
    "Subclass types expect",
    "a class path (str)",
    "a dict with",
)
"""Beginnings of lines without a reason."""
PASSED_OVER = ("Expected a ", "Expected an ", "Not a valid subclass ")
"""Beginnings of reasons that only name an accepted type."""


def _refusals(message: str) -> list[Refusal]:
    """Return all reasons of a message, whose lines are indented below their key and class."""
    found: list[Refusal] = []
    above: list[tuple[int, str, str]] = []  # indentation, "key" or "class", its name
    for line in message.splitlines():
        text = line.strip().removeprefix("- ")
        indent = len(line) - len(line.lstrip())
        while above and above[-1][0] >= indent and text:
            above.pop()
        key = ""
        class_path = ""
        for _, kind, name in above:
            if kind == "class":
                class_path = name
            else:
                key = f"{key}.{name}".lstrip(".")
        if text.startswith("Parser key "):
            above.append((indent, "key", text.removeprefix("Parser key ").strip("\"':")))
        elif text.startswith("Problem with given class_path "):
            above.append((indent, "class", _quoted(text)))
        elif text.startswith("Given value:"):
            value = text.removeprefix("Given value:").strip()
            for index, refusal in enumerate(found):
                if refusal.key == key and not refusal.value:
                    found[index] = refusal._replace(value=value)
        elif text and not text.startswith(LISTINGS):
            reason, _, value = text.partition(". Got value:")
            found.append(Refusal(key, class_path, _plain(reason), value.strip()))
    return found


def _plain(text: str) -> str:
    """Return a reason with types by their names alone."""
    return re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text).replace("typing.", "")
