"""One line for a command line that cannot be parsed."""

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from lightning_modules.backbones.short_names import SHORT_NAMES

from .arguments import HOMES, Given, class_named, no_class, parameters_of
from .endings import reason_of_parser

NO_MODEL = "give --model NAME, a --config with a model, or --ckpt_path FILE (docs/models.md compares models)"


def explain(message: str, config: dict[str, Any], options: Sequence[str], given: Sequence[Given]) -> str:
    """Return one line that says why a command line was refused.

    The first class or argument that does not exist is named, with the one that may have been meant. All else stays as
    the parser said it.

    Args:
        message: message of the parser.
        config: configuration that was refused.
        options: that the parser knows, such as `--trainer.max_epochs`.
        given: files and flags that the configuration comes from.
    """
    classes = list(_classes_in(config))
    for section, entry in classes:
        if mistake := _mistake_in(section, entry):
            name = mistake.partition("'")[2].partition("'")[0]
            files = [each.file for each in given if name in str(each.content)][-1:]  # "" for a flag
            return "".join(f"{file}: " for file in files if file) + mistake
    if unknown := re.search(r"(?:does not accept option '|unrecognized arguments: --)([\w.]+)", message):
        name = unknown[1]
        kinds = {section: parameters_of(class_named(entry["class_path"])) for section, entry in classes}
        inside = [f"--{section}.{name}" for section, parameters in kinds.items() if name in parameters]
        return f"there is no option --{name}" + (f"; did you mean {inside[0]}?" if inside else near(name, options))
    if "arguments are required: " in message and message.endswith("model"):
        return NO_MODEL
    return reason_of_parser(message)


def _classes_in(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entry of each class, with the section that it is in."""
    trainer = config.get("trainer")
    callbacks = trainer.get("callbacks", []) if isinstance(trainer, dict) else []
    for section, entry in [
        *((name, config.get(name)) for name in ("model", "data")),
        *(("trainer.callbacks", each) for each in callbacks),
    ]:
        if isinstance(entry, dict):
            yield section, entry


def _mistake_in(section: str, entry: dict[str, Any]) -> str | None:
    if "class_path" not in entry:
        arguments = entry.get("init_args") or {"": None}
        return f"--{section}.{next(iter(arguments))}: {no_class(section)}"
    name = str(entry["class_path"])
    kind = class_named(name)
    if kind is None:
        known = [each for home in HOMES for each in import_module(home).__all__]
        return f"{section}: there is no class {name!r}" + near(
            name, [*known, *(SHORT_NAMES if section == "model" else ())]
        )
    parameters = parameters_of(kind)
    unknown = [each for each in entry.get("init_args") or {} if each not in parameters]
    return (
        f"{section}: {kind.__name__} has no argument {unknown[0]!r}{near(unknown[0], parameters)}" if unknown else None
    )


def near(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" with the known name that is most like an unknown one; empty where none is."""
    found = get_close_matches(name, list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""
