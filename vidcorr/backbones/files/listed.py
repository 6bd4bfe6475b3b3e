"""The list of names that a file may use without a word of the user.

A file names one of a written list, and nothing else is ever called with its arguments: the methods of
`vidcorr.lightning_modules`; of `vidcorr.backbones` `Encoder`, `LiirEncoder`, and the functions without arguments that
make a network; `timm:NAME` and `torchvision:NAME`, without arguments and without weights; `transformers:TYPE` of
`IMAGE_MODELS`, with a configuration of numbers, flags and words. A word is no path and no address.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

OURS = "vidcorr"
LIBRARIES = ("timm", "torchvision", "transformers")
"""Names before the colon of `timm:NAME` and its like, which are no modules."""
CLASSES = ("Encoder", "LiirEncoder")
FILES_OF_MAKERS = (f"{OURS}.backbones.resnet", f"{OURS}.backbones.vit")
"""Modules whose public names are functions that make a network."""
IMAGE_MODELS: dict[str, dict[str, bool]] = yaml.safe_load(
    Path(__file__).with_name("image_models.yaml").read_text("utf-8")
)
"""Model types of `transformers` that make all of their parts from their configuration → facts about the type."""
WORD = re.compile(r"[\w+-]+(?:\.[\w+-]+)*")
"""A text in a configuration, such as "gelu" or "4.57.1"."""


@cache
def names_in(package: str) -> frozenset[str]:
    """Return the names of a package of vidcorr, `lightning_modules` or `backbones`, that a file may use.

    Example:
        >>> sorted(names_in("vidcorr.backbones"))[:4]
        ['Encoder', 'LiirEncoder', 'crw_resnet18', 'crw_training_resnet18']
    """
    module = import_module(package)
    if package == f"{OURS}.lightning_modules":
        return frozenset(module.__all__)
    # of `backbones` the makers of networks, by the file that defines them, and some classes
    made = {name for name in module.__all__ if getattr(getattr(module, name), "__module__", "") in FILES_OF_MAKERS}
    return frozenset(made.union(CLASSES))


def is_listed(name: str) -> bool:
    """Return whether a file may name a network or method without the user's permission.

    It may name a class or a maker of networks in our `lightning_modules` and `backbones` (`names_in`), any
    `timm:NAME` and `torchvision:NAME`, and `transformers:TYPE` of a type in `IMAGE_MODELS`.

    Args:
        name: `package.module.Class`, `package.module:callable`, or `LIBRARY:NAME`.

    Example:
        >>> [is_listed(name) for name in ("vidcorr.lightning_modules.VFSSimSiam", "vidcorr.backbones:crw_resnet18")]
        [True, True]
        >>> [is_listed(name) for name in ("timm:resnet18", "transformers:dinov2", "torchhub:me/repo:net", "os:abort")]
        [True, True, False, False]
        >>> is_listed("vidcorr.backbones.loading:load"), is_listed("vidcorr.backbones.vit:_of_any_size")
        (False, False)
    """
    library, _, network = name.partition(":")
    if library in LIBRARIES:
        return network in IMAGE_MODELS if library == "transformers" else WORD.fullmatch(network) is not None
    place, _, member = name.replace(":", ".").rpartition(".")
    package = ".".join(place.split(".")[:2])
    return package in (f"{OURS}.lightning_modules", f"{OURS}.backbones") and member in names_in(package)


def leaves_in(content: Any) -> Iterator[Any]:
    """Yield the keys and values in nested containers. Call `require_small` first: a list may hold itself.

    Example:
        >>> list(leaves_in({"size": [3, 4], "name": "vit"}))
        ['size', 'name', 3, 4, 'vit']
    """
    if isinstance(content, Mapping):
        content = [*content, *content.values()]
    if isinstance(content, list | tuple):
        for each in content:
            yield from leaves_in(each)
    else:
        yield content


def is_word(value: Any) -> bool:
    """Return whether a value of a configuration is a number, a flag or a word.

    Example:
        >>> [is_word(value) for value in ("gelu", "4.57.1", 0.1, None)]
        [True, True, True, True]
        >>> [is_word(value) for value in ("runs/own", "https://host", b"x")]
        [False, False, False]
    """
    if isinstance(value, str):
        return value == "" or WORD.fullmatch(value) is not None
    return value is None or isinstance(value, bool | int | float)
