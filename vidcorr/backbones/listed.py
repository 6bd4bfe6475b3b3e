"""What a file may name, without a word of the user.

A file names one of a written list, and nothing else is ever called with its arguments: the methods of
`vidcorr.lightning_modules`; of `vidcorr.backbones` `Encoder`, `LiirEncoder`, and the functions without arguments that
make a network; `timm:NAME` and `torchvision:NAME`, without arguments and without weights; `transformers:TYPE` of
`IMAGE_MODELS`, with a configuration of numbers, flags and words. A word is no path and no address.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

OURS = "vidcorr"
LIBRARIES = ("timm", "torchvision", "transformers")
"""Names before the colon of `timm:NAME` and its like, which are no modules."""
CLASSES = ("Encoder", "LiirEncoder")
FILES_OF_MAKERS = (f"{OURS}.backbones.resnet", f"{OURS}.backbones.vit")
"""Modules whose public names are functions that make a network."""
IMAGE_MODELS = {
    "aimv2_vision_model",
    "beit",
    "clip_vision_model",
    "convnext",
    "convnextv2",
    "data2vec-vision",
    "deit",
    "dinov2",
    "dinov2_with_registers",
    "dinov3_convnext",
    "dinov3_vit",
    "hiera",
    "ijepa",
    "pvt_v2",
    "resnet",
    "sam_vision_model",
    "siglip_vision_model",
    "swin",
    "swinv2",
    "videomae",
    "vit",
    "vit_mae",
    "vit_msn",
    "vjepa2",
}
"""Types of transformers that make all of their parts themselves, of their configuration."""
WORD = re.compile(r"[\w+-]+(?:\.[\w+-]+)*")
"""A text in a configuration, such as "gelu" or "4.57.1"."""


@cache
def names_in(package: str) -> frozenset[str]:
    """Return what a file may name of a package of ours."""
    module = import_module(package)
    if package == f"{OURS}.lightning_modules":
        return frozenset(module.__all__)
    made = {name for name in module.__all__ if getattr(getattr(module, name), "__module__", "") in FILES_OF_MAKERS}
    return frozenset(made.union(CLASSES))


def is_listed(name: str) -> bool:
    """Return whether a file may name this: `package.module.Class`, `package.module:callable`, or `timm:NAME`."""
    library, _, network = name.partition(":")
    if library in LIBRARIES:
        return network in IMAGE_MODELS if library == "transformers" else WORD.fullmatch(network) is not None
    place, _, member = name.replace(":", ".").rpartition(".")
    package = ".".join(place.split(".")[:2])
    return package in (f"{OURS}.lightning_modules", f"{OURS}.backbones") and member in names_in(package)


def are_words(content: Any) -> bool:
    """Return whether a configuration holds numbers, flags and words alone."""
    if isinstance(content, Mapping):
        return all(map(are_words, [*content, *content.values()]))
    if isinstance(content, list | tuple):
        return all(map(are_words, content))
    if isinstance(content, str):
        return content == "" or WORD.fullmatch(content) is not None
    return content is None or isinstance(content, bool | int | float)
