"""The words of `fit` and `validate`, read once before the parser reads them."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from ...backbones import EncoderSpec
from ...backbones.files.checkpoints import saved_model
from ...backbones.files.trust import Recipe, allow_named, begin_command, import_named
from ...backbones.hub_models import is_folder_of_model
from ...backbones.networks import SHORT_NAMES, USERS_CALLABLE, is_checkpoint, local_file, on_hub, split_view
from ...description import INPUTS
from ...errors import UsageError
from ...near_names import did_you_mean
from .config_files import find_config, read_yaml, with_lists, yaml_value
from .flags import RUN_FLAGS, Flag
from .runs import FILE, ROOT, Record, RunFolder, checkpoint_named, run_named

PARTS = ("model", "data")
"""Parts of a configuration that are a class with its arguments."""
SEVERAL = {"--data.source", "--mean", "--std"} | {
    flag.name for flag in RUN_FLAGS if isinstance(flag, Flag) and flag.options.get("nargs") == "+"
}
"""Flags with several values."""


class SavedModel(NamedTuple):
    """The model of a checkpoint, whose arguments no parser reads.

    Attributes:
        file: the checkpoint.
        recipe: its class, which the file may name, and arguments.
        given: keys of the arguments that the user's words and configs give, below `model`: ("bank",) is the whole
            argument, ("bank", "frames") one value of it.
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


class Word(NamedTuple):
    """A flag of `fit` or `validate` with its values.

    Attributes:
        kind: "config"; "class" of a part, perhaps with arguments; "argument" of a part's class; or "flag".
        part: "model" or "data"; of a flag its name, `--flag`; of a config "".
        value: content of a config; `class_path` and `init_args` of a class; keys of an argument, of which one of
            several is a tuple; text of a flag.
        words: words for the parser.
    """

    kind: str
    part: str
    value: Any
    words: list[str]


class Words(NamedTuple):
    """Words for LightningCLI, and the model of `--ckpt_path` unless they name another class."""

    words: list[str]
    saved: SavedModel | None


def words_for_parser(args: Sequence[str], say: Callable[[str], object] = print, goes_on: bool = False) -> Words:
    """Return the words for LightningCLI: classes as configs before the flags that follow a config.

    Later words win. A flag counts for the class that a later word names, and an argument of a config's class does not;
    so flags change the model of `--ckpt_path`, and another class replaces it.

    Args:
        args: `fit` or `validate`, and the words after it.
        say: tells the user a line: the file that `validate --ckpt_path last` measures.
        goes_on: the checkpoint is of the run that goes on, so the user's own.

    Raises:
        UsageError: for a word without a flag, a flag without its value, or a file that is no config.
        ValueError: for a checkpoint that does not exist or cannot be read.
    """
    begin_command(args)
    command, *rest = args
    said = list(read_words(rest))
    # the class of the data comes first, so that all flags find it: the parser's default has arguments of ours
    first = [_class_word("data", last_class(said, "data") or "VideoDataModule")]
    named = last_value(said, "ckpt_path")
    saved: SavedModel | None = None
    if named not in (None, "null") and (named, command) != ("last", "fit"):  # "null" takes back an earlier word
        if named == "last":
            file = str(RunFolder.named(last_value(said, "trainer", "default_root_dir") or ROOT).trust("last"))
            say(f"--ckpt_path last: {file}")
        elif on_hub(str(named)):
            file = str(local_file(str(named)))
        else:
            file = checkpoint_named(str(named), "last" if command == "fit" else "best")
        said.append(Word("flag", "--ckpt_path", file, [f"--ckpt_path={file}"]))
        recipe = saved_model(file, is_own=goes_on or named == "last")
        kind = last_class(said, "model")
        if recipe is not None and kind is None:
            first.append(_class_word("model", recipe["class_path"]))
        if recipe is not None and (kind is None or _class_name(kind) == _class_name(recipe["class_path"])):
            saved = SavedModel(file, recipe, given_arguments(said))
    return Words([command, *_ordered([*first, *said])], saved)


def _class_name(class_path: str) -> str:
    """Return the name of a class without its module."""
    return class_path.rpartition(".")[2]


def read_words(args: Sequence[str]) -> Iterator[Word]:
    """Yield what the words say, from left to right, with names of networks and runs as the parser takes them.

    Raises:
        UsageError: for a word without a flag, a flag without its value, or a file that is no config.
    """
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if not _is_flag(word):
            flag = "--config" if Path(word).suffix in (".yaml", ".yml") else "--model"
            raise UsageError(f"{word}: a word without a flag; write {flag} {word}")
        flag, equals, joined = word.partition("=")
        values = [joined] if equals else list(takewhile(lambda word: not _is_flag(word), rest))
        if flag not in SEVERAL:
            values = values[:1]
        if not equals:
            del rest[: len(values)]
        is_known = "." in flag or flag.removeprefix("--") in (*PARTS, "config", "ckpt_path") or flag == "-c"
        if is_known and not values and not flag.endswith(".help"):
            raise UsageError(f"argument {flag}: expected one argument")
        yield _word_of(flag, values, [word, *([] if equals else values)])


def _is_flag(word: str) -> bool:
    """Return whether a word is a flag, not a value such as -1."""
    return word.startswith("-") and not is_number(word)


def _word_of(flag: str, values: Sequence[str], words: list[str]) -> Word:
    """Return what a flag says with its values."""
    value = next(iter(values), "")
    part, dot, below = flag.removeprefix("--").partition(".")
    if flag in ("--config", "-c"):
        return Word("config", "", _read_and_allow(value), [f"--config={value}"])
    if flag in ("--input", "--mean", "--std") and values:
        texts = _arguments_of_input(flag, values)
        keys = {(name,) for name in texts}
        return Word("argument", "model", keys, [f"--model.{name}={text}" for name, text in texts.items()])
    if part in PARTS and below in ("", "class_path") and value not in ("null", "None"):
        return Word("class", part, _content_of_class(part, value, is_class=bool(dot)), words)
    if part in PARTS and dot:
        return _argument(flag, part, below, values, words)
    if dot and value == "None":
        return Word("flag", flag, "null", [f"{flag}=null"])
    return Word("flag", flag, value, words)


def _argument(flag: str, part: str, below: str, values: Sequence[str], words: list[str]) -> Word:
    """Return what a flag says of the arguments of a part's class."""
    keys = below.removeprefix("init_args").removeprefix(".").removesuffix("+")  # + appends to a list
    names = {tuple(keys.split("."))}
    value = next(iter(values), "")
    if not keys:  # all arguments as YAML
        content = yaml_value(value, flag)
        names = {(str(name),) for name in content} if isinstance(content, Mapping) else set()
    if flag == "--data.source" and (len(values) > 1 or is_number("".join(values))):
        words = [f"{flag}={json.dumps(list(values))}"]  # a list keeps the text of a folder called 1e3
    elif value == "None":
        words = [f"{flag}=null"]
    elif part == "model" and run_named(split_view(value)[0]):
        words = [f"{flag}={checkpoint_named(value)}"]
    return Word("argument", part, names, words)


def _arguments_of_input(flag: str, values: Sequence[str]) -> dict[str, str]:
    """Return the arguments of a network for `--input NAME`, `--mean R G B` or `--std R G B`: name → text."""
    if values[0] in INPUTS:
        mean, std = INPUTS[values[0]]
        return {"mean": str(list(mean)), "std": str(list(std))}
    if flag == "--input":
        raise UsageError(f"--input {values[0]}: expected {', '.join(INPUTS)}{did_you_mean(values[0], INPUTS)}")
    return {flag.removeprefix("--"): f"[{', '.join(values)}]"}


def is_number(text: str) -> bool:
    """Return whether a text reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _content_of_class(part: str, value: str, is_class: bool) -> dict[str, Any]:
    """Return class and arguments that a value gives to a part.

    Args:
        part: "model" or "data".
        value: a class, YAML of it with arguments, a file of that, or a network as `vidcorr evaluate` takes it.
        is_class: the value is a class alone, of `--model.class_path`.
    """
    is_file = Path(value).suffix in (".yaml", ".yml")
    if not is_class and (is_file or value.startswith("{")):
        content = read_yaml(find_config(value)) if is_file else yaml_value(value, value)
        found = content.get(part, content)
        return {"class_path": found} if isinstance(found, str) else dict(found)
    if part == "model" and not is_class and _is_network(value):
        return {"class_path": "FrozenEncoder", "init_args": EncoderSpec(checkpoint_named(value)).to_dict()}
    return {"class_path": value.replace(":", ".")}


def _is_network(value: str) -> bool:
    """Return whether a value of `--model` names a network, not a LightningModule; `module:Name` is imported to tell."""
    spec, _ = split_view(value)
    if USERS_CALLABLE.fullmatch(value):
        module, _, name = value.partition(":")
        bases = getattr(import_named(module, name, f"--model {value}"), "__mro__", ())
        return "LightningModule" not in {base.__name__ for base in bases}  # by name: the library imports no Lightning
    is_named = spec in SHORT_NAMES or spec == "raw_colour" or ":" in spec
    return is_named or is_checkpoint(spec) or is_folder_of_model(spec) or run_named(spec) is not None


def _class_word(part: str, class_path: str) -> Word:
    """Return the word that names a part's class."""
    return Word("class", part, {"class_path": class_path}, [])


def _ordered(said: Sequence[Word]) -> list[str]:
    """Return words for the parser: each class as a config behind the last config that the user's words name before it.

    So the flags behind that config are of the class, as the parser reads them.
    """
    ordered: list[str] = []
    place_of_class = 0
    for word in said:
        if word.kind == "class":
            ordered.insert(place_of_class, f"--config={json.dumps({word.part: word.value}, default=str)}")
            place_of_class += 1
            continue
        ordered += word.words
        if word.kind == "config":
            place_of_class = len(ordered)
    return ordered


def _contents(said: Sequence[Word], part: str) -> Iterator[Any]:
    """Yield what words and configs say of a part, from left to right.

    Of a word it is a mapping with `class_path` and perhaps `init_args`; of a config it may be a class path alone, or
    None if the config lacks the part.
    """
    for word in said:
        if word.kind == "class" and word.part == part:
            yield word.value
        elif word.kind == "config":
            yield word.value.get(part)


def last_class(said: Sequence[Word], part: str) -> str | None:
    """Return the class of a part that configs and words name last; None, if they name none."""
    found: str | None = None
    for content in _contents(said, part):
        name = content.get("class_path") if isinstance(content, Mapping) else content
        found = name or found
    return found


def given_arguments(said: Sequence[Word]) -> set[tuple[str, ...]]:
    """Return the keys of the model's arguments that configs and words give."""
    given: set[tuple[str, ...]] = set()
    for word in said:
        if word.kind == "argument" and word.part == "model":
            given |= word.value
    for content in _contents(said, "model"):
        if isinstance(content, Mapping):
            given |= {(str(name),) for name in content.get("init_args") or {}}
    return given


def last_value(said: Sequence[Word], *keys: str) -> Any:
    """Return the value that a flag gives last, `--trainer.default_root_dir`, else a config below its keys; or None."""
    of_flags = [word.value for word in said if word.kind == "flag" and word.part == f"--{'.'.join(keys)}"]
    if of_flags:
        return of_flags[-1]
    found = None
    for word in said:
        value: Any = word.value if word.kind == "config" else {}
        for key in keys:
            value = (value or {}).get(key)
        found = found if value is None else value
    return found


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
