"""Merge config files and flags into a configuration for the parser, and explain refused arguments."""

import inspect
import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from jsonargparse import get_loader

from vidcorr.backbones.pretrained import SHORT_NAMES, read_spec
from vidcorr.backbones.trust import allow_named
from vidcorr.benchmarks.base import Benchmark
from vidcorr.config_files import read_yaml
from vidcorr.errors import UsageError, near, reason_of_parser

HOMES = ("lightning_modules", "datamodules", "callbacks", "vidcorr", "pytorch_lightning.callbacks")
"""Packages with public classes that a command line may name without a path."""
SECTIONS = ("model", "data", "trainer", "trainer.callbacks")
"""Options that take the name of a class, or YAML."""
EXAMPLES = {
    "model": "vfs_simsiam_r18.yaml",
    "data": "data/synthetic.yaml",
    "trainer.callbacks": "benchmarks/davis.yaml",
}
"""Section → config with a class for the section."""
NO_MODEL = "give --model NAME, a --config with a model, or --ckpt_path FILE (docs/models.md compares models)"
"""Message for a command line without a model."""
Callbacks = list[tuple[int, dict[str, Any]]]
"""Entries of callbacks with the positions of their arguments."""


class Given(NamedTuple):
    """The options of an argument of the command line.

    Attributes:
        content: part of a configuration, nested as in a file; values of flags are text.
        file: path of the config; empty for a flag.
        is_option: True for a flag of a single option, for example `--data.frames`; False for a class or section.
    """

    content: dict[str, Any]
    file: str = ""
    is_option: bool = False


def read_arguments(args: Sequence[str]) -> tuple[list[Given], list[str]]:
    """Split a command line into options and other words; a word after a flag is its value unless it begins with `--`.

    Networks as `vidcorr evaluate` takes them (`dino-b8`, `torchvision:resnet18`, a checkpoint, with or without
    `@STAGE/STRIDE`) become `FrozenEncoder` with arguments. Checkpoints may name code that the command line, a config or
    `--allow NAME` names.

    Returns:
        The options, and the other words: the command, `--help`, `--print_config`, mistakes.

    Raises:
        UsageError: for a missing or unreadable config, or `--allow` without a name.
    """
    found: list[Given] = []
    rest: list[str] = []
    left = ["--config" if arg == "-c" else arg for arg in reversed(args)]
    while left:
        flag, equals, value = left.pop().partition("=")
        if flag.startswith("--") and not equals and left and not left[-1].startswith("--"):
            equals, value = "=", left.pop()
        name = flag.removeprefix("--")
        section = name.removesuffix("+")
        if flag == "--allow":
            if not value or value.startswith("-"):
                raise UsageError("--allow: name the class or callable, package.module.Class or package.module:callable")
            allow_named(value)
        elif not flag.startswith("--") or not equals or name == "help" or name.startswith("print_") or ".help" in name:
            rest.append(flag + equals + value)
        elif name == "config":
            found.append(read_config(value))
        else:
            content: Any = _whole(section, value) if section in SECTIONS else value
            for key in reversed(name.split(".")):
                content = {key: content}
            found.append(Given(content, is_option=section not in SECTIONS))
    allow_named([*rest, *(argument.content for argument in found)])
    return found, rest


def read_config(name: str) -> Given:
    """Read a config of the user or of the project, see `find_config`.

    Raises:
        UsageError: if the file is missing, or is not YAML with names of options.
    """
    path, content = read_yaml(name)
    return Given(content, str(path))


def _whole(section: str, value: str) -> Any:
    """Return the value of a section's flag: parsed YAML, the entry of a `FrozenEncoder`, or the name of a class."""
    if value.startswith(("{", "[")):
        return get_loader("yaml")(value)
    spec = value.partition("@")[0]
    is_file = spec.endswith((".ckpt", ".safetensors")) or ("." in spec and Path(spec).is_file())
    if section == "model" and (spec in SHORT_NAMES or spec == "raw_colour" or ":" in spec or is_file):
        arguments = {key: argument for key, argument in read_spec(value).items() if argument is not None}
        return {"class_path": "FrozenEncoder", "init_args": arguments}
    return value


def merge(given: Sequence[Given]) -> dict[str, Any]:
    """Merge files and flags: later values win, flags win over files, and `callbacks+` lists add up.

    A flag `--trainer.callbacks.NAME` belongs to the last callback before it with this argument, else to the first
    after it. `seed_everything` also seeds data and model unless they set a seed.

    Returns:
        The configuration as a single file would hold it, with full paths of classes.

    Raises:
        UsageError: for an argument of a callback if no callback is named.
    """
    config: dict[str, Any] = {}
    callbacks: Callbacks = []
    for position, argument in sorted(enumerate(given), key=lambda item: item[1].is_option):
        content = deepcopy(argument.content)
        trainer = content.get("trainer")
        for key in ("callbacks", "callbacks+"):
            value = trainer.pop(key, None) if isinstance(trainer, dict) else None
            if value is not None and argument.is_option:
                update(_callback_for(callbacks, position, value), as_class(value), is_option=True)
            elif value is not None:
                before = callbacks if key == "callbacks+" else []
                entries = value if isinstance(value, list) else [value]
                callbacks = [*before, *((position, as_class(entry)) for entry in entries)]
        update(config, content, argument.is_option)
    if callbacks:
        config.setdefault("trainer", {})["callbacks"] = [entry for _, entry in callbacks]
    seed = str(config.get("seed_everything"))
    for entry in (config.get(section) or {} for section in ("model", "data")):
        if seed.isdecimal() and "seed" in defaults_of(class_named(entry.get("class_path", ""))):
            entry.setdefault("init_args", {}).setdefault("seed", int(seed))
    return config


def update(config: dict[str, Any], content: dict[str, Any], is_option: bool = False) -> None:
    """Set values in place; naming another class drops the previous class's arguments.

    Args:
        config: configuration to change.
        content: values of a file or flag.
        is_option: True for a flag of a single option, which keeps all other options.
    """
    for key, value in content.items():
        old = config.get(key)
        if is_option and isinstance(old, str) and isinstance(value, dict):
            old = as_class(old)  # the name of a class, so far without arguments
        is_class = key in ("model", "data") or (isinstance(old, dict) and "class_path" in old)
        if is_class and (isinstance(value, dict) or (key in ("model", "data") and value is not None)):
            value = as_class(value)
        if isinstance(old, dict) and isinstance(value, dict):
            if is_class:
                joins = _class_name(value) in ("", _class_name(old))
            else:
                joins = is_option or key in ("trainer", "init_args")
            if joins:
                update(old, value, is_option)
                value = old
        config[key] = value


def _class_name(entry: dict[str, Any]) -> str:
    """Return the name of an entry's class without its module; empty if it names none."""
    return str(entry.get("class_path", "")).rpartition(".")[2]


def as_class(entry: Any) -> dict[str, Any]:
    """Return the configuration's entry for the name of a class, for arguments, or for an entry; with full paths."""
    if not isinstance(entry, dict):
        entry = {"class_path": str(entry)}
    elif not entry.keys() & {"class_path", "init_args"}:
        entry = {"init_args": entry}
    if (kind := class_named(str(entry.get("class_path", "")))) is not None:
        entry["class_path"] = f"{kind.__module__}.{kind.__qualname__}"
    return entry


def _callback_for(callbacks: Callbacks, position: int, options: dict[str, Any]) -> dict[str, Any]:
    """Return the callback of a flag at a position of the command line."""
    option = next(iter(options.get("init_args", options)))
    if not callbacks:
        raise UsageError(f"--trainer.callbacks.{option}: {no_class('trainer.callbacks')}")
    takers = [item for item in callbacks if option in _options_of(item[1].get("class_path", ""))]
    before = [entry for at, entry in takers if at < position]
    return before[-1] if before else (takers or callbacks[-1:])[0][1]


def no_class(section: str) -> str:
    """Return the message for flags of a section without a class."""
    return f"nothing names the class; add --{section} CLASS or a file such as {EXAMPLES[section]}"


def class_named(name: str) -> type | None:
    """Return a class by its path or, in `HOMES`, by its name; None if unknown."""
    path, _, last = name.rpartition(".")
    for home in [path] if path else HOMES:
        try:
            found = getattr(import_module(home), last, None)
        except ImportError:
            continue
        if isinstance(found, type):
            return found
    return None


def defaults_of(kind: type | None) -> dict[str, Any]:
    """Return the arguments of a class with their defaults; required arguments have `inspect.Parameter.empty`.

    Arguments that `**kwargs` pass to base classes are included.
    """
    found: dict[str, Any] = {}
    for base in kind.__mro__ if kind else ():
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]  # type: ignore[misc]
        variadic = {parameter.kind for parameter in parameters} & {
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        }
        found = {item.name: item.default for item in parameters if item.kind not in variadic} | found
        if inspect.Parameter.VAR_KEYWORD not in variadic:
            break
    return found


def _options_of(name: str) -> dict[str, Any]:
    """Return `defaults_of` a class by its name; a benchmark also has the options of its callback."""
    kind = class_named(name)
    is_benchmark = kind is not None and issubclass(kind, Benchmark)
    return defaults_of(kind) | (defaults_of(class_named("BenchmarkCallback")) if is_benchmark else {})


def explain(message: str, config: dict[str, Any], options: Sequence[str], given: Sequence[Given]) -> str:
    """Explain a refused command line in a single line.

    The line names the first unknown class or argument and suggests a similar name; otherwise it is the parser's reason.

    Args:
        message: message of the parser.
        config: refused configuration.
        options: known options, for example `--trainer.max_epochs`.
        given: files and flags of the configuration.
    """
    for mistake in mistakes_in(config, given):
        return mistake
    if unknown := re.search(
        r"(?:Group '([\w.]+)' does not accept option |\bOption )'([\w.]+)'|unrecognized arguments: --([\w.]+)", message
    ):
        name = ".".join(filter(None, unknown.groups()))
        classes = [(section, class_named(entry["class_path"])) for section, entry in _classes(config)]
        inside = [f"--{section}.{name}" for section, kind in classes if name in defaults_of(kind)]
        return f"unknown option --{name}" + (f"; did you mean {inside[0]}?" if inside else near(name, options))
    if "arguments are required: " in message and message.endswith("model"):
        return NO_MODEL
    return reason_of_parser(message)


def mistakes_in(config: dict[str, Any], given: Sequence[Given]) -> Iterator[str]:
    """Yield a line per unknown class or argument of a configuration, with the file that names it.

    Args:
        config: result of `merge`.
        given: files and flags of the configuration.
    """
    for section, entry in _classes(config):
        if mistake := _mistake_in(section, entry):
            name = mistake.partition("'")[2].partition("'")[0]
            files = [argument.file for argument in given if name in str(argument.content)][-1:]  # "" for a flag
            yield "".join(f"{file}: " for file in files if file) + mistake


def _classes(config: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the classes of a configuration as (section, entry)."""
    trainer = config.get("trainer")
    callbacks = trainer.get("callbacks", []) if isinstance(trainer, dict) else []
    named = [(section, config.get(section)) for section in ("model", "data")]
    named += [("trainer.callbacks", entry) for entry in callbacks]
    return [(section, entry) for section, entry in named if isinstance(entry, dict)]


def _mistake_in(section: str, entry: dict[str, Any]) -> str | None:
    if "class_path" not in entry:
        arguments = entry.get("init_args") or {"": None}
        return f"--{section}.{next(iter(arguments))}: {no_class(section)}"
    name = str(entry["class_path"])
    kind = class_named(name)
    if kind is None:
        known = [public for home in HOMES for public in import_module(home).__all__]
        known += SHORT_NAMES if section == "model" else ()
        return f"{section}: unknown class {name!r}{near(name, known)}"
    parameters = _options_of(name)
    unknown = next((argument for argument in entry.get("init_args") or {} if argument not in parameters), None)
    return unknown and f"{section}: {kind.__name__} has no argument {unknown!r}{near(unknown, parameters)}"
