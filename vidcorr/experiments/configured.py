"""Benchmarks named by config and data folder: `davis=/data/DAVIS`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config_files import CONFIGS, positive, read_yaml
from ..errors import UsageError, near, reason_of_parser

if TYPE_CHECKING:  # with torch, which a mistake need not wait for
    from ..benchmarks.base import Benchmark
    from ..functional.evaluation_protocol import EvaluationProtocol

ConfigArguments = dict[str, Any]
OF_CALLBACK = ("every_n_epochs", "before_training", "output_dir", "fatal")
"""Arguments of a config's entry that say when `fit` runs the benchmark."""


@dataclass(frozen=True)
class Configured:
    """A benchmark of a config, before it is built.

    Attributes:
        text: the user's words for it, which begin its error messages.
        class_path: path of the class.
        arguments: arguments of the constructor; values of flags are text.
    """

    text: str
    class_path: str
    arguments: ConfigArguments

    @property
    def name(self) -> str:
        """NAME of the user's `--on NAME=FOLDER`."""
        return self.text.removeprefix("--on ").partition("=")[0]

    def build(self, **changes: Any) -> Benchmark:
        """Return the benchmark.

        Args:
            **changes: new values of arguments; None keeps the config's.

        Raises:
            ValueError: for a wrong argument, or a class that is not a benchmark.
        """
        from jsonargparse import ArgumentError, ArgumentParser

        from callbacks.command_line.arguments import as_class, class_named, mistakes_in

        from ..benchmarks.base import Benchmark

        kind = class_named(self.class_path)
        if kind is None or not issubclass(kind, Benchmark):
            raise ValueError(f"{self.text}: {self.class_path} is not a benchmark")
        changes = {key: value for key, value in changes.items() if value is not None}
        arguments = {key: value for key, value in self.arguments.items() if key not in OF_CALLBACK} | changes
        entry = as_class({"class_path": self.class_path, "init_args": arguments})
        for mistake in mistakes_in({"trainer": {"callbacks": [entry]}}, ()):
            raise ValueError(f"{self.text}: {mistake}")
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(Benchmark, "benchmark")
        try:
            benchmark: Benchmark = parser.instantiate(parser.parse_object({"benchmark": entry})).benchmark
        except ArgumentError as error:
            raise ValueError(f"{self.text}: {kind.__name__}: {reason_of_parser(str(error))}") from error
        return benchmark


def read_on(texts: Iterable[str]) -> list[Configured]:
    """Read benchmarks and their data folders, without importing torch.

    Args:
        texts: `NAME=FOLDER` or `NAME`. NAME is a config in the project's `configs/benchmarks/`, or a file with the
            ending .yaml or .yml. FOLDER replaces the config's folder; other data paths of the config keep their
            position relative to it.

    Raises:
        UsageError: for an unknown name, or a config that cannot be read.
        ValueError: for a config without a benchmark, or a missing folder.
    """
    known = {path.stem: str(path) for path in sorted((CONFIGS / "benchmarks").glob("*.yaml"))}
    configured = []
    for text in texts:
        name, _, root = text.partition("=")
        if name not in known and not name.endswith((".yaml", ".yml")):
            meant = near(name, known) or ";"
            raise UsageError(f"--on {text}: no benchmark {name}{meant} there are {', '.join(known)}")
        path, content = read_yaml(known.get(name, name), f"--on {text}")
        trainer = content.get("trainer")
        callbacks = trainer if isinstance(trainer, dict) else {}
        entries = [entry for key in ("callbacks", "callbacks+") for entry in callbacks.get(key) or []]
        benchmarks = [entry for entry in entries if _may_be_benchmark(entry)]
        if not benchmarks:
            raise ValueError(f"--on {text}: {path} names no benchmark under trainer.callbacks+")
        for entry in benchmarks:
            arguments = _without_view(entry.get("init_args") or {}, path)
            arguments = _moved(arguments, root) if root else arguments
            if "root" in arguments and not Path(str(arguments["root"])).expanduser().exists():
                remedy = "" if root else f"; write {name}=FOLDER"
                raise ValueError(f"--on {text}: {arguments['root']}: no such folder{remedy}")
            configured.append(Configured(f"--on {text}", entry["class_path"], arguments))
    return configured


def _may_be_benchmark(entry: Any) -> bool:
    """Return whether a callback may be a benchmark: a class of ours named `…Benchmark`, or a class of the user."""
    package, _, name = str(entry.get("class_path", "") if isinstance(entry, dict) else "").rpartition(".")
    return name.endswith("Benchmark") or package.partition(".")[0] not in ("", "callbacks", "pytorch_lightning")


def _without_view(arguments: ConfigArguments, path: Path) -> ConfigArguments:
    """Return arguments without stage and stride, and print the dropped values."""
    view = {key: arguments[key] for key in ("stage", "stride") if arguments.get(key) is not None}
    if view:
        options = " and ".join(f"{key} {value}" for key, value in view.items())
        print(f"{options} of {path} left out; write NETWORK@STAGE or NETWORK@STAGE/STRIDE")
    return {key: value for key, value in arguments.items() if key not in ("stage", "stride")}


def _moved(arguments: ConfigArguments, root: str) -> ConfigArguments:
    """Return arguments with another root; other paths in the config's data folder move with it."""
    old = str(arguments.get("root", ""))
    data = Path(old).parts[:2]
    moved = {
        key: os.path.normpath(os.path.join(root, os.path.relpath(value, old)))
        for key, value in arguments.items()
        if isinstance(value, str) and data and Path(value).parts[: len(data)] == data
    }
    return arguments | moved | {"root": root}


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
        UsageError: if it cannot be read; the message begins with the option.
    """
    from jsonargparse import get_loader

    try:
        return get_loader("yaml")(text)
    except Exception as error:  # the type depends on the parser's loader
        raise UsageError(f"{option}: the value cannot be read as YAML") from error


def protocols_of(
    benchmarks: Sequence[Benchmark], names: Sequence[str] = (), changes: Mapping[str, Any] | None = None
) -> list[list[EvaluationProtocol]]:
    """Return the protocols of every benchmark.

    Args:
        benchmarks: benchmarks with a default protocol.
        names: named protocols. A benchmark takes the protocols with values for it; if no name fits, it keeps its
            default and prints a line.
        changes: new values of fields; a benchmark takes the fields that its protocol has.

    Raises:
        ValueError: for a name or a field that fits no benchmark, or a wrong field in a name.
    """
    protocols: list[list[EvaluationProtocol]] = []
    used: set[str] = set()
    kept = []
    for benchmark in benchmarks:
        default = benchmark.protocol
        kind, data = type(default), (benchmark.default_name, *benchmark.protocols_like)
        fit = [name for name in names if _values_of(kind, name).keys() & {*data}]
        chosen = [kind.named(name, data[0], data[1:]) for name in fit] or [default]
        fields = {field: value for field, value in (changes or {}).items() if not kind.misnamed(field)}
        used |= {*fit, *fields}
        protocols.append(list(dict.fromkeys(protocol.with_changes(**fields) for protocol in chosen)))
        if names and not fit:
            kept.append(f"{benchmark.name} keeps its protocol, {default.name}: {', '.join(names)} has no values for it")
    kinds = dict.fromkeys(type(protocol) for of_benchmark in protocols for protocol in of_benchmark)
    for name in names:
        if name not in used:
            known, base = dict.fromkeys(source for kind in kinds for source in kind.sources()), name.partition("+")[0]
            meant = ";" if base in known else near(base, known) or ";"
            raise ValueError(f"--protocol {name}: no benchmark here takes it{meant} known are {', '.join(known)}")
    for field in changes or {}:
        if field not in used:
            raise ValueError(f"--change {field}: {next(iter(kinds)).misnamed(field)}")
    for line in kept:
        print(line, flush=True)
    return protocols


def _values_of(kind: type[EvaluationProtocol], name: str) -> Mapping[str, Any]:
    """Return benchmark → values of a named protocol's source; empty if this kind of protocol lacks the source."""
    source = kind.sources().get(name.partition("+")[0])
    return source.values if source else {}


def common_flags(prog: str, description: str | None, output: str) -> argparse.ArgumentParser:
    """Return a parser with the common flags of the tools for frozen networks; `output` is the default folder."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    benchmark = "config of benchmarks/ or YAML file, with the folder of its data: davis=/data/DAVIS"
    parser.add_argument("--on", nargs="+", default=[], metavar="NAME=FOLDER", help=benchmark)
    parser.add_argument("--pretrained", action="store_true", help="load pretrained weights of timm and torchvision")
    parser.add_argument("--limit", type=positive, metavar="N", help="evaluate only the first N sequences")
    parser.add_argument("--allow", action="append", metavar="NAME", help="your class that checkpoints may name")
    parser.add_argument("--output", type=Path, default=output, help="folder of results (default: %(default)s)")
    return parser
