"""The choice of benchmarks by `--on`, `--protocol`, `--change`, `--stage`, `--stride` and `--limit`. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageError, message_of
from ...near_names import did_you_mean
from .config_files import CONFIGS, as_list, find_config, read_yaml, yaml_value

if TYPE_CHECKING:  # it imports torch, which would delay the message of a mistake
    from ...benchmarks.base import Benchmark

KEYS = {"class_path", "init_args", "every_n_epochs", "before_training"}
"""All keys of a benchmark's config."""
NEED_ON = ("protocol", "change", "stage", "stride", "limit", "every", "before")
"""Flags that need `--on`."""


@dataclass(frozen=True)
class BenchmarkChoice:
    """A chosen benchmark, before it is built.

    Attributes:
        config: NAME of the user's `--on NAME=FOLDER`.
        class_path: import path of the class.
        arguments: arguments of the constructor.
        schedule: when a fit runs it: `every_n_epochs`, `before_training`.
        variant: added to the benchmark's name, `vfs/radius=6`, to tell the values of a grid; "" without a grid.
    """

    config: str
    class_path: str
    arguments: Mapping[str, Any]
    schedule: Mapping[str, Any]
    variant: str = ""

    def with_arguments(self, **new: Any) -> BenchmarkChoice:
        """Return the choice with other arguments of the constructor.

        Args:
            **new: name → value; None keeps the config's. A new `protocol` also drops the config's `changes`; new
                `changes` are added to the config's; a new `root` replaces `{root}` in the other arguments too.

        Example:
            >>> choice = BenchmarkChoice("davis", "own.Davis", {"protocol": "vfs", "changes": {"topk": 1}}, {})
            >>> choice.with_arguments(changes={"radius": 2}, stage=None).arguments
            {'protocol': 'vfs', 'changes': {'topk': 1, 'radius': 2}}
            >>> choice.with_arguments(protocol="crw").arguments
            {'protocol': 'crw'}
            >>> BenchmarkChoice("my", "own.Mine", {"list": "{root}/val.txt"}, {}).with_arguments(root="/data").arguments
            {'list': '/data/val.txt', 'root': '/data'}
        """
        stated = {name: value for name, value in new.items() if value is not None}
        arguments = dict(self.arguments)
        if "root" in stated:
            for name, value in self.arguments.items():
                if isinstance(value, str):
                    arguments[name] = value.replace("{root}", stated["root"])
        if "protocol" in stated:
            arguments.pop("changes", None)
        if "changes" in stated:
            stated["changes"] = (arguments.get("changes") or {}) | stated["changes"]
        return replace(self, arguments=arguments | stated)

    def build(self) -> Benchmark:
        """Return the benchmark.

        Raises:
            UsageError: for a class that is not a benchmark, or a wrong argument.

        Example:
            >>> BenchmarkChoice("davis", "vidcorr.DavisBenchmark", {"root": "DAVIS"}, {}, variant="res3").build().name
            'davis/res3'
        """
        from jsonargparse import ArgumentError, ArgumentParser

        from ...benchmarks.base import Benchmark

        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(Benchmark, "benchmark")
        entry = {"class_path": self.class_path, "init_args": dict(self.arguments)}
        try:
            # jsonargparse 4.49 has renamed it
            instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes
            benchmark: Benchmark = instantiate(parser.parse_object({"benchmark": entry})).benchmark
        except (ArgumentError, ValueError) as error:
            raise UsageError(f"--on {self.config}: {message_of(error)}") from error
        return replace(benchmark, name=f"{benchmark.name}/{self.variant}") if self.variant else benchmark

    def callback(self, flags: Any) -> dict[str, Any]:
        """Return the benchmark as a callback of a configuration; `--every` and `--before` win over its schedule."""
        arguments = {**self.arguments, "name": self.build().name}
        # a flag that is not given is None or False
        given = {"every_n_epochs": flags.every, "before_training": flags.before}
        schedule = {**self.schedule, **{name: value for name, value in given.items() if value}}
        benchmark = {"class_path": self.class_path, "init_args": arguments}
        return {"class_path": "vidcorr.BenchmarkCallback", "init_args": {"benchmark": benchmark, **schedule}}


def chosen_benchmarks(flags: Any) -> list[BenchmarkChoice]:
    """Return the chosen benchmarks: for each `--on`, one per combination of protocol, changes, stage and stride.

    A flag with several values makes names: `davis/res3`, `davis/vfs/radius=6`.

    Args:
        flags: values of `RUN_FLAGS` or `BENCHMARK_FLAGS`.

    Raises:
        UsageError: for a flag without `--on`, an unknown benchmark, a config that cannot be read, or a wrong text of
            `--change`.
    """
    if not flags.on:
        for name in NEED_ON:
            if getattr(flags, name, None):
                raise UsageError(f"--{name}: name a benchmark, as --on davis=/data/DAVIS")
    changes = read_changes(flags.change)
    choices = [choice.with_arguments(limit_sequences=flags.limit) for choice in read_on(flags.on)]
    return [made for choice in choices for made in _expanded(choice, flags, changes)]


def read_on(texts: Iterable[str]) -> list[BenchmarkChoice]:
    """Read benchmarks and their data folders; a folder may be missing, as `fit` can generate it. Imports no torch.

    Args:
        texts: `NAME=FOLDER` or `NAME`; equal texts count once. NAME is a config in the project's `configs/benchmarks/`,
            a file with the ending .yaml or .yml, or a class, `module:Class`. FOLDER replaces the config's `root`, and
            `{root}` in its other arguments.

    Raises:
        UsageError: for an unknown name, a config that cannot be read or names no benchmark, or a NAME with two folders,
            whose results would have one name.

    Example:
        >>> (choice,) = read_on(["my_videos:Mine=/data"])
        >>> choice.config, choice.class_path, choice.arguments
        ('my_videos:Mine', 'my_videos.Mine', {'root': '/data'})
    """
    found: list[BenchmarkChoice] = []
    text_of: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        name, _, root = text.partition("=")
        if name in text_of:
            remedy = "give one of them a config of its own, my.yaml=FOLDER"
            raise UsageError(f"--on {text_of[name]} {text}: {name} stands twice; {remedy}")
        text_of[name] = text
        content = _content_of(name)
        path = str(content.pop("class_path"))
        class_path = path if "." in path else f"vidcorr.{path}"
        arguments = content.pop("init_args", None) or {}
        # the keys that are left of `content` are the schedule
        choice = BenchmarkChoice(name, class_path, arguments, schedule=content)
        root = root or str(arguments.get("root") or "")
        found.append(choice.with_arguments(root=root or None))
    return found


def _content_of(name: str) -> dict[str, Any]:
    """Return the content of the config that NAME of `--on` names.

    It has `class_path`, and perhaps `init_args`, `every_n_epochs` and `before_training`.
    """
    configs = {path.stem: path for path in sorted((CONFIGS / "benchmarks").glob("*.yaml"))}
    if name in configs:
        content = read_yaml(configs[name])
    elif name.endswith((".yaml", ".yml")):
        content = read_yaml(find_config(name))
    elif ("." in name or ":" in name) and "/" not in name:
        content = {"class_path": name.replace(":", ".")}
    else:
        known = f"there is no such benchmark; there are {', '.join(configs)}"
        raise UsageError(f"--on {name}: {known}: write NAME=FOLDER{did_you_mean(Path(name).name, configs)}")
    if "class_path" not in content or not content.keys() <= KEYS:
        raise UsageError(f"{name}: a benchmark has {', '.join(sorted(KEYS))}; this has {', '.join(content)}")
    return content


def _expanded(choice: BenchmarkChoice, flags: Any, changes: Mapping[str, list[Any]]) -> list[BenchmarkChoice]:
    """Return a benchmark per combination of protocol, changes, stage and stride, named by flags of several values."""
    # a config may list several stages, but a benchmark takes one; [None] without a stage
    stages = as_list(flags.stage or choice.arguments.get("stage"))
    # format of a value in the benchmark's name, and the values; None keeps the config's
    axes: list[tuple[str, Sequence[Any]]] = [("{}", flags.protocol or [None])]
    axes += [(f"{field}={{}}", values) for field, values in changes.items()]
    axes += [("{}", stages), ("stride{}", flags.stride or [None])]
    found: list[BenchmarkChoice] = []
    for combination in product(*(values for _, values in axes)):
        protocol, *of_fields, stage, stride = combination  # a value of each axis, in the order of the axes
        changed = dict(zip(changes, of_fields, strict=True))
        made = choice.with_arguments(protocol=protocol, changes=changed or None, stage=stage, stride=stride)
        parts = zip(axes, combination, strict=True)
        names = [pattern.format(value) for (pattern, values), value in parts if len(values) > 1]
        found.append(replace(made, variant="/".join(names)))
    return found


def read_changes(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Read texts `FIELD=VALUE,VALUE,…` with values in YAML; return field → values.

    Raises:
        UsageError: for any other text, or a field that is named twice.

    Example:
        >>> read_changes(["radius=3,6", "topk=null"])
        {'radius': [3, 6], 'topk': [None]}
    """
    changes: dict[str, list[Any]] = {}
    for text in texts:
        field, _, value = text.partition("=")
        if not field or not value or field in changes:
            raise UsageError(f"--change {text}: write each field once, as FIELD=VALUE or FIELD=VALUE,VALUE")
        changes[field] = yaml_value(f"[{value}]", f"--change {text}: the value")
    return changes
