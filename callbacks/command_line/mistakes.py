"""One-line messages for a command line that cannot be parsed, from the signatures of the classes that it names."""

import inspect
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

import yaml  # type: ignore[import-untyped]

from lightning_modules.backbones.short_names import SHORT_NAMES

from .arguments import SECTIONS, Argument, Choice, choices_of
from .classes import class_named, known_classes, parameters_of
from .endings import reason_of_parser

MEANT = ("callbacks.", "datamodules.", "lightning_modules.", "pytorch_lightning.")
"""Packages whose classes a mistyped name may have meant; not what else happens to be imported."""
NO_MODEL = "give --model NAME, a --config with a model, or --ckpt_path FILE (docs/models.md compares models)"
EXAMPLES = {"data": "data/clips.yaml", "trainer.callbacks": "benchmarks/davis.yaml"}
"""Section → a config that names a class in it."""


def explain(arguments: Sequence[Argument], message: str, options: Sequence[str], model: str | None = None) -> str:
    """Return one line that says why a command line was refused.

    The classes that the arguments name are looked up; the first unknown class, unknown or missing argument, or value
    that does not fit its argument's type is named. Everything else stays as the parser said it.

    Args:
        arguments: of the command line.
        message: message of the parser.
        options: that the parser knows, such as `--trainer.max_epochs`.
        model: class of the checkpoint that `--ckpt_path` names, for flags that change its arguments.
    """
    choices = choices_of(arguments, model)[1:]
    for choice in choices:
        if mistake := _mistake_in(choice, arguments):
            return mistake
    flags = [argument.flag.rstrip("+") for argument in arguments if argument.flag.startswith("--")]
    for flag in flags:
        if flag not in options and not any(flag.startswith(f"--{section}.") for section in SECTIONS):
            kinds = {choice.section: class_named(choice.name, choice.section) for choice in choices}
            deeper = [f"--{section}.{name}" for section, kind in kinds.items() if kind for name in parameters_of(kind)]
            inside = [each for each in deeper if each.endswith(f".{flag[2:]}")]
            return f"there is no option {flag}" + (f"; did you mean {inside[0]}?" if inside else near(flag, options))
    for section, example in EXAMPLES.items():
        first = next((flag for flag in flags if flag.startswith(f"--{section}.")), None)
        if first is not None and not any(choice.section == section for choice in choices):
            return f"{first}: nothing names the class; add --{section} CLASS or a file such as {example}"
    if "arguments are required" in message and not any(choice.section == "model" for choice in choices):
        return NO_MODEL
    return reason_of_parser(message)


def _mistake_in(choice: Choice, arguments: Sequence[Argument]) -> str | None:
    kind = class_named(choice.name, choice.section)
    if kind is None:
        known = [each.__name__ for each in known_classes(choice.section) if each.__module__.startswith(MEANT)]
        if choice.section == "model":
            known += SHORT_NAMES
        return f"{choice.section}: there is no class {choice.name!r}" + near(choice.name.rpartition(".")[2], known)
    parameters = parameters_of(kind)
    for name, value in choice.arguments.items():
        if name.removesuffix("+") not in parameters:
            said = f"{kind.__name__} has no argument {name!r}{near(name, parameters)}"
            return f"{_file_with(choice, name, arguments)}{choice.section}: {said}"
        if said := _misfit(value, parameters[name.removesuffix("+")].annotation):
            return f"{_file_with(choice, name, arguments)}{choice.section}.{name}: {said}, got {value!r}"
    missing = [
        name
        for name, each in parameters.items()
        if each.default is inspect.Parameter.empty and name not in choice.arguments
    ]
    return f"{choice.section}: {kind.__name__} needs {' and '.join(missing)}" if missing else None


def _file_with(choice: Choice, name: str, arguments: Sequence[Argument]) -> str:
    """Return "FILE: " of the last config that gives an argument to a class; empty where a flag does."""
    last = ""
    for argument in arguments:
        if argument.flag == f"--{choice.section}.{name}":
            last = ""
        elif argument.flag == "--config" and name in str(argument.content):
            last = f"{argument.value}: "
    return last


def _misfit(value: Any, annotation: Any) -> str:
    """Return why a value does not fit a type, in pydantic's words; empty where it fits, or only the parser can tell."""
    from pydantic import PydanticUserError, TypeAdapter, ValidationError

    if "Callable" in str(annotation):  # the parser takes the path of a function
        return ""
    try:
        adapter = TypeAdapter(annotation)
        adapter.validate_python(value)
    except PydanticUserError:  # a type of another library
        return ""
    except ValidationError as error:
        try:
            adapter.validate_python(yaml.safe_load(value) if isinstance(value, str) else value)
        except (ValidationError, yaml.YAMLError):
            said = [each["msg"].removeprefix("Input should be ").partition(",")[0] for each in error.errors()]
            return f"expected {' or '.join(dict.fromkeys(said))}"
    return ""


def near(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" with the known name that is most like an unknown one; empty where none is."""
    found = get_close_matches(name, list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""
