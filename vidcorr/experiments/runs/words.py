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
from .config_files import LISTS, find_config, read_yaml, with_lists, yaml_value
from .runs import FILE, ROOT, Record, RunFolder, checkpoint_named, run_named

PARTS = ("model", "data")
"""Parts of a configuration that are a class with its arguments."""
SEVERAL = {"--data.source", "--mean", "--std", *(f"--{name}" for name in LISTS)}
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
        """The file's arguments, without those that the user gives as a whole or in part.

        Example:
            >>> of_file = {"bank": {"frames": 9}, "radius": 6, "lr": 0.1}
            >>> recipe = {"class_path": "Liir", "init_args": of_file}
            >>> SavedModel("last.ckpt", recipe, {("bank", "frames"), ("lr",)}).arguments
            {'radius': 6}
        """
        names = {keys[0] for keys in self.given}
        return {name: value for name, value in self.recipe["init_args"].items() if name not in names}

    def with_given(self, parsed: Mapping[str, Any]) -> dict[str, Any]:
        """Return name → value of the arguments that the user gives.

        An argument given by a key, such as `bank.frames`, is a dictionary with its other keys from the file.

        Args:
            parsed: arguments of the class, parsed from the user's words.

        Example:
            >>> from argparse import Namespace
            >>> of_file = {"bank": {"frames": 9, "points": 4}, "radius": 6}
            >>> saved = SavedModel("last.ckpt", {"class_path": "Liir", "init_args": of_file}, {("bank", "points")})
            >>> parsed = {"bank": Namespace(frames=0, points=7), "radius": 2}
            >>> saved.with_given(parsed), of_file["bank"]
            ({'bank': {'frames': 9, 'points': 7}}, {'frames': 9, 'points': 4})
            >>> saved._replace(given={("bank",), ("bank", "points"), ("radius",)}).with_given(parsed)
            {'bank': Namespace(frames=0, points=7), 'radius': 2}
        """
        given_whole = {keys[0] for keys in self.given if len(keys) == 1}
        merged: dict[str, Any] = {}
        for name, *keys in sorted(self.given):  # argument, and the key of a value in it
            if name not in parsed:
                continue
            value = parsed[name]
            of_file = self.recipe["init_args"].get(name)
            if name in given_whole or not isinstance(of_file, Mapping):
                merged[name] = value
                continue
            settings = merged.setdefault(name, dict(of_file))  # a copy: the file's own values stay
            # a deeper key, as of `bank.frames.first`, gives all of `bank.frames`
            settings[keys[0]] = value[keys[0]] if isinstance(value, Mapping) else getattr(value, keys[0])
        return merged


class Word(NamedTuple):
    """A flag of `fit` or `validate` with its values.

    Attributes:
        kind: "config"; "class" of a part, perhaps with arguments; "argument" of a part's class; or "flag".
        part: "model" or "data"; of a flag its name, `--flag`; of a config "".
        value: content of a config; dictionary of `class_path` and `init_args` of a class; text of a flag; set of an
            argument's keys, each a tuple: ("bank", "frames") for `--model.bank.frames`.
        words: words for the parser.
    """

    kind: str
    part: str
    value: Any
    words: list[str]


class Words(NamedTuple):
    """The words of a command as the parser takes them, with the model that they load.

    Attributes:
        words: words for LightningCLI.
        saved: the model of the file of `--ckpt_path`; None without such a file, or if the words name another class.
    """

    words: list[str]
    saved: SavedModel | None


def words_for_parser(args: Sequence[str], say: Callable[[str], object] = print) -> Words:
    """Return the words for LightningCLI, with networks, runs and the model of `--ckpt_path` as the parser takes them.

    Later words win. Flags of arguments count even if a later word names the class; arguments in a config count only for
    the class that the config names. So flags change the model of `--ckpt_path`, and another class replaces it.

    Args:
        args: `fit` or `validate`, and the words after it.
        say: prints a line for the user: the file that `validate --ckpt_path last` measures.

    Raises:
        UsageError: for a word without a flag, a flag without its value, or a file that is no config.
        ValueError: for a checkpoint that does not exist or cannot be read.

    Example:
        >>> for word in words_for_parser(["fit", "--model.lr=0.1", "--model", "VFSMoCo"]).words:
        ...     print(word)
        fit
        --config={"data": {"class_path": "VideoDataModule"}}
        --config={"model": {"class_path": "VFSMoCo"}}
        --model.lr=0.1
    """
    begin_command(args)
    command, *rest = args
    said = list(read_words(rest))
    # the class of the data comes first, so that the parser knows the arguments that the flags name
    first = [_class_word("data", last_class(said, "data") or "VideoDataModule")]  # words before the user's
    named = last_value(said, "ckpt_path")
    saved: SavedModel | None = None  # the model of the checkpoint, unless the user names another class
    # "null" takes back an earlier word; `Run.choose_checkpoint` finds the file of `fit --ckpt_path last` later
    if named not in (None, "null") and (named, command) != ("last", "fit"):
        if named == "last":
            run = RunFolder.named(last_value(said, "trainer", "default_root_dir") or ROOT)
            file = str(run.trusted_checkpoint("last"))
            say(f"--ckpt_path last: {file}")
        elif on_hub(str(named)):
            file = str(local_file(str(named)))
        else:
            file = checkpoint_named(str(named), "last" if command == "fit" else "best")
        said.append(Word("flag", "--ckpt_path", file, [f"--ckpt_path={file}"]))
        # class and arguments; None for an address (s3://…), or a module from outside this project
        recipe = saved_model(file)
        kind = last_class(said, "model")  # the class that the user names
        if recipe is not None and kind is None:
            first.append(_class_word("model", recipe["class_path"]))
        if recipe is not None and (kind is None or _class_name(kind) == _class_name(recipe["class_path"])):
            saved = SavedModel(file, recipe, given_arguments(said))
    return Words([command, *_ordered([*first, *said])], saved)


def _class_name(class_path: str) -> str:
    """Return the name of a class without its module."""
    return class_path.rpartition(".")[2]


def read_words(args: Sequence[str]) -> Iterator[Word]:
    """Yield a `Word` per flag, from left to right, in which the parser's arguments replace names of networks and runs.

    Args:
        args: the words after `fit` or `validate`.

    Raises:
        UsageError: for a word without a flag, a flag without its value, or a file that is no config.

    Example:
        >>> word, *_ = read_words(["--model.lr", "0.1", "--trainer.max_steps=9"])
        >>> word.kind, word.part, word.value, word.words
        ('argument', 'model', {('lr',)}, ['--model.lr', '0.1'])
        >>> (word,) = read_words(["--mean", "0", "-1", "0"])
        >>> word.kind, word.value, word.words
        ('argument', {('mean',)}, ['--model.mean=[0, -1, 0]'])
    """
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if not _is_flag(word):
            flag = "--config" if Path(word).suffix in (".yaml", ".yml") else "--model"
            raise UsageError(f"{word}: a word without a flag; write {flag} {word}")
        flag, equals, joined = word.partition("=")
        words = [word]
        values = [joined]
        if not equals:
            behind = list(takewhile(lambda word: not _is_flag(word), rest))
            values = behind if flag in SEVERAL else behind[:1]
            words += values
            del rest[: len(values)]
        # these flags need a value; the parser itself refuses others that lack theirs
        is_known = "." in flag or flag.removeprefix("--") in (*PARTS, "config", "ckpt_path") or flag == "-c"
        if is_known and not values and not flag.endswith(".help"):
            raise UsageError(f"argument {flag}: expected one argument")
        yield _word_of(flag, values, words)


def _is_flag(word: str) -> bool:
    """Return True for a flag, False for a value, also a negative number such as -1.

    Example:
        >>> _is_flag("--model"), _is_flag("-1"), _is_flag("VFSMoCo")
        (True, False, False)
    """
    return word.startswith("-") and not is_number(word)


def _word_of(flag: str, values: Sequence[str], words: list[str]) -> Word:
    """Return the `Word` of a flag.

    Its kind is "config", "class" (of the model or the data), "argument" (of one of these classes), or "flag" for all
    other flags. `--input`, `--mean` and `--std` are short for arguments of the model.

    Args:
        flag: the flag, `--model.bank`.
        values: its values; most flags have a single value.
        words: the flag and its values as the user wrote them.

    Example:
        >>> _word_of("--trainer.logger", ["None"], ["--trainer.logger", "None"])[2:]
        ('null', ['--trainer.logger=null'])
        >>> _word_of("--data.size", ["64"], ["--data.size", "64"])[:3]
        ('argument', 'data', {('size',)})
    """
    value = next(iter(values), "")
    part, dot, below = flag.removeprefix("--").partition(".")
    if flag in ("--config", "-c"):
        return Word("config", "", _read_and_allow(value), [f"--config={value}"])
    if flag in ("--input", "--mean", "--std") and values:
        texts = _arguments_of_input(flag, values)
        keys = {(name,) for name in texts}
        return Word("argument", "model", keys, [f"--model.{name}={text}" for name, text in texts.items()])
    # "null" and "None" name no class
    if part in PARTS and below in ("", "class_path") and value not in ("null", "None"):
        return Word("class", part, _content_of_class(part, value, is_class=bool(dot)), words)
    if part in PARTS and dot:
        return _argument(flag, part, below, values, words)
    if dot and value == "None":
        return Word("flag", flag, "null", [f"{flag}=null"])
    return Word("flag", flag, value, words)


def _argument(flag: str, part: str, below: str, values: Sequence[str], words: list[str]) -> Word:
    """Return the `Word` of a flag that gives arguments to the class of the model or of the data.

    In the word's texts, "None" becomes "null" for the parser, and a run's name becomes the path of its checkpoint.

    Args:
        flag: the flag, `--model.init_args.bank`.
        part: "model" or "data".
        below: the flag after the part, `init_args.bank`.
        values: the flag's values as texts.
        words: the flag and its values as the user wrote them.

    Example:
        >>> sorted(_argument("--model.init_args", "model", "init_args", ["{lr: 1, bank: {frames: 9}}"], []).value)
        [('bank',), ('lr',)]
        >>> _argument("--data.source", "data", "source", ["a", "1e3"], ["--data.source", "a", "1e3"]).words
        ['--data.source=["a", "1e3"]']
        >>> _argument("--model.stage", "model", "stage", ["None"], ["--model.stage", "None"]).words
        ['--model.stage=null']
    """
    keys = below.removeprefix("init_args").removeprefix(".").removesuffix("+")  # + appends to a list
    names = {tuple(keys.split("."))}  # as in `Word.value`
    value = next(iter(values), "")
    if not keys:  # all arguments as YAML
        content = yaml_value(value, flag)
        names = {(str(name),) for name in content} if isinstance(content, Mapping) else set()
    if flag == "--data.source" and (len(values) > 1 or is_number("".join(values))):
        # several sources, or one whose name is a number, as 1e3: in a list of texts the parser makes no number of it
        words = [f"{flag}={json.dumps(list(values))}"]
    elif value == "None":
        words = [f"{flag}=null"]
    elif part == "model" and run_named(split_view(value)[0]):
        words = [f"{flag}={checkpoint_named(value)}"]
    return Word("argument", part, names, words)


def _arguments_of_input(flag: str, values: Sequence[str]) -> dict[str, str]:
    """Return the arguments `mean` and `std` of a network as texts, for `--input NAME`, `--mean R G B`, `--std R G B`.

    `--mean` and `--std` take the name of an input too, as `--input`.

    Raises:
        UsageError: if `--input` names no input.

    Example:
        >>> _arguments_of_input("--mean", ["0", "-1", "0"]), _arguments_of_input("--input", ["unit"])
        ({'mean': '[0, -1, 0]'}, {'mean': '[0.0, 0.0, 0.0]', 'std': '[1.0, 1.0, 1.0]'})
    """
    if values[0] in INPUTS:
        mean, std = INPUTS[values[0]]
        return {"mean": str(list(mean)), "std": str(list(std))}
    if flag == "--input":
        raise UsageError(f"--input {values[0]}: expected {', '.join(INPUTS)}{did_you_mean(values[0], INPUTS)}")
    return {flag.removeprefix("--"): f"[{', '.join(values)}]"}


def is_number(text: str) -> bool:
    """Return True if Python reads a text as a float."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _content_of_class(part: str, value: str, is_class: bool) -> dict[str, Any]:
    """Return the class that a value of `--model` or `--data` names: `class_path`, and `init_args` if it has arguments.

    Args:
        part: "model" or "data".
        value: a class; a class with its arguments as YAML, or the name of a YAML file of this form; or a network as
            `vidcorr evaluate` takes it, which becomes the argument of `FrozenEncoder`.
        is_class: True: the value is a class alone, of `--model.class_path`.

    Example:
        >>> _content_of_class("model", "mine:Method", is_class=True)
        {'class_path': 'mine.Method'}
        >>> _content_of_class("data", "{class_path: mine.Data, init_args: {size: 64}}", is_class=False)
        {'class_path': 'mine.Data', 'init_args': {'size': 64}}
    """
    is_file = Path(value).suffix in (".yaml", ".yml")
    if not is_class and (is_file or value.startswith("{")):
        content = read_yaml(find_config(value)) if is_file else yaml_value(value, value)
        entry = content.get(part, content)  # a file may have the entry below the key `model` or `data`
        return {"class_path": entry} if isinstance(entry, str) else dict(entry)
    if part == "model" and not is_class and _is_network(value):
        return {"class_path": "FrozenEncoder", "init_args": EncoderSpec(checkpoint_named(value)).to_dict()}
    return {"class_path": value.replace(":", ".")}


def _is_network(value: str) -> bool:
    """Return True if a value of `--model` names a network, False if it names a LightningModule.

    A value `module:Name` is imported to find out which of the two the user's class is.

    Example:
        >>> [_is_network(value) for value in ("raw_colour", "timm:resnet18@res4", "last.ckpt", "VFSMoCo")]
        [True, True, True, False]
    """
    spec, _ = split_view(value)
    if USERS_CALLABLE.fullmatch(value):
        module, _, name = value.partition(":")
        bases = getattr(import_named(module, name, f"--model {value}"), "__mro__", ())  # (): a function, no class
        return "LightningModule" not in {base.__name__ for base in bases}  # by name: the library imports no Lightning
    is_named = spec in SHORT_NAMES or spec == "raw_colour" or ":" in spec
    return is_named or is_checkpoint(spec) or is_folder_of_model(spec) or run_named(spec) is not None


def _class_word(part: str, class_path: str) -> Word:
    """Return the `Word` that names the class of a part, without arguments."""
    return Word("class", part, {"class_path": class_path}, [])


def _ordered(said: Sequence[Word]) -> list[str]:
    """Return the words for the parser, in which flags of arguments stand behind the class that they belong to.

    The parser reads from left to right and takes arguments for the class that it knows by then. So a class is moved
    forward, to directly behind the last config before it, and the flags between then count for the class. If a config
    names a class behind flags, this class is written before the flags too, without its arguments.

    Example:
        >>> flag = list(read_words(["--data.size=64"]))
        >>> _ordered([*flag, *read_words(["--data=mine.Data"])])
        ['--config={"data": {"class_path": "mine.Data"}}', '--data.size=64']
        >>> _ordered([*flag, Word("config", "", {"data": "mine.Data"}, ["--config=mine.yaml"])])
        ['--config={"data": {"class_path": "mine.Data"}}', '--data.size=64', '--config=mine.yaml']
    """
    ordered: list[str] = []
    place_of_class = 0  # index behind the last config so far
    for word in said:
        if word.kind == "class":
            ordered.insert(place_of_class, f"--config={json.dumps({word.part: word.value}, default=str)}")
            place_of_class += 1
            continue
        if word.kind == "config" and len(ordered) > place_of_class:  # flags stand between this config and the last
            for part in PARTS:
                class_path = last_class([word], part)
                if class_path is not None:
                    ordered.insert(place_of_class, f"--config={json.dumps({part: {'class_path': class_path}})}")
        ordered += word.words
        if word.kind == "config":
            place_of_class = len(ordered)
    return ordered


def _contents(said: Sequence[Word], part: str) -> Iterator[Any]:
    """Yield the contents of a part, "model" or "data", from left to right.

    A word of kind "class" gives a mapping with `class_path` and perhaps `init_args`. A config gives its entry of the
    part: a mapping of this form, a class path as text, or None if the config lacks the part.
    """
    for word in said:
        if word.kind == "class" and word.part == part:
            yield word.value
        elif word.kind == "config":
            yield word.value.get(part)


def last_class(said: Sequence[Word], part: str) -> str | None:
    """Return the class path that configs and words name last for a part, "model" or "data"; None if they name none.

    Example:
        >>> said = list(read_words(["--model=VFSMoCo", "--data", "mine:Data", "--model.class_path", "mine.Method"]))
        >>> last_class(said, "model"), last_class(said, "data")
        ('mine.Method', 'mine.Data')
    """
    found: str | None = None
    for content in _contents(said, part):
        name = content.get("class_path") if isinstance(content, Mapping) else content
        found = name or found
    return found


def given_arguments(said: Sequence[Word]) -> set[tuple[str, ...]]:
    """Return the keys of the model's arguments that configs and words give, as in `SavedModel.given`.

    ("bank",) is a whole argument, ("bank", "frames") one value of it.

    Example:
        >>> sorted(given_arguments(list(read_words(["--model.lr=0.1", "--model.bank.frames", "9", "--data.size=64"]))))
        [('bank', 'frames'), ('lr',)]
    """
    given: set[tuple[str, ...]] = set()
    for word in said:
        if word.kind == "argument" and word.part == "model":
            given |= word.value
    for content in _contents(said, "model"):
        if isinstance(content, Mapping):
            given |= {(str(name),) for name in content.get("init_args") or {}}
    return given


def last_value(said: Sequence[Word], *keys: str) -> Any:
    """Return the value of an option: from its last flag, else from the last config with a value for the option.

    None if no flag and no config gives a value.

    Args:
        said: the words.
        *keys: keys of the option: "trainer", "default_root_dir" for the flag `--trainer.default_root_dir`.

    Example:
        >>> last_value(list(read_words(["--trainer.max_steps=3", "--trainer.max_steps=9"])), "trainer", "max_steps")
        '9'
        >>> config = '--config={"ckpt_path": "a.ckpt", "trainer": {"max_steps": 5}}'
        >>> said = list(read_words(["--ckpt_path=b.ckpt", config]))
        >>> last_value(said, "ckpt_path"), last_value(said, "trainer", "max_steps"), last_value(said, "seed_everything")
        ('b.ckpt', 5, None)
    """
    of_flags = [word.value for word in said if word.kind == "flag" and word.part == f"--{'.'.join(keys)}"]
    if of_flags:
        return of_flags[-1]
    from_config = None
    for word in said:
        value: Any = word.value if word.kind == "config" else {}
        for key in keys:  # follow the keys down the nested mappings
            value = (value or {}).get(key)
        from_config = from_config if value is None else value
    return from_config


def _read_and_allow(config: str) -> dict[str, Any]:
    """Return the content of a config that the user's words name. The code that the config names may then be loaded.

    If the config lies in the folder of a run, the run's working directory is added to Python's path, so that Python
    finds the user's modules.

    Args:
        config: name of a file, or the content itself, which begins with `{` and allows nothing.
    """
    if config.startswith("{"):
        return dict(yaml_value(config, config))
    path = find_config(config)
    content = read_yaml(path)
    # all names in the content, and the values of its key `allow`, as if they stood behind the flag `--allow`
    allow_named([str(content), "--allow", *with_lists(content, path).get("allow", [])])
    if (path.parent / FILE).is_file():
        sys.path.append(Record.read(path.parent).folder)
    return content
