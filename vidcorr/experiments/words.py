"""The words of `fit` and `validate` before the parser reads them."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from ..backbones import EncoderSpec
from ..backbones.checkpoints import saved_model
from ..backbones.hub_models import is_folder_of_model
from ..backbones.networks import SHORT_NAMES, is_checkpoint, local_file, on_hub, split_view
from ..backbones.trust import Recipe, allow_named, begin_command
from ..description import INPUTS
from .benchmark_choice import refuse_one_name_twice
from .config_files import find_config, read_yaml, with_lists, yaml_value
from .runs import FILE, ROOT, Record, newest_checkpoint


class SavedModel(NamedTuple):
    """The model of a checkpoint, whose arguments no parser reads.

    Attributes:
        file: the checkpoint.
        recipe: its class, which the file may name, and arguments.
        given: keys of the arguments that the user's words and configs give, below `model`.
    """

    file: str
    recipe: Recipe
    given: set[tuple[str, ...]]

    @property
    def arguments(self) -> dict[str, Any]:
        """The file's arguments of which no part is given."""
        names = {keys[0] for keys in self.given}
        return {name: value for name, value in self.recipe["init_args"].items() if name not in names}

    def with_given(self, parsed: Mapping[str, Any]) -> dict[str, Any]:
        """Return the given arguments; one given by a key, such as `bank.frames`, has its other keys from the file.

        Args:
            parsed: arguments of the class, by the parser of the user's words.
        """
        given_whole = {keys[0] for keys in self.given if len(keys) == 1}
        merged: dict[str, Any] = {}
        for name, *keys in sorted(self.given):
            if name not in parsed:
                continue
            value = parsed[name]
            of_file = self.recipe["init_args"].get(name)
            if name in given_whole or not isinstance(of_file, Mapping):
                merged[name] = value
                continue
            settings = merged.setdefault(name, dict(of_file))
            settings[keys[0]] = value[keys[0]] if isinstance(value, Mapping) else getattr(value, keys[0])
        return merged


class Words(NamedTuple):
    """Words for LightningCLI, and the model of `--ckpt_path` unless they name another class."""

    words: list[str]
    saved: SavedModel | None = None


def words_for_parser(args: Sequence[str], say: Callable[[str], object] = print, goes_on: bool = False) -> Words:
    """Return the words for LightningCLI, with names of networks as classes, and the class of `--ckpt_path` first.

    Later words win, so flags change the checkpoint's model, and another class replaces it.

    Args:
        args: `fit` or `validate`, and the words after it.
        say: tells the user a line: the file that `validate --ckpt_path last` measures.
        goes_on: the checkpoint is of the run that goes on, so the user's own.

    Raises:
        ValueError: for a checkpoint that does not exist or cannot be read.
    """
    begin_command(args)
    flags = _flags_of(args)
    command, *words = rewritten_words(args)
    configs = list(map(_read_and_allow, flags.config))
    # the class comes first, so that all flags find it; a default of the parser would give others the values of ours
    words.insert(0, f"--data={flags.data or _class_of_data(configs) or 'VideoDataModule'}")
    named = _value_in(configs, "ckpt_path") if flags.ckpt_path is None else flags.ckpt_path
    if named in (None, "null") or (named == "last" and command == "fit"):  # "null" takes back an earlier word
        return Words([command, *words])
    if named == "last":
        file = newest_checkpoint(flags.root or _value_in(configs, "trainer", "default_root_dir") or ROOT)
        say(f"--ckpt_path last: {file}")
    else:
        file = str(local_file(named)) if on_hub(named) else str(named)
    recipe = saved_model(file, is_own=goes_on or named == "last")
    words.append(f"--ckpt_path={file}")
    kind, given = _given_model(words, configs)
    if recipe is None or (kind and kind.rpartition(".")[2] != recipe["class_path"].rpartition(".")[2]):
        return Words([command, *words])
    if kind is None:
        words.insert(0, f"--model={recipe['class_path']}")
    return Words([command, *words], SavedModel(file, recipe, given))


def _flags_of(args: Sequence[str]) -> Namespace:
    """Return the flags that decide which files are read: `ckpt_path`, `config`, `root` and `data`."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--ckpt_path")
    parser.add_argument("-c", "--config", action="append", default=[])
    parser.add_argument("--trainer.default_root_dir", dest="root")
    parser.add_argument("--data", "--data.class_path")
    return parser.parse_known_args(args)[0]


def _given_model(words: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> tuple[str | None, set[tuple[str, ...]]]:
    """Return the class of the model that words and configs name last, or None; and the keys of its arguments."""
    kind: str | None = None
    given: set[tuple[str, ...]] = set()
    models = [config.get("model") for config in configs]
    following = [*words[1:], ""]
    for word, after in zip(words, following, strict=True):
        flag, equals, value = word.partition("=")
        if flag == "--model" or flag == "--model.class_path":
            models.append(yaml_value(value if equals else after, flag))
        elif flag.startswith("--model."):
            keys = flag.removeprefix("--model.").removeprefix("init_args.").removesuffix("+")
            given.add(tuple(keys.split(".")))
    for model in models:
        if isinstance(model, Mapping):
            kind = model.get("class_path", kind)
            given |= {(str(name),) for name in model.get("init_args") or {}}
        elif model is not None:
            kind = str(model)
    return kind, given


def rewritten_words(args: Sequence[str]) -> Iterator[str]:
    """Yield the words, some of them in the form that the parser takes.

    A network after `--model` becomes the class around it, `--input`, `--mean` and `--std` become arguments of the
    class, several values of `--data.source` a list, and None null.

    Raises:
        UsageError: if an `--on` has one NAME twice.
    """
    rest = list(args)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        values = [value] if equals else list(takewhile(lambda word: not word.startswith("-"), rest))
        used = 0  # number of the values that the new words hold
        if flag in ("--input", "--mean", "--std") and values:
            used = len(values)
            yield from _words_of_input(flag, values)
        elif flag == "--model" and values:
            used = 1
            yield from _words_of_model(values[0])
        elif flag == "--data.source" and (len(values) > 1 or is_number("".join(values))):
            used = len(values)
            yield f"{flag}={json.dumps(values)}"  # a list keeps the text of a folder called 1e3
        elif "." in flag and values[:1] == ["None"]:
            used = 1
            yield f"{flag}=null"
        else:
            if flag == "--on":
                refuse_one_name_twice(values)
            yield word
        if not equals:
            del rest[:used]


def _words_of_input(flag: str, values: Sequence[str]) -> list[str]:
    """Return the words for `--input NAME`, `--mean R G B` or `--std R G B` of a network."""
    if values[0] in INPUTS:
        mean, std = INPUTS[values[0]]
        return [f"--model.mean={list(mean)}", f"--model.std={list(std)}"]
    return [f"--model.{flag.removeprefix('--')}=[{', '.join(values)}]"]


def is_number(text: str) -> bool:
    """Return whether a text reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _words_of_model(value: str) -> list[str]:
    """Return the words for the value of `--model`: a class, or a network as `vidcorr evaluate` takes it."""
    spec, _ = split_view(value)
    is_named = spec in SHORT_NAMES or spec == "raw_colour" or ":" in spec
    is_path = is_checkpoint(spec) or is_folder_of_model(spec)
    is_config = value.startswith("{") or value.endswith((".yaml", ".yml"))
    if is_config or not (is_path or is_named):
        return [f"--model={value}"]
    parts = [f"--model.{name}={part}" for name, part in EncoderSpec(value).to_dict().items()]
    return ["--model=FrozenEncoder", *parts]


def _read_and_allow(config: str) -> dict[str, Any]:
    """Return the content of a config of the user's, and allow the code that it names.

    Of the `config.yaml` of a run, it also lets Python find the run's modules.
    """
    if config.startswith("{"):
        content: dict[str, Any] = yaml_value(config, config)
        return content
    path = find_config(config)
    content = read_yaml(path)
    allow_named([str(content), "--allow", *with_lists(content, path).get("allow", [])])
    if (path.parent / FILE).is_file():
        sys.path.append(Record.read(path.parent).folder)
    return content


def _class_of_data(configs: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the class of the data that the last of a command's configs names; None without it."""
    for config in reversed(configs):
        data = config.get("data")
        name: str | None = data.get("class_path") if isinstance(data, dict) else data
        if name:
            return name
    return None


def _value_in(configs: Sequence[Mapping[str, Any]], *keys: str) -> Any:
    """Return the value below some keys in a command's configs, of which a later one counts more; None without it."""
    found = None
    for config in configs:
        value: Any = config
        for key in keys:
            value = (value or {}).get(key)
        found = found if value is None else value
    return found
