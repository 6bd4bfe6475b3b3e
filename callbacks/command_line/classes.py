"""The classes that a command line names by files and flags, the arguments it gives them, and those that they take."""

import inspect
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

SECTIONS = ("model", "data", "trainer", "trainer.callbacks")


@dataclass
class ClassChoice:
    """A class that a file or a flag names, with the arguments that files and flags give it.

    Attributes:
        section: one of `SECTIONS`.
        name: name of the class, as it was given.
        arguments: name → value; a string where a flag gave it.
        index: position of the argument that names it.
        sources: name of an argument → "FILE: " where a file gave it, else empty.
    """

    section: str
    name: str
    index: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)


def named_classes(args: Sequence[str], model: str | None = None) -> Iterator[ClassChoice]:
    """Collect the classes that files and flags name, in their order, each with its arguments; `args` as of `joined`."""
    current = {"trainer": ClassChoice("trainer", "pytorch_lightning.Trainer")}
    if model is not None:
        current["model"] = ClassChoice("model", model)
    done: list[ClassChoice] = []

    def choose(section: str, name: str, index: int) -> None:
        if section == "trainer.callbacks" and section in current:
            done.append(current[section])
        current[section] = ClassChoice(section, name, index)

    def give(section: str, arguments: Mapping[str, Any], source: str = "") -> None:
        if section in current:
            current[section].arguments |= arguments
            current[section].sources |= dict.fromkeys(arguments, source)

    for index, arg in enumerate(args):
        flag, given, value = arg.removeprefix("--").partition("=")
        flag = flag.removesuffix("+")
        if not arg.startswith("--") or not given:
            continue
        if flag == "config":
            for section, name, arguments in _classes_of(value):
                if name is not None:
                    choose(section, name, index)
                give(section, arguments, f"{value}: ")
        elif flag in SECTIONS:
            choose(flag, value, index)
        else:
            section = max((each for each in SECTIONS if flag.startswith(f"{each}.")), key=len, default="")
            name = flag.removeprefix(f"{section}.").removeprefix("init_args.")
            if section and "." not in name and name not in ("class_path", "help"):
                give(section, {name: value})
    yield from (*done, *current.values())


def joined(args: Sequence[str]) -> list[str]:
    """Return the arguments with each flag joined to its value, `--name=value`: the form that all else here reads.

    An argument behind a flag is its value unless it begins with two dashes.
    """
    found: list[str] = []
    waits = False  # the argument before is a flag without a value
    for arg in args:
        if waits and not arg.startswith("--"):
            found[-1] += f"={arg}"
        else:
            found.append(arg)
        waits = found[-1].startswith("--") and "=" not in found[-1]
    return found


def with_callback_flags_in_place(args: Sequence[str]) -> list[str]:
    """Return the arguments with each `--trainer.callbacks.NAME` right behind a callback that has such an argument.

    The parser gives such a flag to the callback named last, whichever that is, so that a file of callbacks behind a
    benchmark's would take the benchmark's flags away. Here it goes to the last callback before the flag that has the
    argument, else to the first one after it; of a file, to the last callback that the file names. A flag that no
    callback takes stays where it is, and is refused by the parser.

    Args:
        args: see `joined`.
    """
    last_at = {choice.index: choice for choice in named_classes(args) if choice.section == "trainer.callbacks"}
    taken = {
        index: parameters_of(kind)
        for index, choice in last_at.items()
        if (kind := class_named(choice.name, choice.section)) is not None
    }
    behind: dict[int, list[str]] = {index: [] for index in range(len(args))}
    stay: dict[int, str] = {}
    for index, arg in enumerate(args):
        before, _, name = arg.partition("=")[0].rpartition("--trainer.callbacks.")
        argument = name.removesuffix("+").removeprefix("init_args.").partition(".")[0]
        takers = [taker for taker in taken if argument in taken[taker]]
        if name and not before and takers:
            behind[max((taker for taker in takers if taker < index), default=min(takers))].append(arg)
        else:
            stay[index] = arg
    return [each for index in behind for each in ([stay[index]] if index in stay else []) + behind[index]]


def known_classes(section: str) -> list[type]:
    """Return the classes that a section may name, those of Lightning and of this project included."""
    from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer

    if section == "trainer":
        return [Trainer]
    waiting: list[type] = [{"model": LightningModule, "data": LightningDataModule}.get(section, Callback)]
    found = []
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return found


def class_named(name: str, section: str) -> type | None:
    """Return the class that a section of the command line names, by its path or its own name; None if there is none."""
    module, _, last = name.rpartition(".")
    if not module:
        return next((kind for kind in known_classes(section) if kind.__name__ == last), None)
    try:
        found = getattr(import_module(module), last, None)
    except ImportError:
        return None
    return found if isinstance(found, type) else None


def parameters_of(kind: type) -> dict[str, inspect.Parameter]:
    """Return the arguments of a class, those that its `**kwargs` hand to its bases included."""
    found: dict[str, inspect.Parameter] = {}
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        constructor = inspect.unwrap(base.__init__)  # type: ignore[misc]
        try:
            hints = typing.get_type_hints(constructor)
        except (NameError, TypeError):
            hints = {}
        parameters = list(inspect.signature(constructor).parameters.values())[1:]
        named = [each for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
        for each in named:
            found.setdefault(each.name, each.replace(annotation=hints.get(each.name, Any)))
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break
    return found


def option_of(args: Sequence[str], name: str) -> Any:
    """Return the value of an option of the run such as `ckpt_path`, as the last flag or file that sets it says.

    Args:
        args: as of `joined`.
        name: name of the option, without dashes.

    Returns:
        None where nothing sets it, or where it is set to null.
    """
    found = None
    for arg in args:
        flag, given, value = arg.partition("=")
        if flag == "--config":
            found = _content_of(value).get(name, found)
        elif flag == f"--{name}" and given:
            found = None if value == "null" else value
    return found


def is_yaml(config: str) -> bool:
    """Return whether the value of `--config` is YAML itself, and not the name of a file."""
    return "\n" in config or ": " in config or config.startswith("{")


def _content_of(config: str) -> dict[str, Any]:
    """Return the content of a config, a file or YAML itself; an empty dict where it cannot be read."""
    import yaml  # type: ignore[import-untyped]

    try:
        content = yaml.safe_load(config if is_yaml(config) else Path(config).read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _classes_of(config: str) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """Yield (section, class, arguments) of a config; nothing where it has another form."""
    content = _content_of(config)
    trainer = content.get("trainer")
    trainer = trainer if isinstance(trainer, dict) else {}
    entries = [(section, content.get(section)) for section in ("model", "data")]
    for key in ("callbacks", "callbacks+"):
        listed = trainer.get(key) or []
        entries += [("trainer.callbacks", entry) for entry in (listed if isinstance(listed, list) else [listed])]
    for section, entry in entries:
        if isinstance(entry, dict):
            yield section, entry.get("class_path"), dict(entry.get("init_args") or {})
    yield "trainer", None, {key: value for key, value in trainer.items() if not key.startswith("callbacks")}
