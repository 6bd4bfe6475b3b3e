"""Benchmarks by the names of their configs, with the folder of their data: `davis=/data/DAVIS`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..command_line.configs import CONFIGS, find_config, positive, read_yaml
from ..command_line.endings import UsageError, near

if TYPE_CHECKING:  # with torch, which a mistake need not wait for
    from lightning_modules.functional.evaluation_protocol import EvaluationProtocol

    from ..benchmarks.base import Benchmark

ConfigArguments = dict[str, Any]


@dataclass(frozen=True)
class Configured:
    """A benchmark of a config, not built yet.

    Attributes:
        text: what the user wrote.
        class_path: its class.
        arguments: of its constructor, without stage and stride, which are the network's.
    """

    text: str
    class_path: str
    arguments: ConfigArguments

    def build(self, **changes: Any) -> Benchmark:
        """Return the benchmark.

        Args:
            **changes: replace arguments, None none.

        Raises:
            ValueError: for a wrong argument or a class that is no benchmark; one line.
        """
        from ..benchmarks.base import Benchmark
        from ..command_line.arguments import class_named

        kind = class_named(self.class_path)
        if kind is None or not issubclass(kind, Benchmark):
            raise ValueError(f"--on {self.text}: {self.class_path} is no benchmark")
        changes = {key: value for key, value in changes.items() if value is not None}
        try:
            return kind(**self.arguments | changes)
        except TypeError as error:
            raise ValueError(f"--on {self.text}: {kind.__name__}: {error}") from error


def read_on(texts: Iterable[str]) -> list[Configured]:
    """Read which benchmarks run on which folders, without torch.

    Args:
        texts: `NAME=FOLDER`; NAME is a config of `configs/benchmarks/` or a file, and the config's own folder is taken
            where none is given. Other files of the data that the config names are looked for beside the new folder.

    Raises:
        UsageError: for an unknown name, or a config that cannot be read; one line.
        ValueError: for a config without a benchmark, or a folder that does not exist; one line.
    """
    found = []
    for text in texts:
        name, _, root = text.partition("=")
        known = {path.stem: str(path) for path in sorted((CONFIGS / "benchmarks").glob("*.yaml"))}
        if name not in known and not name.endswith((".yaml", ".yml")):
            meant = near(name, known) or ";"
            raise UsageError(f"--on {text}: no benchmark {name}{meant} there are {', '.join(known)}")
        path, content = read_yaml(str(find_config(known.get(name, name))))
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
            found.append(Configured(text, entry["class_path"], arguments))
    return found


def _may_be_benchmark(entry: Any) -> bool:
    """Return whether a callback may be a benchmark: a class of ours that is called so, or a class of the user's."""
    package, _, name = str(entry.get("class_path", "") if isinstance(entry, dict) else "").rpartition(".")
    return name.endswith("Benchmark") or package.partition(".")[0] not in ("", "callbacks", "pytorch_lightning")


def _without_view(arguments: ConfigArguments, path: Path) -> ConfigArguments:
    """Return arguments without stage and stride, with a message where they are set."""
    view = {key: arguments[key] for key in ("stage", "stride") if arguments.get(key) is not None}
    if view:
        options = " and ".join(f"{key} {value}" for key, value in view.items())
        print(f"{options} of {path} left out; write NETWORK@STAGE or NETWORK@STAGE/STRIDE")
    return {key: value for key, value in arguments.items() if key not in ("stage", "stride")}


def _moved(arguments: ConfigArguments, root: str) -> ConfigArguments:
    """Return arguments with another root; other paths below the config's data keep their place beside it."""
    old = str(arguments.get("root", ""))
    data = Path(old).parts[:2]
    moved = {
        key: os.path.normpath(os.path.join(root, os.path.relpath(value, old)))
        for key, value in arguments.items()
        if isinstance(value, str) and data and Path(value).parts[: len(data)] == data
    }
    return arguments | moved | {"root": root}


def read_changes(texts: Iterable[str]) -> ConfigArguments:
    """Read `FIELD=VALUE`, values as in YAML.

    Raises:
        UsageError: for a text of another form.
    """
    import yaml  # type: ignore[import-untyped]

    changes: ConfigArguments = {}
    for text in texts:
        field, equals, value = text.partition("=")
        try:
            changes[field] = yaml.safe_load(value)
        except yaml.YAMLError:
            equals = ""
        if not equals or not field:
            raise UsageError(f"--change {text}: write FIELD=VALUE, the value as in YAML")
    return changes


def protocols_of(
    benchmarks: Sequence[Benchmark], names: Sequence[str] = (), changes: Mapping[str, Any] | None = None
) -> list[list[EvaluationProtocol]]:
    """Return the protocols by which each benchmark scores.

    Args:
        benchmarks: with protocols of their own.
        names: named protocols. Each goes to the benchmarks for which its source defines values; a benchmark that takes
            none of them keeps its own protocol, which a printed line states.
        changes: fields to change; each goes to the benchmarks whose protocol has the field.

    Raises:
        ValueError: for a name or a field that no benchmark takes; one line.
    """
    found: list[list[EvaluationProtocol]] = []
    used: set[str] = set()
    for benchmark in benchmarks:
        own: Any = benchmark.protocol  # type: ignore[attr-defined]
        kind, values_of = type(own), {type(benchmark).name, *benchmark.protocols_like}
        sources = {name: kind.sources().get(name.partition("+")[0]) for name in names}
        fit = [name for name, source in sources.items() if source is not None and values_of & source.values.keys()]
        fields = {field: value for field, value in (changes or {}).items() if not kind.misnamed(field)}
        used |= {*fit, *fields}
        chosen = [kind.named(name, type(benchmark).name, benchmark.protocols_like) for name in fit] or [own]
        found.append(list(dict.fromkeys(protocol.with_changes(**fields) for protocol in chosen)))
        if names and not fit:
            print(
                f"{benchmark.name} keeps its protocol, {own.name}: {', '.join(names)} has no values for it", flush=True
            )
    kinds = {type(protocol) for of_benchmark in found for protocol in of_benchmark}
    for name in names:
        if name not in used:
            known = dict.fromkeys(source for kind in kinds for source in kind.sources())
            meant = near(name.partition("+")[0], known) or ";"
            raise ValueError(f"--protocol {name}: no benchmark here takes it{meant} known are {', '.join(known)}")
    for field in changes or {}:
        if field not in used:
            raise ValueError(f"--change {field}: {next(iter(kinds)).misnamed(field)}")
    return found


def common_flags(prog: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the flags that the tools for frozen networks share."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    benchmark = "benchmark and folder of its data, such as davis=/data/DAVIS; a config of benchmarks/, or a file"
    parser.add_argument("--on", nargs="+", default=[], metavar="NAME=FOLDER", help=benchmark)
    parser.add_argument("--pretrained", action="store_true", help="load the pretrained weights of timm and torchvision")
    parser.add_argument("--limit", type=positive, metavar="N", help="evaluate only the first N sequences")
    parser.add_argument("--allow", action="append", metavar="NAME", help="class of yours that a checkpoint may name")
    return parser
