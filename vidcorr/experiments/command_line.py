"""The command line of `fit` and `validate`: configs, flags of this project, and words for LightningCLI.

Later configs win over earlier ones, and flags over configs, wherever they stand.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .config_files import find_config, read_yaml
from .configured import add_flags, callback_entries, positive

BEST = "BestCheckpoint"
"""The callback that `--on` adds to a `fit`."""


@dataclass(frozen=True)
class CommandLine:
    """The parts of a command line.

    Attributes:
        command: `fit` or `validate`.
        configs: path and content of the configs, in the order of the command line.
        given: values of our own flags, and of `--model` and `--data`.
        flags: the other words, for LightningCLI.
    """

    command: str
    configs: list[tuple[Path, dict[str, Any]]]
    given: argparse.Namespace
    flags: list[str]

    @cached_property
    def options(self) -> list[tuple[str, Any]]:
        """Name and value of all options of configs and flags; the last value of a name wins.

        Names have no `init_args`: `model.base_lr`, `trainer.callbacks+.dirpath`.
        """
        found: list[tuple[str, Any]] = []
        for _, content in self.configs:
            found += _flat(content, "")
        for section in ("model", "data"):
            value = getattr(self.given, section)
            if value is not None:
                found.append((section, value))
        return found + list(_of_words(self.flags))

    def value(self, *names: str) -> Any:
        """Return the last value of an option, which may have several names; None if it is not given."""
        for name, value in reversed(self.options):
            if name in names:
                return value
        return None

    def names_in(self, section: str) -> bool:
        """Return whether a config or flag sets anything of a section, such as `model`."""
        return any(name.partition(".")[0] == section for name, _ in self.options)

    @property
    def benchmark_words(self) -> list[str]:
        """Words that append the benchmarks of `--on` to `trainer.callbacks`, and in a `fit` a `BestCheckpoint`.

        Raises:
            UsageError: for flags that are not understood, or have no benchmark.
            ValueError: for a missing folder, or a protocol, change or argument that no benchmark takes.
        """
        entries = callback_entries(self.given)
        if self.command == "fit" and entries and not self._keeps_best:
            entries.append({"class_path": f"callbacks.{BEST}"})
        return [f"--trainer.callbacks+={json.dumps(entry, default=str)}" for entry in entries]

    @property
    def _keeps_best(self) -> bool:
        """True if the user has named a `BestCheckpoint`, or wants no checkpoints."""
        for name, value in self.options:
            if name.startswith("trainer.callbacks") and str(value).replace(":", ".").rpartition(".")[2] == BEST:
                return True
        return self.value("trainer.enable_checkpointing") in (False, "false", "False")


def read_command_line(args: Sequence[str]) -> CommandLine:
    """Read a command line.

    A config of the project goes by its name (`data/kinetics.yaml`).

    Args:
        args: command and arguments.

    Raises:
        UsageError: for a missing or unreadable config.
        ArgumentError: for a flag without a value, or with a wrong one.
    """
    command = args[0]
    of_fit = argparse.Namespace(every=None, before=False)
    given, flags = own_flags(command).parse_known_args(args[1:], of_fit)
    paths = list(map(find_config, given.config))
    configs = [(path, read_yaml(path)) for path in paths]
    return CommandLine(command, configs, given, flags)


def own_flags(command: str) -> argparse.ArgumentParser:
    """Return the parser of the flags that LightningCLI does not have, and of those that come first: a class."""
    parser = argparse.ArgumentParser(f"vidcorr {command}", add_help=False, allow_abbrev=False, exit_on_error=False)
    config = "a YAML file, or a config of the project by its name: data/kinetics.yaml; later files win"
    parser.add_argument("-c", "--config", action="append", default=[], metavar="FILE", help=config)
    model = "a method, or a network as vidcorr evaluate takes it: VFSSimSiam, dino-b8, last.ckpt, my_module:MyMethod"
    parser.add_argument("--model", metavar="NAME", help=model)
    parser.add_argument("--data", metavar="NAME", help="a DataModule: VideoDataModule, my_module:MyData")
    add_flags(parser)
    if command == "fit":
        every = "epochs between runs of the benchmarks of --on (default: the config's)"
        parser.add_argument("--every", type=positive, metavar="N", help=every)
        before = "run the benchmarks of --on before the first step too"
        parser.add_argument("--before", action="store_true", help=before)
    return parser


def _flat(content: object, name: str) -> Iterator[tuple[str, Any]]:
    """Yield name and value of the options of a config, such as `model.class_path` and `trainer.callbacks+.dirpath`."""
    if isinstance(content, dict):
        for key, value in content.items():
            inner = name if key == "init_args" else f"{name}.{key}".removeprefix(".")
            yield from _flat(value, inner)
    elif isinstance(content, list):
        for entry in content:
            yield from _flat(entry, name)
    else:
        yield name, content


def _of_words(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield name and value of flags: `--NAME=VALUE` or `--NAME VALUE`."""
    for word, following in zip(words, [*words, ""][1:], strict=True):
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if not equals:
                value = following
            yield name.replace(".init_args", ""), value
