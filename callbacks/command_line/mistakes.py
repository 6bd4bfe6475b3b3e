"""One-line messages for a command line that cannot be parsed, from the signatures of the classes that it names."""

import inspect
import typing
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union

from lightning_modules.backbones.short_names import SHORT_NAMES

from .arguments import Argument
from .classes import SECTIONS, ClassChoice, class_named, known_classes, named_classes, parameters_of
from .model_advice import advice

PLAIN = (bool, int, float, str, NoneType)
MEANT = ("callbacks.", "datamodules.", "lightning_modules.", "pytorch_lightning.")
"""Packages whose classes a mistyped name may have meant; not what else happens to be imported."""


def explain(arguments: Sequence[Argument], message: str, options: Sequence[str], model: str | None = None) -> str:
    """Return one line that says why a command line was refused; of a prediction without a model, lines of advice.

    The classes that the arguments name are looked up; the first unknown class, unknown or missing argument, or value
    that does not fit its argument's type is named with what was expected. Everything else stays as the parser said it.

    Args:
        arguments: of the command line.
        message: message of the parser.
        options: that the parser knows, such as `--trainer.max_epochs`.
        model: class of the checkpoint that `--ckpt_path` names, for flags that change its arguments.
    """
    choices = named_classes(arguments, model)
    for choice in choices:
        if mistake := _mistake_in(choice):
            return mistake
    flags = [argument.flag for argument in arguments if argument.flag.startswith("--")]
    for flag in flags:
        if flag.rstrip("+") not in options and not any(flag.startswith(f"--{section}.") for section in SECTIONS):
            return f"there is no option {flag}" + _near(flag, options)
    for section, example in (("data", "data/clips.yaml"), ("trainer.callbacks", "benchmarks/davis.yaml")):
        first = next((flag for flag in flags if flag.startswith(f"--{section}.")), None)
        if first is not None and not any(choice.section == section for choice in choices):
            return f"{first}: nothing before it names the class; add --{section} CLASS or a file such as {example}"
    if not any(choice.section == "model" for choice in choices) and "--ckpt_path" not in flags:
        if arguments[0].flag == "predict":
            return advice()
        return "give --model, a --config with a model, or --ckpt_path FILE"
    return " ".join(message.split())


def _mistake_in(choice: ClassChoice) -> str | None:
    kind = class_named(choice.name, choice.section)
    if kind is None:
        known = [each.__name__ for each in known_classes(choice.section) if each.__module__.startswith(MEANT)]
        if choice.section == "model":
            known += SHORT_NAMES
        return f"{choice.section}: there is no class {choice.name!r}" + _near(choice.name.rpartition(".")[2], known)
    parameters = parameters_of(kind)
    for name, value in choice.arguments.items():
        source = choice.sources[name]
        if name.removesuffix("+") not in parameters:
            near = _near(name, list(parameters))
            return f"{source}{choice.section}: {kind.__name__} has no argument {name!r}{near}"
        expected = parameters[name.removesuffix("+")]
        if _is_plain(expected.annotation) and not _fits(value, expected.annotation):
            return f"{source}{choice.section}.{name}: expected {_described(expected.annotation)}, got {value!r}"
    missing = [
        name
        for name, each in parameters.items()
        if each.default is inspect.Parameter.empty and name not in choice.arguments
    ]
    if missing and choice.section != "trainer":
        return f"{choice.section}: {kind.__name__} needs {' and '.join(missing)}"
    return None


def _is_plain(annotation: Any) -> bool:
    """Return whether a type consists of numbers, texts, choices and paths only, so that a value can be judged by it."""
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return True
    if origin in (Union, UnionType, list, tuple, dict):
        return all(part is ... or _is_plain(part) for part in typing.get_args(annotation))
    return annotation in (*PLAIN, Path)


def _fits(value: Any, annotation: Any) -> bool:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=annotation)
    try:
        if isinstance(value, str):
            parser.parse_args([f"--value={value}"])
        else:
            parser.parse_object({"value": value})
    except Exception:  # whatever the parser finds wrong with it
        return False
    return True


def _described(annotation: Any) -> str:
    """Describe a type in words: `bool or 'whole'`, `int or null`."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " or ".join(map(repr, parts))
    if origin in (Union, UnionType):
        return " or ".join(map(_described, parts))
    if origin is not None:
        return f"{origin.__name__} of {', '.join('…' if part is ... else _described(part) for part in parts)}"
    return {NoneType: "null", Path: "path"}.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _near(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else ""
