"""Benchmarks by config and data folder, `davis=/data/DAVIS`, and the flags for them. No torch."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError, explain, near
from .config_files import CONFIGS, find_config, read_yaml, yaml_value
from .protocol_choice import choose_protocols

if TYPE_CHECKING:  # it imports torch, which would delay the message of a mistake
    from ..benchmarks.base import Benchmark
    from ..benchmarks.network import NetworkSpec


def positive(text: str | int) -> int:
    """Return the positive integer of a flag.

    Raises:
        argparse.ArgumentTypeError: if the text is not an integer of at least 1.
    """
    if not str(text).isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)


FLAGS = {
    "on": ("NAME=FOLDER", "benchmarks and their data: davis=/data/DAVIS, my.yaml=FOLDER, my_module:MyBenchmark=FOLDER"),
    "protocol": ("NAME", "protocols of the benchmarks (default: the config's)"),
    "change": ("FIELD=VALUE", "fields of the protocols to change"),
    "stage": ("STAGE", "stages of the features (default: the choice of network and benchmark)"),
    "stride": ("PIXELS", "strides of the features (default: the choice of network and benchmark)"),
}
"""Flags of `fit`, `validate`, `evaluate`, `sweep` and `reproduce` → metavar and help."""
KEYS = ("class_path", "init_args", "every_n_epochs", "before_training")
"""Keys of a benchmark's config; the last two are arguments of `BenchmarkCallback`."""
ConfigArguments = dict[str, Any]


@dataclass(frozen=True)
class Configured:
    """A benchmark of a config, before it is built.

    Attributes:
        text: the user's words for it, which begin its error messages.
        class_path: import path of the class.
        arguments: arguments of the constructor.
        schedule: arguments of `BenchmarkCallback`, such as every_n_epochs.
    """

    text: str
    class_path: str
    arguments: ConfigArguments
    schedule: ConfigArguments

    @property
    def name(self) -> str:
        """NAME of the user's `--on NAME=FOLDER`."""
        return self.text.removeprefix("--on ").partition("=")[0]

    @cached_property
    def kind(self) -> type[Benchmark]:
        """The class.

        Raises:
            ValueError: if the class cannot be imported, is not a benchmark, or does not take the arguments.
        """
        from ..backbones.trust import import_named
        from ..benchmarks.base import Benchmark

        module, _, name = self.class_path.rpartition(".")
        form = f"{self.text}: {self.class_path}; a benchmark of your own is module:Class=FOLDER"
        kind: object = import_named(module, name, form)
        if not isinstance(kind, type) or not issubclass(kind, Benchmark):
            raise ValueError(f"{self.text}: {self.class_path} is not a Benchmark (docs/extend.md)")
        known = [field.name for field in fields(kind) if field.init]
        for argument in self.arguments:
            if argument not in known:
                meant = near(argument, known)
                raise ValueError(f"{self.text}: {kind.__name__} has no option {argument!r}{meant}")
        return kind

    def without_changes(self) -> Configured:
        """Return the benchmark without the changes of its protocol."""
        arguments = dict(self.arguments)
        arguments.pop("changes", None)
        return replace(self, arguments=arguments)

    def by_stage(self, stages: Sequence[str] = ()) -> list[Configured]:
        """Return a benchmark per stage, named `davis/res3`; of one stage, or none, the benchmark under its own name.

        Args:
            stages: the stages; empty: those of the config.
        """
        own = self.arguments.get("stage")
        wanted = stages or own
        if isinstance(wanted, str) or not wanted:
            return [self]
        name = self.arguments.get("name") or self.kind.default_name
        found: list[Configured] = []
        for stage in wanted:
            arguments = self.arguments | {"stage": stage}
            if len(wanted) > 1:
                arguments["name"] = f"{name}/{stage}"
            found.append(replace(self, arguments=arguments))
        return found

    def build(self, **changes: object) -> Benchmark:
        """Return the benchmark.

        Args:
            **changes: new values of arguments; None keeps the config's.

        Raises:
            ValueError: for a wrong argument, or a class that is not a benchmark.
        """
        from jsonargparse import ArgumentError, ArgumentParser

        from ..benchmarks.base import Benchmark

        _ = self.kind  # refuses a wrong class or argument
        arguments = dict(self.arguments)
        for name, value in changes.items():
            if value is not None:
                arguments[name] = value
        entry = {"class_path": self.class_path, "init_args": arguments}
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(Benchmark, "benchmark")
        try:
            benchmark: Benchmark = parser.instantiate(parser.parse_object({"benchmark": entry})).benchmark
        except ArgumentError as error:
            raise ValueError(f"{self.text}: {explain(str(error))}") from error
        return benchmark


def read_on(texts: Iterable[str]) -> list[Configured]:
    """Read benchmarks and their data folders, without importing torch.

    Args:
        texts: `NAME=FOLDER` or `NAME`. NAME is a config in the project's `configs/benchmarks/`, a file with the ending
            .yaml or .yml, or a class: `module:Class` or `module.Class`. FOLDER replaces the config's `root`; `{root}`
            in other paths of the config stands for it.

    Raises:
        UsageError: for an unknown name, or a config that cannot be read or names no benchmark.
        ValueError: for a missing folder.
    """
    found: list[Configured] = []
    for text in texts:
        flag = f"--on {text}"
        name, _, root = text.partition("=")
        content = _content_of(name, flag)
        arguments: ConfigArguments = content.get("init_args") or {}
        remedy = "" if root else f"; write {name}=FOLDER"
        root = root or str(arguments.get("root", ""))
        if root:
            if not Path(root).expanduser().exists():
                raise ValueError(f"{flag}: {root}: no such folder{remedy}")
            for key, value in arguments.items():
                if isinstance(value, str):
                    arguments[key] = value.replace("{root}", root)
            arguments["root"] = root
        schedule = {key: content[key] for key in KEYS[2:] if key in content}
        path = str(content["class_path"]).replace(":", ".")
        class_path = path if "." in path else f"vidcorr.{path}"
        found.append(Configured(flag, class_path, arguments, schedule))
    return found


def _content_of(name: str, flag: str) -> ConfigArguments:
    """Return the config of a benchmark's name; a class alone is a config without arguments."""
    known = {path.stem: path for path in sorted((CONFIGS / "benchmarks").glob("*.yaml"))}
    if name in known:
        content = read_yaml(known[name], flag)
    elif name.endswith((".yaml", ".yml")):
        content = read_yaml(find_config(name, flag), flag)
    elif ":" in name or "." in name:
        content = {"class_path": name}
    else:
        meant = near(name, known) or ";"
        own = "your own is module:Class=FOLDER or FILE.yaml=FOLDER"
        raise UsageError(f"{flag}: no benchmark {name}{meant} there are {', '.join(known)}; {own}")
    unknown = content.keys() - KEYS
    if "class_path" not in content or unknown:
        wrong = ", ".join(map(str, unknown)) or "no class_path"
        raise UsageError(f"{flag}: a config of a benchmark has {', '.join(KEYS)}; this has {wrong}")
    return content


def callback_entries(flags: argparse.Namespace) -> list[ConfigArguments]:
    """Return the entries of `trainer.callbacks` that the flags of a `fit` or `validate` stand for.

    Args:
        flags: values of the flags of `add_flags`, and of `--every` and `--before`.

    Returns:
        Class path and arguments of a `BenchmarkCallback` for each benchmark and protocol.

    Raises:
        UsageError: for flags that are not understood, or have no benchmark.
        ValueError: for a missing folder, or a protocol, change or argument that no benchmark takes.
    """
    if not flags.on:
        for name in (*FLAGS, "limit", "every", "before"):
            if getattr(flags, name):
                raise UsageError(f"--{name}: name a benchmark, as --on davis=/data/DAVIS")
        return []
    if len(flags.stride) > 1:
        raise UsageError("--stride: a single stride here; vidcorr evaluate takes several")
    configured: list[Configured] = []
    for each in read_on(flags.on):
        configured += each.by_stage(flags.stage)
    common: ConfigArguments = {}
    if flags.stride:
        common["stride"] = flags.stride[0]
    if flags.limit:
        common["limit_sequences"] = flags.limit
    schedule: ConfigArguments = {}
    if flags.every:
        schedule["every_n_epochs"] = flags.every
    if flags.before:
        schedule["before_training"] = True
    kinds = [each.kind for each in configured]
    choices = choose_protocols(kinds, flags.protocol, read_changes(flags.change))
    entries = []
    for each, choice in zip(configured, choices, strict=True):
        for arguments in choice.arguments(each):
            benchmark = {"class_path": each.class_path, "init_args": each.arguments | common | arguments}
            callback = {"benchmark": benchmark} | each.schedule | schedule
            entries.append({"class_path": "callbacks.BenchmarkCallback", "init_args": callback})
    return entries


def flags_of(benchmark: Benchmark) -> dict[str, Any]:
    """Return the flags (`on`, `protocol`, …) that stand for a benchmark; empty if no config gives an equal one."""
    if not (CONFIGS / "benchmarks" / f"{benchmark.name}.yaml").is_file():
        return {}
    root = getattr(benchmark, "root", "")
    flags: dict[str, Any] = {"on": f"{benchmark.name}={root}"}
    arguments: ConfigArguments = {"stage": benchmark.stage, "stride": benchmark.stride}
    arguments["limit_sequences"] = benchmark.limit_sequences
    if benchmark.protocol_kind is not None:
        arguments["protocol"] = flags["protocol"] = benchmark.protocol.name
    flags |= {"stage": benchmark.stage, "stride": benchmark.stride, "limit": benchmark.limit_sequences}
    (configured,) = read_on([flags["on"]])
    same = configured.without_changes().build(**arguments)
    return flags if _comparable(same) == _comparable(benchmark) else {}


def _comparable(benchmark: Benchmark) -> Benchmark:
    """Return a benchmark without what no score depends on, or its protocol says too."""
    return replace(benchmark, changes=None)


def read_changes(texts: Iterable[str]) -> ConfigArguments:
    """Read texts `FIELD=VALUE` with values in YAML.

    Raises:
        UsageError: for any other text.
    """
    changes: ConfigArguments = {}
    for text in texts:
        field, equals, value = text.partition("=")
        if not field or not equals:
            raise UsageError(f"--change {text}: write FIELD=VALUE")
        changes[field] = read_value(value, f"--change {text}")
    return changes


def read_value(text: str, option: str) -> Any:
    """Read a value in YAML as in a config, where 1e-3 is a number.

    Raises:
        UsageError: if the text is not YAML; the message begins with the option.
    """
    try:
        return yaml_value(text)
    except Exception as error:  # the type depends on the parser's loader
        raise UsageError(f"{option}: the value cannot be read as YAML") from error


def views_of(networks: Sequence[NetworkSpec], stages: Sequence[str], strides: Sequence[int]) -> list[NetworkSpec]:
    """Return the networks at every stage and stride; without stages or strides they keep their own."""
    views: list[NetworkSpec] = []
    for network in networks:
        stages_of_network: Sequence[str | None] = stages or [network.stage]
        strides_of_network: Sequence[int | None] = strides or [network.stride]
        for stage, stride in product(stages_of_network, strides_of_network):
            views.append(replace(network, stage=stage, stride=stride))
    return views


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `fit`, `validate` and the tools share to a parser, of argparse or jsonargparse."""
    for flag, (metavar, text) in FLAGS.items():
        kind = positive if flag == "stride" else str
        parser.add_argument(f"--{flag}", nargs="+", default=[], type=kind, metavar=metavar, help=text)
    limit = "evaluate only the first N sequences"
    parser.add_argument("--limit", type=positive, default=None, metavar="N", help=limit)
    code = "code outside vidcorr that checkpoints may name: package.module.Class or package.module:callable"
    parser.add_argument("--allow", action="append", default=[], metavar="NAME", help=code)


def common_flags(prog: str, description: str | None, output: str) -> argparse.ArgumentParser:
    """Return a parser with the common flags of the tools for frozen networks; `output` is the default folder."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    add_flags(parser)
    parser.add_argument("--pretrained", action="store_true", help="load pretrained weights of timm and torchvision")
    parser.add_argument("--output", type=Path, default=output, help="folder of results (default: %(default)s)")
    return parser
