"""The words of `fit`, `validate` and `test` for LightningCLI: benchmarks and a checkpoint's model as configs."""

import json
import re
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from ...backbones import EncoderSpec
from ...backbones.files.saved_models import saved_model
from ...backbones.files.trust import import_named, know, refuse
from ...backbones.hub_models import is_folder_of_model
from ...backbones.networks import SHORT_NAMES, USERS_CALLABLE, is_checkpoint, split_view
from ...errors import UsageError
from ...videos.files import user_path
from .benchmark_choice import chosen_benchmarks
from .config_files import find_config, read_yaml, yaml_value
from .flags import RUN_FLAGS, Flag, Parser, add_flags
from .runs import FILE, ROOT, Record, RunFolder, checkpoint_named, run_named

PARTS = ("model", "data")
"""Parts of a configuration that are a class with its arguments."""
READ_BEFORE = (
    Flag("--config", "", action="append", default=[]),
    Flag("-c", "", action="append", default=[], dest="config"),
    Flag("--ckpt_path", ""),
    Flag("--trainer.default_root_dir", "", dest="root"),
)
"""Flags of LightningCLI that are read before its parser reads the words."""


class Words(NamedTuple):
    """The words of a command, for LightningCLI.

    Attributes:
        words: the words.
        names_data_alone: True: no flag beside `--on` says how to evaluate.
    """

    words: list[str]
    names_data_alone: bool


def words_for_parser(args: Sequence[str]) -> Words:
    """Return the words for LightningCLI: later words win, as there.

    Benchmarks of `--on` become callbacks, a network for `--model` a `FrozenEncoder`, a run its checkpoint. The model of
    `--ckpt_path` is a config before the user's words.
    """
    know(*args)
    command, *rest = args
    ours, words = _read(RUN_FLAGS, command, rest)
    known, _ = _read(READ_BEFORE, command, words)
    contents = list(map(_read_named, known.config))
    in_configs = [content["ckpt_path"] for content in contents if content.get("ckpt_path")]
    named = known.ckpt_path or next(reversed(in_configs), None)
    before = [f"--config={json.dumps({'data': {'class_path': 'vidcorr.VideoDataModule'}})}"]
    file = _checkpoint(command, named, _root(known.root, contents))
    recipe = saved_model(file) if file else None
    if recipe is not None:
        refuse(_code_in(recipe), str(file))
        before.append(f"--config={json.dumps({'model': recipe}, default=str)}")
    if file:
        words.append(f"--ckpt_path={file}")
    callbacks = [choice.callback(ours) for choice in chosen_benchmarks(ours)]
    appended = [f"--trainer.callbacks+={json.dumps(callback)}" for callback in callbacks]
    names_data_alone = not any((ours.protocol, ours.change, ours.stage, ours.stride, ours.limit))
    return Words([command, *before, *_classes(words), *appended], names_data_alone)


def root_of(args: Sequence[str]) -> Path:
    """Return `trainer.default_root_dir` of words, or of their configs; a config that cannot be read says nothing."""
    command, *words = args
    known, _ = _read(READ_BEFORE, command, words)
    contents = []
    for config in known.config:
        with suppress(UsageError, OSError, ValueError):
            contents.append(_content(config))
    return _root(known.root, contents)


def _root(named: str | None, contents: Sequence[Mapping[str, object]]) -> Path:
    trainers = [content.get("trainer") for content in contents]
    roots = [trainer.get("default_root_dir") for trainer in trainers if isinstance(trainer, Mapping)]
    return user_path(named or next(filter(None, reversed(roots)), ROOT))


def _read(flags: Any, command: str, words: Sequence[str]) -> tuple[Namespace, list[str]]:
    """Return the values of some flags, and the other words in their order."""
    parser = Parser(prog=f"vidcorr {command}", add_help=False, allow_abbrev=False)
    add_flags(parser, flags)
    # argparse takes an unknown `--flag=value` with a space in it for a value of the flag before it
    pairs = [word.split("=", 1) if word.startswith("--") and " " in word else [word] for word in words]
    return parser.parse_known_args([part for pair in pairs for part in pair])


def _checkpoint(command: str, named: str | None, root: Path) -> str | None:
    """Return the file that `--ckpt_path` names; None if it names none, or `fit` looks for it later (`last`)."""
    if named in (None, "null") or (named, command) == ("last", "fit"):
        return None
    if named == "last":
        return str(RunFolder.named(root).trusted_checkpoint("last"))
    return checkpoint_named(str(named), "last" if command == "fit" else "best")


def _classes(words: Sequence[str]) -> Iterator[str]:
    """Yield words, in which a class of the model or the data is a config, and a run's name a file.

    A config drops the arguments of another class before it (`NamedConfig`).
    """
    rest = list(words)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        part, *below = flag.removeprefix("--").split(".")
        has_value = equals or (rest and not rest[0].startswith("--"))
        if part not in PARTS or not has_value:
            yield word
            continue
        value = value if equals else rest.pop(0)
        is_class = re.fullmatch(r"(?!null$)[^{]+(?<!\.yaml)(?<!\.yml)", value)
        if is_class and below in ([], ["class_path"]):
            yield f"--config={json.dumps({part: _class_named(part, value)})}"
        else:
            is_run = part == "model" and run_named(split_view(value)[0])
            yield f"{flag}={checkpoint_named(value) if is_run else value}"


def _class_named(part: str, value: str) -> dict[str, Any]:
    """Return the class that a value of `--model` or `--data` names; a network is the argument of `FrozenEncoder`."""
    if part == "model" and _is_network(value):
        return {"class_path": "FrozenEncoder", "init_args": EncoderSpec(checkpoint_named(value)).to_dict()}
    return {"class_path": value.replace(":", ".")}


def _is_network(value: str) -> bool:
    """Return True if a value of `--model` names a network, False if it names a LightningModule."""
    spec, _ = split_view(value)
    if USERS_CALLABLE.fullmatch(value):
        module, _, name = value.partition(":")
        bases = getattr(import_named(module, name, f"--model {value}"), "__mro__", ())  # (): a function, no class
        return "LightningModule" not in {base.__name__ for base in bases}  # by name: the library imports no Lightning
    is_named = spec in SHORT_NAMES or spec == "raw_colour" or ":" in spec
    return is_named or is_checkpoint(spec) or is_folder_of_model(spec) or run_named(spec) is not None


def _code_in(content: object) -> Iterator[str]:
    """Yield the texts, at any depth, by which a parser would import code: a class, or a function of a package here."""
    if isinstance(content, str):
        is_dotted = re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", content)
        if is_dotted and find_spec(content.partition(".")[0]) is not None:  # imports nothing
            yield content
    if isinstance(content, Mapping):
        if "class_path" in content:
            yield str(content["class_path"])
        content = [value for name, value in content.items() if name != "class_path"]
    if isinstance(content, list | tuple):
        for each in content:
            yield from _code_in(each)


def _content(config: str) -> Any:
    return yaml_value(config, "--config") if config.startswith("{") else read_yaml(find_config(config))


def _read_named(config: str) -> Mapping[str, Any]:
    """Return the content of a config that the user's words name. The code that the config names may then be loaded.

    If the config lies in the folder of a run, the run's working directory is added to Python's path, so that Python
    finds the user's modules.
    """
    content: Mapping[str, Any] = _content(config)
    if not config.startswith("{"):
        know(str(content))
        folder = find_config(config).parent
        if (folder / FILE).is_file():
            sys.path.append(Record.read(folder).folder)
    return content
