"""Words for LightningCLI that this project takes in short: classes and networks by name, a run by its checkpoint."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import yaml  # type: ignore[import-untyped]
from jsonargparse import get_loader
from pytorch_lightning.utilities import rank_zero_info

from vidcorr.backbones.checkpoints import read_content, saved_model
from vidcorr.backbones.names import SHORT_NAMES, read_spec, split_view
from vidcorr.backbones.trust import import_named
from vidcorr.errors import UsageError
from vidcorr.experiments.command_line import BEST, CommandLine
from vidcorr.experiments.config_files import read_yaml

from .benchmark import BenchmarkCallback
from .run_folder import newest_checkpoint

LIBRARIES_OF_NETWORKS = ("timm", "torchvision", "transformers")
"""Libraries before the colon of a network's name."""
OWN_CLASS = re.compile(r"[A-Za-z_][\w.]*[.:][A-Za-z_]\w*")
"""A class by its module: `my_method:VICReg` or `my_method.VICReg`."""
SECTIONS = {
    "trainer": "{max_steps: 9}",
    "model": "{class_path: VFSSimSiam}",
    "data": "{class_path: VideoDataModule, init_args: {source: FOLDER}}",
}
"""Sections of a config → an example of their options."""
CLASS_OPTION = re.compile(r"(.*\.)?class_path|model|data|trainer\.(callbacks|logger|plugins|profiler|strategy)\+?")
"""Options of LightningCLI whose value may be a class."""


class QuotingDumper(yaml.SafeDumper):
    """Write YAML with quoted texts, which no loader reads as numbers."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Return a text in double quotes."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style='"')


QuotingDumper.add_representer(str, QuotingDumper.represent_str)


def class_words(section: str, name: str | None) -> list[str]:
    """Return the words for `--model NAME` or `--data NAME`.

    Args:
        section: `model` or `data`.
        name: a class (`VFSSimSiam`, `my_module:MyMethod`, `my_module.MyMethod`), or for `model` a network as `vidcorr
            evaluate` takes it (`dino-b8`, `last.ckpt`, `my_module:my_network`), which becomes a `FrozenEncoder`.

    Raises:
        UsageError: if a class with its module cannot be imported.
    """
    if name is None:
        return []
    if section == "model" and _is_network(name):
        words = ["--model=FrozenEncoder"]
        for key, value in read_spec(name).items():
            if value is not None:
                words.append(f"--model.{key}={value}")
        return words
    if not name.startswith("{") and ("." in name or ":" in name):
        name = _import_path(name, f"--{section} {name}", f"--{section} my_module:MyClass")
    return [f"--{section}={name}"]


def config_words(configs: Sequence[tuple[Path, dict[str, Any]]]) -> list[str]:
    """Return the words for configs; classes by `module:Class` become `module.Class`, which the parser reads.

    Args:
        configs: path and content of each config.

    Raises:
        UsageError: if a class with its module cannot be imported, or an option has no value of its form.
    """
    words = []
    for path, content in configs:
        _refuse_forms(content, path)
        read = _with_import_paths(content, "", str(path))
        words.append(f"--config={path}" if read == content else f"--config={_dumped(read)}")
    return words


def _refuse_forms(content: dict[str, Any], path: Path) -> None:
    """Refuse sections and classes of a config whose form the parser passes over, or refuses without their name.

    Raises:
        UsageError: with file, key and the form.
    """
    for section in SECTIONS:
        value = content.get(section)
        is_class_or_file = isinstance(value, str) and (section != "trainer" or (path.parent / value).is_file())
        if not isinstance(value, dict | None) and not is_class_or_file:
            raise UsageError(f"{path}: {section}: expected options, such as {SECTIONS[section]}, got {value!r}")
    for key, name, value in _class_values(content, ""):
        if name == "class_path" and not isinstance(value, str):
            raise UsageError(f"{path}: {key}class_path: expected the name of a class, got {value!r}")
        if name == "init_args" and not isinstance(value, dict | None):
            raise UsageError(f"{path}: {key}init_args: expected options, such as {{size: 256}}, got {value!r}")


def _class_values(content: Any, key: str) -> Iterator[tuple[str, str, Any]]:
    """Yield each `class_path` and `init_args` of a config: the key above it with a dot, its name and its value."""
    if isinstance(content, list):
        for part in content:
            yield from _class_values(part, key)
    elif isinstance(content, dict):
        for name in {"class_path", "init_args"} & content.keys():
            yield key, name, content[name]
        for name, part in content.items():
            yield from _class_values(part, f"{key}{name}.")


def flag_words(words: Sequence[str]) -> list[str]:
    """Return flags for LightningCLI; classes by `module:Class` become `module.Class`, which the parser reads.

    Args:
        words: `--NAME=VALUE`, or `--NAME` and `VALUE`. A value may be a class or YAML in braces or brackets.

    Raises:
        UsageError: if a class with its module cannot be imported.
    """
    made = []
    name = ""
    for word in words:
        flag, equals, value = word.partition("=")
        if not word.startswith("--"):
            made.append(_value_word(word, name))
        elif equals:
            name = flag[2:]
            made.append(f"{flag}={_value_word(value, name)}")
        else:
            name = flag[2:]
            made.append(word)
    return made


def _value_word(value: str, name: str) -> str:
    """Return the value of the flag `--NAME` with the import paths of its classes."""
    content: Any = value
    if value.startswith(("{", "[")):
        try:
            content = get_loader("yaml")(value)
        except yaml.YAMLError:
            return value  # the parser refuses it
    read = _with_import_paths(content, name, f"--{name}")
    if read == content:
        return value
    return read if isinstance(read, str) else _dumped(read)


def _with_import_paths(content: Any, key: str, where: str) -> Any:
    """Return a value in which each class by `module:Class` is `module.Class`.

    Args:
        content: a config, or the value of an option.
        key: name of the option with dots, such as `trainer.callbacks+`; empty for a config.
        where: the config or the flag, for messages.

    Raises:
        UsageError: if a class cannot be imported.
    """
    if isinstance(content, dict):
        return {name: _with_import_paths(part, f"{key}.{name}".lstrip("."), where) for name, part in content.items()}
    if isinstance(content, list):
        return [_with_import_paths(part, key, where) for part in content]
    if isinstance(content, str) and CLASS_OPTION.fullmatch(key) and OWN_CLASS.fullmatch(content):
        what = where if where == f"--{key}" else f"{where}: {key}"
        return _import_path(content, f"{what} {content}", "class_path: my_module:MyClass")
    return content


def _import_path(name: str, what: str, example: str) -> str:
    """Return `module.Class` for `module:Class` or `module.Class`.

    Raises:
        UsageError: if the class cannot be imported; begins with `what` and ends with an example of the form.
    """
    module, _, attribute = name.replace(":", ".").rpartition(".")
    try:
        import_named(module, attribute, what)
    except ValueError as error:
        raise UsageError(f"{error}; a class of your own is module:Class: {example}") from error
    return f"{module}.{attribute}"


def _dumped(content: Any) -> str:
    """Return a value in one line of YAML."""
    return yaml.dump(
        content, Dumper=QuotingDumper, default_flow_style=True, sort_keys=False, width=float("inf")
    ).strip()


def _is_network(name: str) -> bool:
    """Return whether the value of `--model` is a network rather than the class of a LightningModule."""
    if name.startswith("{"):
        return False
    spec, _ = split_view(name)
    is_file = spec.endswith((".ckpt", ".safetensors")) or ("." in spec and Path(spec).is_file())
    if spec in SHORT_NAMES or spec == "raw_colour" or is_file:
        return True
    module, colon, attribute = spec.partition(":")
    if not colon:
        return False
    if module in LIBRARIES_OF_NETWORKS:
        return True
    try:
        named = import_named(module, attribute, spec)
    except ValueError:
        return True  # the error of the encoder names the form
    return not (isinstance(named, type) and issubclass(named, pl.LightningModule))


def resumed(line: CommandLine) -> tuple[list[str], list[str]]:
    """Read `--ckpt_path`: the model of the checkpoint, and the newest checkpoint for `last`.

    The search for `last` covers `trainer.default_root_dir` and every `dirpath` of the callbacks. A `fit` without model
    and data continues the run of the checkpoint, by the `config.yaml` of the run. A `fit` without a checkpoint begins a
    new run.

    Returns:
        Words before and after the other words for LightningCLI.

    Raises:
        ValueError: if `validate` finds no checkpoint, or a checkpoint cannot be read.
    """
    before: list[str] = []
    after: list[str] = []
    path = line.value("ckpt_path")
    if path is None and line.command == "fit" and os.environ.get("SLURM_RESTART_COUNT", "0") != "0":
        path = "last"  # SLURM runs the same line again
    if path == "last":
        root = Path(line.value("trainer.default_root_dir") or "runs").expanduser()
        path = _newest(line, root)
        after = [f"--ckpt_path={path or 'null'}", f"--trainer.default_root_dir={root}"]
    if path in (None, "null"):
        return before, after
    of_run = Path(path).parent.parent / "config.yaml"
    is_resumed = line.command == "fit" and not line.names_in("model") and not line.names_in("data")
    if is_resumed and of_run.is_file():
        rank_zero_info(f"the run continues by {of_run}")
        before = [_config_of_run(of_run, line)]
    saved = saved_model(path)
    given = str(line.value("model", "model.class_path") or "")
    if saved is not None and _last_name(given) in ("", _last_name(saved.class_path)):
        model = {"class_path": saved.class_path, "init_args": dict(saved.arguments)}
        before.insert(0, "--config=" + json.dumps({"model": model}))
    return before, after


def _config_of_run(path: Path, line: CommandLine) -> str:
    """Return the word for the `config.yaml` of a run that continues; benchmarks of `--on` replace those of the run."""
    if not line.given.on:
        return f"--config={path}"
    content = read_yaml(path)
    trainer = content.get("trainer") or {}
    entries = trainer.get("callbacks") or []
    trainer["callbacks"] = [entry for entry in entries if not _is_of_on(entry)]
    return f"--config={_dumped(content)}"


def _is_of_on(entry: dict[str, Any]) -> bool:
    """Return whether an entry of `trainer.callbacks` is one that `--on` adds."""
    kind = _last_name(entry["class_path"])
    monitor = (entry.get("init_args") or {}).get("monitor")
    return kind == BenchmarkCallback.__name__ or (kind == BEST and monitor is None)


def _newest(line: CommandLine, root: Path) -> Path | None:
    """Return the checkpoint that `--ckpt_path last` means; None lets a `fit` begin a new run."""
    folders = [value for name, value in line.options if value and name.endswith(".dirpath")]
    path = newest_checkpoint(root, folders)
    if path is not None:
        state = read_content(path, whole=False)
        rank_zero_info(f"resuming from {path}: step {state['global_step']}, epoch {state['epoch']}")
    elif line.command == "fit":
        rank_zero_info(f"no last.ckpt in {root}: starting a new run")
    else:
        raise ValueError(f"--ckpt_path last: no last.ckpt in {root}")
    return path


def _last_name(class_path: str) -> str:
    """Return the name of a class without its module."""
    return class_path.replace(":", ".").rpartition(".")[2]
