"""Configs by name; benchmarks by config and data folder, `davis=/data/DAVIS`, and the flags for them. No torch."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError, explain, near

if TYPE_CHECKING:  # with torch, which a mistake need not wait for
    from ..benchmarks.base import Benchmark
    from ..benchmarks.network import NetworkSpec
    from ..functional.evaluation_protocol import EvaluationProtocol

PACKAGE = Path(__file__).resolve().parents[1]
CONFIGS = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"
"""The project's configs: inside the package in a wheel, beside `cli.py` in a checkout."""


def find_config(name: str, flag: str = "--config") -> Path:
    """Find a config: a file in the working directory, else a config of the project.

    Args:
        name: a path, or a name as `data/kinetics.yaml` (`configs/data/kinetics.yaml` means the same).
        flag: flag that names the config, for messages.

    Raises:
        UsageError: if neither exists; the message suggests a config with a similar name.
    """
    if Path(name).exists():
        return Path(name)
    path = CONFIGS / Path(name).as_posix().removeprefix("./").removeprefix("configs/")
    if path.is_relative_to(CONFIGS) and path.is_file():
        return path
    known = [path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml")]
    raise UsageError(f"{flag}: there is no file {name}{near(name, known)}")


def read_yaml(name: str, flag: str = "--config") -> tuple[Path, dict[str, Any]]:
    """Return the path and the content of a config, see `find_config`.

    Raises:
        UsageError: if the file is missing, or is not YAML with names of options.
    """
    from jsonargparse import get_loader

    path = find_config(name, flag)
    try:
        content = get_loader("yaml")(path.read_text("utf-8")) or {}  # the parser's own, for which 1e-3 is a number
    except Exception as error:  # the type depends on the parser's loader
        raise UsageError(f"{flag}: {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{flag}: {path} holds no options, such as trainer: {{max_steps: 9}}")
    return path, content


def positive(text: str | int) -> int:
    """Return the positive integer of a flag.

    Raises:
        argparse.ArgumentTypeError: if the text is not an integer of at least 1.
    """
    if not str(text).isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)


FLAGS = {
    "on": ("NAME=FOLDER", "benchmarks: a name in configs/benchmarks or a YAML file, and the folder: davis=/data/DAVIS"),
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
        class_path: path of the class, or the name of a class of `vidcorr`.
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

    def build(self, **changes: object) -> Benchmark:
        """Return the benchmark.

        Args:
            **changes: new values of arguments; None keeps the config's.

        Raises:
            ValueError: for a wrong argument, or a class that is not a benchmark.
        """
        from jsonargparse import ArgumentError, ArgumentParser

        from ..benchmarks.base import Benchmark

        path = self.class_path if "." in self.class_path else f"vidcorr.{self.class_path}"
        arguments = self.arguments | {key: value for key, value in changes.items() if value is not None}
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(Benchmark, "benchmark")
        try:
            entry = parser.parse_object({"benchmark": {"class_path": path, "init_args": arguments}})
            benchmark: Benchmark = parser.instantiate(entry).benchmark
        except ArgumentError as error:
            raise ValueError(f"{self.text}: {explain(str(error))}") from error
        return benchmark


def read_on(texts: Iterable[str]) -> list[Configured]:
    """Read benchmarks and their data folders, without importing torch.

    Args:
        texts: `NAME=FOLDER` or `NAME`. NAME is a config in the project's `configs/benchmarks/`, a file with the ending
            .yaml or .yml, or a class with its module. FOLDER replaces the config's `root`; `{root}` in other paths of
            the config stands for it.

    Raises:
        UsageError: for an unknown name, or a config that cannot be read or names no benchmark.
        ValueError: for a missing folder.
    """
    known = {path.stem: str(path) for path in sorted((CONFIGS / "benchmarks").glob("*.yaml"))}
    configured = []
    for text in texts:
        flag, (name, _, root) = f"--on {text}", text.partition("=")
        content: ConfigArguments = {"class_path": name}
        if name in known or name.endswith((".yaml", ".yml")):
            _, content = read_yaml(known.get(name, name), flag)
        elif "." not in name:
            meant = near(name, known) or ";"
            raise UsageError(f"{flag}: no benchmark {name}{meant} there are {', '.join(known)}")
        if "class_path" not in content or content.keys() - KEYS:
            wrong = ", ".join(map(str, content.keys() - KEYS)) or "no class_path"
            raise UsageError(f"{flag}: a config of a benchmark has {', '.join(KEYS)}; this has {wrong}")
        arguments: ConfigArguments = content.get("init_args") or {}
        remedy = "" if root else f"; write {name}=FOLDER"
        root = root or str(arguments.get("root", ""))
        if root and not Path(root).expanduser().exists():
            raise ValueError(f"{flag}: {root}: no such folder{remedy}")
        beside = {key: value.replace("{root}", root) for key, value in arguments.items() if isinstance(value, str)}
        arguments |= beside | ({"root": root} if root else {})
        schedule = {key: content[key] for key in KEYS[2:] if key in content}
        configured.append(Configured(flag, content["class_path"], arguments, schedule))
    return configured


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
) -> list[list[Any]]:
    """Return the protocols of every benchmark; None alone for a benchmark without a protocol.

    Args:
        benchmarks: the benchmarks.
        names: named protocols. A benchmark takes the protocols with values for it; if no name fits, it keeps its
            default and prints a line.
        changes: new values of fields; a benchmark takes the fields that its protocol has.

    Raises:
        ValueError: for a name or a field that fits no benchmark, or a wrong field in a name.
    """
    protocols: list[list[Any]] = []
    kinds: dict[type[EvaluationProtocol], None] = {}  # in order
    used: set[str] = set()
    for benchmark in benchmarks:
        default = benchmark.protocol
        if default is None:
            protocols.append([None])
            continue
        kind, data = type(default), (benchmark.default_name, *benchmark.protocols_like)
        kinds[kind] = None
        having = {source for source, values in kind.sources().items() if values.values.keys() & {*data}}
        fit = [name for name in names if name.partition("+")[0] in having]
        chosen = [kind.named(name, data[0], data[1:]) for name in fit] or [default]
        fields = {field: value for field, value in (changes or {}).items() if not kind.misnamed(field)}
        protocols.append(list(dict.fromkeys(protocol.with_changes(**fields) for protocol in chosen)))
        used |= {*fit, *fields}
        if names and not fit:
            print(f"{benchmark.name} keeps its protocol, {default.name}: {', '.join(names)} has no values for it")
    known = dict.fromkeys(source for kind in kinds for source in kind.sources())
    for name in names:
        if name not in used:
            raise ValueError(f"--protocol {name}: no benchmark here takes it; known are {', '.join(known) or 'none'}")
    for field in changes or {}:
        if field not in used:
            why = [kind.misnamed(field) for kind in kinds] or ["no benchmark here has a protocol"]
            raise ValueError(f"--change {field}: {why[0]}")
    return protocols


def views_of(networks: Sequence[NetworkSpec], stages: Sequence[str], strides: Sequence[int]) -> list[NetworkSpec]:
    """Return the networks at every stage and stride; without stages or strides they keep their own."""
    views: dict[str, Sequence[Any]] = {"stage": stages, "stride": strides}
    given = {name: values for name, values in views.items() if values}
    choices = [dict(zip(given, choice, strict=True)) for choice in product(*given.values())]
    return [replace(network, **choice) for network in networks for choice in choices]


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
