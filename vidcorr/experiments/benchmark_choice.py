"""The choice of benchmarks by `--on`, `--protocol`, `--change`, `--stage`, `--stride` and `--limit`. No torch."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from ..errors import UsageError, one_line
from .config_files import CONFIGS, find_config, read_yaml, yaml_value

if TYPE_CHECKING:  # it imports torch, which would delay the message of a mistake
    from ..benchmarks.base import Benchmark
    from ..benchmarks.network import NetworkSpec

SCHEDULE = ("every_n_epochs", "before_training")
"""Keys of a benchmark's config that say when a fit runs it."""
KEYS = {"class_path", "init_args", *SCHEDULE}
"""All keys of a benchmark's config."""


def positive(text: str | int) -> int:
    """Return the positive integer of a flag.

    Raises:
        argparse.ArgumentTypeError: if the text is not an integer of at least 1.
    """
    if not str(text).isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)


def add_list_flag(parser: argparse._ActionsContainer, flag: str, metavar: str, text: str, kind: Any = str) -> None:
    """Add a flag with several values; values of a repeated flag add up: `--on a b` is `--on a --on b`.

    Args:
        parser: a parser of argparse or jsonargparse, or a group of its flags.
        flag: the flag, `--on`.
        metavar: name of a value in the help.
        text: help.
        kind: type of a value.
    """
    parser.add_argument(flag, nargs="+", action="extend", default=[], type=kind, metavar=metavar, help=text)


def add_benchmark_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the benchmarks to a parser of argparse or jsonargparse."""
    on = "benchmarks and their data: davis=/data/DAVIS, my.yaml=FOLDER, my_module.MyBenchmark=FOLDER"
    add_list_flag(parser, "--on", "NAME=FOLDER", on)
    add_list_flag(parser, "--protocol", "NAME", "protocols of the benchmarks (default: the config's)")
    change = "fields of the protocols to change; several values make a grid: radius=3,6"
    add_list_flag(parser, "--change", "FIELD=VALUE", change)
    default = "(default: the choice of network and benchmark)"
    add_list_flag(parser, "--stage", "STAGE", f"stages of the features {default}")
    add_list_flag(parser, "--stride", "PIXELS", f"strides of the features {default}", positive)
    parser.add_argument("--limit", type=positive, metavar="N", help="evaluate only the first N sequences")
    code = "code outside vidcorr that checkpoints may name: package.module.Class or package.module:callable"
    add_list_flag(parser, "--allow", "NAME", code)


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `fit` and `validate` that Lightning does not have to a parser of argparse or jsonargparse."""
    add_benchmark_flags(parser)
    every = "epochs of a fit between runs of the benchmarks of --on (default: the config's)"
    parser.add_argument("--every", type=positive, metavar="N", help=every)
    before = "run the benchmarks of --on before the first step of a fit too"
    parser.add_argument("--before", action="store_true", help=before)


@dataclass(frozen=True)
class BenchmarkChoice:
    """A chosen benchmark, before it is built.

    Attributes:
        text: the user's words for it, which begin its error messages.
        class_path: import path of the class.
        arguments: arguments of the constructor.
        schedule: when a fit runs it: `every_n_epochs`, `before_training`.
        stage: stage of the features by `--stage`, or of several in the config; wins over the network's stage.
        stride: stride of the features by `--stride`; wins over the network's stride.
    """

    text: str
    class_path: str
    arguments: Mapping[str, Any]
    schedule: Mapping[str, Any]
    stage: str | None = None
    stride: int | None = None

    @property
    def config(self) -> str:
        """NAME of the user's `--on NAME=FOLDER`."""
        return self.text.removeprefix("--on ").partition("=")[0]

    @property
    def name(self) -> str:
        """Name of the benchmark: of its folder and its scores."""
        return str(self.arguments.get("name") or self.kind.name)

    @cached_property
    def kind(self) -> type[Benchmark]:
        """The class.

        Raises:
            ValueError: if the class is not a benchmark.
        """
        from ..benchmarks.base import Benchmark

        try:
            kind = resolve_name(self.class_path)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f"{self.text}: {self.class_path} cannot be imported: {error}") from error
        if not isinstance(kind, type) or not issubclass(kind, Benchmark):
            raise ValueError(f"{self.text}: {self.class_path} is not a Benchmark (docs/extend.md)")
        return kind

    def with_arguments(self, **new: Any) -> BenchmarkChoice:
        """Return the choice with further arguments of the constructor.

        A protocol replaces the config's protocol with its changes; `changes` of fields add to the config's. None keeps
        what the config says.
        """
        given = {name: value for name, value in new.items() if value is not None}
        arguments = dict(self.arguments)
        if "protocol" in given:
            arguments.pop("changes", None)
        if "changes" in given:
            given["changes"] = (arguments.get("changes") or {}) | given["changes"]
        return replace(self, arguments=arguments | given)

    def build(self) -> Benchmark:
        """Return the benchmark.

        Raises:
            ValueError: for a wrong argument, or a class that is not a benchmark.
        """
        from jsonargparse import ArgumentError, ArgumentParser

        from ..benchmarks.base import Benchmark

        entry = {"class_path": self.class_path, "init_args": dict(self.arguments)}
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(Benchmark, "benchmark")
        try:
            benchmark: Benchmark = parser.instantiate(parser.parse_object({"benchmark": entry})).benchmark
        except (ArgumentError, ValueError) as error:
            raise ValueError(f"{self.text}: {one_line(error)}") from error
        return benchmark

    def view(self, network: NetworkSpec) -> NetworkSpec:
        """Return a network at the stage and stride of the choice, where it has some."""
        return replace(network, stage=self.stage or network.stage, stride=self.stride or network.stride)


def chosen_benchmarks(flags: Any) -> list[BenchmarkChoice]:
    """Return the benchmarks of the flags: a benchmark per combination of protocol, changes, stage and stride.

    A benchmark takes the protocols with values for it and the changes of fields that its protocol has. Where several
    values are combined, they follow the benchmark's name: `davis/res3`, `davis/vfs/radius=6`.

    Args:
        flags: values of the flags of `add_benchmark_flags`.

    Raises:
        UsageError: for a flag without `--on`, an unknown name, or a config that cannot be read.
        ValueError: for a protocol or field that no benchmark takes.
    """
    if not flags.on:
        for name in ("protocol", "change", "stage", "stride", "limit"):
            if getattr(flags, name):
                raise UsageError(f"--{name}: name a benchmark, as --on davis=/data/DAVIS")
        return []
    named = read_on(flags.on)
    changes = read_changes(flags.change)
    _refuse_unused(named, flags.protocol, changes)
    found: list[BenchmarkChoice] = []
    for choice in named:
        found += _expanded(choice.with_arguments(limit_sequences=flags.limit), flags, changes)
    return found


def read_on(texts: Iterable[str]) -> list[BenchmarkChoice]:
    """Read benchmarks and their data folders, which a `fit` may yet generate; imports no torch.

    Args:
        texts: `NAME=FOLDER` or `NAME`. NAME is a config in the project's `configs/benchmarks/`, a file with the ending
            .yaml or .yml, or a class, `module.Class`. FOLDER replaces the config's `root`; `{root}` in other paths of
            the config stands for it.

    Raises:
        UsageError: for an unknown name, or a config that cannot be read or names no benchmark.
    """
    found: list[BenchmarkChoice] = []
    for text in texts:
        flag = f"--on {text}"
        name, _, root = text.partition("=")
        content = _content_of(name, flag)
        arguments: dict[str, Any] = content.get("init_args") or {}
        root = root or str(arguments.get("root", ""))
        if root:
            for key, value in arguments.items():
                if isinstance(value, str):
                    arguments[key] = value.replace("{root}", root)
            arguments["root"] = root
        schedule = {key: content[key] for key in SCHEDULE if key in content}
        path = str(content["class_path"])
        class_path = path if "." in path else f"vidcorr.{path}"
        found.append(BenchmarkChoice(flag, class_path, arguments, schedule))
    return found


def _content_of(name: str, flag: str) -> dict[str, Any]:
    """Return the config of a benchmark's name; a class alone is a config without arguments."""
    known = {path.stem: path for path in sorted((CONFIGS / "benchmarks").glob("*.yaml"))}
    if name in known:
        content = read_yaml(known[name], flag)
    elif name.endswith((".yaml", ".yml")):
        content = read_yaml(find_config(name, flag), flag)
    elif "." in name:
        content = {"class_path": name}
    else:
        raise UsageError(f"{flag}: there is no benchmark {name}; there are {', '.join(known)}")
    if "class_path" not in content or not content.keys() <= KEYS:
        raise UsageError(
            f"{flag}: a config of a benchmark has {', '.join(sorted(KEYS))}; this has {', '.join(content)}"
        )
    return content


def _expanded(choice: BenchmarkChoice, flags: Any, changes: Mapping[str, list[Any]]) -> list[BenchmarkChoice]:
    """Return a benchmark per combination of the values that it takes."""
    protocols: list[Any] = _protocols_of(choice.kind, flags.protocol)
    if flags.protocol and not protocols and choice.kind.protocol_class is not None:
        print(f"{choice.name} keeps its protocol: {', '.join(flags.protocol)} has no values for it")
    stages = flags.stage or _as_list(choice.arguments.get("stage"))
    strides = flags.stride or _as_list(choice.arguments.get("stride"))
    fields = _fields_of(choice.kind)
    taken = {field: values for field, values in changes.items() if field in fields}
    found = []
    for protocol, stage, stride, *values in product(protocols or [None], stages, strides, *taken.values()):
        of_fields = dict(zip(taken, values, strict=True))
        varied = [(protocols, protocol)]
        varied += [(taken[field], f"{field}={value}") for field, value in of_fields.items()]
        varied += [(stages, stage), (strides, f"stride{stride}")]
        parts = [part for choices, part in varied if len(choices) > 1]
        name = "/".join([choice.name, *parts]) if parts else None
        built = choice.with_arguments(
            protocol=protocol, changes=of_fields or None, stage=stage, stride=stride, name=name
        )
        view_stage = stage if flags.stage or len(stages) > 1 else None
        view_stride = stride if flags.stride else None
        found.append(replace(built, stage=view_stage, stride=view_stride))
    return found


def _as_list(value: Any) -> list[Any]:
    """Return a list as it is, and any other value in a list."""
    return value if isinstance(value, list) else [value]


def _fields_of(kind: type[Benchmark]) -> list[str]:
    """Return the fields of a benchmark's protocol; none without a protocol."""
    if kind.protocol_class is None:
        return []
    return [field.name for field in kind.protocol_class.value_fields()]


def _protocols_of(kind: type[Benchmark], names: Sequence[str]) -> list[str]:
    """Return the named protocols with values for a benchmark, without duplicates."""
    protocols = kind.protocol_class
    if protocols is None:
        return []
    from ..benchmarks.base import values_for

    data = values_for(kind)
    known = [name for name, source in protocols.sources().items() if data in source.values]
    return [name for name in dict.fromkeys(names) if name.partition("+")[0] in known]


def _refuse_unused(named: Sequence[BenchmarkChoice], protocols: Sequence[str], changes: Iterable[str]) -> None:
    """Raise for a named protocol or a changed field that no benchmark takes."""
    taken: set[str] = set()
    fields: set[str] = set()
    for choice in named:
        taken.update(_protocols_of(choice.kind, protocols))
        fields.update(_fields_of(choice.kind))
    for name in protocols:
        if name not in taken:
            raise ValueError(f"--protocol {name}: no benchmark here takes it; vidcorr protocols lists them")
    for field in changes:
        if field not in fields:
            raise ValueError(f"--change {field}: the protocols of these benchmarks have {', '.join(sorted(fields))}")


def read_changes(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Read texts `FIELD=VALUE,VALUE,…` with values in YAML: field → values.

    Raises:
        UsageError: for any other text, or a field that is named twice.
    """
    changes: dict[str, list[Any]] = {}
    for text in texts:
        field, _, value = text.partition("=")
        if not field or not value or field in changes:
            raise UsageError(f"--change {text}: write each field once, as FIELD=VALUE or FIELD=VALUE,VALUE")
        changes[field] = yaml_value(f"[{value}]", f"--change {text}: the value")
    return changes
