"""The flags of commands as values, flags that several commands share, and types of their texts. No torch."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import yaml  # type: ignore[import-untyped]

from ...errors import UsageError
from ...near_names import did_you_mean
from ...videos.files import user_path

if TYPE_CHECKING:  # it imports torch, which would delay `--help`
    from ...backbones import EncoderSpec


class Parser(argparse.ArgumentParser):
    """A parser that raises `UsageError`, which is printed in one line, where argparse prints the usage and exits."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` with a message of argparse.

        If words without a flag are missing, the remedy is added: a flag of several values takes the words behind it.
        """
        missing = message.partition("are required: ")[2]
        if missing and not missing.startswith("-"):
            message = f"{missing} missing; words without a flag stand before the flags"
        raise UsageError(f"{self.prog.removeprefix('vidcorr ')}: {message}")


class Flag:
    """A flag, or a positional argument, of a command.

    Args:
        name: `--flag`, or the argument's name.
        about: its help.
        **options: further options of argparse's `add_argument`.
    """

    def __init__(self, name: str, about: str, **options: Any) -> None:
        self.name = name
        self.options = {"help": about, **options}


class OneOf:
    """Flags of which a command takes one at most, or exactly one if it is required."""

    def __init__(self, *flags: Flag, required: bool = False) -> None:
        self.flags = flags
        self.required = required


Flags = Sequence[Flag | OneOf]


def add_flags(parser: Any, flags: Flags) -> None:
    """Add flags to a parser of argparse or jsonargparse, or to a group of a parser.

    The flags of a `OneOf` exclude each other.
    """
    for flag in flags:
        if isinstance(flag, Flag):
            parser.add_argument(flag.name, **flag.options)
        else:
            add_flags(parser.add_mutually_exclusive_group(required=flag.required), flag.flags)


def names_of(parser: argparse.ArgumentParser) -> list[str]:
    """Return the names of all flags of a parser, each as `--flag`."""
    return re.findall(r"--[\w.-]+", parser.format_usage())  # argparse has no public list of them


def several(name: str, metavar: str, about: str, kind: object = None) -> Flag:
    """Return a flag that takes one value or more, and may be repeated: `--on a b` is `--on a --on b`."""
    return Flag(name, about, nargs="+", action="extend", default=[], type=kind, metavar=metavar)


def folder(text: str) -> Path:
    """Convert the text of a flag's value to the path of a folder, which may not exist yet.

    Raises:
        argparse.ArgumentTypeError: if the path is a file.
    """
    path = user_path(text)
    if path.is_file():
        raise argparse.ArgumentTypeError(f"{path} is a file: name a folder")
    return path


def positive(text: str | int) -> int:
    """Convert the text of a flag's value to a positive integer."""
    if not str(text).isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)


OWN_CHOICE = "(default: the choice of network and benchmark)"
NETWORK = "NETWORK[@STAGE[/STRIDE]]"
"""A network in the help."""
RGB = {"nargs": 3, "type": float, "metavar": ("R", "G", "B")}
"""Options of a flag with three numbers."""

ON = "benchmarks and their data: davis=/data/DAVIS, my.yaml=FOLDER, my_module.MyBenchmark=FOLDER"
CHANGE = "fields of the protocols to change; several values make a grid: radius=3,6"
BENCHMARK_FLAGS: Flags = (
    several("--on", "NAME=FOLDER", ON),
    several("--protocol", "NAME", "protocols of the benchmarks (default: the config's)"),
    several("--change", "FIELD=VALUE", CHANGE),
    several("--stage", "STAGE", f"stages of the features {OWN_CHOICE}"),
    several("--stride", "PIXELS", f"strides of the features {OWN_CHOICE}", positive),
    Flag("--limit", "evaluate only the first N sequences", type=positive, metavar="N"),
)
"""Flags that choose benchmarks."""
EVERY = "epochs of a fit between runs of the benchmarks of --on (default: the config's)"
RUN_FLAGS: Flags = (
    *BENCHMARK_FLAGS,
    Flag("--every", EVERY, type=positive, metavar="N"),
    Flag("--before", "run the benchmarks of --on before the first step of a fit too", action="store_true"),
)
"""Flags of `fit` and `validate` that Lightning does not have."""
STATES = "input of the network's training (default: as it or its library states)"
NETWORK_FLAGS: Flags = (
    Flag("--pretrained", "load pretrained weights of timm and torchvision", action="store_true"),
    Flag("--input", STATES, choices=("imagenet", "half", "unit")),
    Flag("--mean", "mean of RGB in [0, 1] in the network's training, in place of --input", **RGB),
    Flag("--std", "standard deviation of RGB in [0, 1] in the network's training, in place of --input", **RGB),
)
"""Flags that say more of a named network: its weights and its input."""


def require_networks(texts: Iterable[str], methods: Sequence[str] = ()) -> None:
    """Refuse what can be no network by its name alone, before torch is imported; `methods` are further names.

    Raises:
        UsageError: for a folder of something else, or a plain word that is no file, run or known name.
    """
    from ...datasets.layout import layout_of

    short_names = yaml.safe_load((files("vidcorr.backbones") / "short_names.yaml").read_text("utf-8"))
    known = [*short_names, "raw_colour", *methods]
    for text in texts:
        word = text if "@" not in text or os.path.exists(text) else text.rpartition("@")[0]
        path = next((place for place in (user_path(word), Path("runs", word)) if place.exists()), None)
        layout = layout_of(path) if path is not None and path.is_dir() else ""
        if layout and not layout.startswith("a run"):
            raise UsageError(f"{word}: holds {layout}; a network is a run, a checkpoint or a name")
        if path is None and re.fullmatch(r"[\w-]+", word) and word not in known:
            near = did_you_mean(word, known)
            raise UsageError(f"{word!r}: neither a run, a checkpoint nor a short name, such as timm:NAME{near}")


def named_network(text: str, flags: Any) -> EncoderSpec:
    """Return the spec of a network, which says what to load.

    If `text` names a run, loading it imports the modules that the run's command and configuration name. Whoever names a
    run trusts it.
    """
    from ...backbones import EncoderSpec
    from ...description import stated_input
    from .runs import checkpoint_named

    stated = stated_input(flags.mean, flags.std, flags.input)
    return EncoderSpec(checkpoint_named(text), pretrained=flags.pretrained, input=stated, label=text)
