"""The list of names that a file may use without a word of the user.

A file names one of a written list, and nothing else is ever called with its arguments: the methods of
`vidcorr.lightning_modules`; of `vidcorr.backbones` `Encoder`, `LiirEncoder`, and the functions without arguments that
make a network; `timm:NAME` and `torchvision:NAME`, without arguments and without weights.
"""

import re
from importlib import import_module
from pathlib import Path

import yaml  # type: ignore[import-untyped]

OURS = "vidcorr"
LIBRARIES = ("timm", "torchvision")
OF_BACKBONES = (
    *("Encoder", "LiirEncoder", "vidcorr_r18", "crw_resnet18", "crw_training_resnet18", "crw_training_resnet50"),
    *("moco_v3_vit_base", "moco_v3_vit_small", "vit_base_patch16_reg4", "vit_small_patch16_reg4"),
)
SHORT_NAMES: dict[str, str] = yaml.safe_load(Path(__file__).parents[1].joinpath("short_names.yaml").read_text("utf-8"))
"""Name → network. Weights of timm come from its cache, or over the network at first use."""
WORD = re.compile(r"[\w+-]+(?:\.[\w+-]+)*")


def names_in(package: str) -> frozenset[str]:
    """Return the names of a package of vidcorr, `lightning_modules` or `backbones`, that a file may use."""
    return frozenset(OF_BACKBONES if package == f"{OURS}.backbones" else import_module(package).__all__)


def is_listed(name: str) -> bool:
    """Return whether a file may name a network or method without the user's permission.

    It may name a class or a maker of networks in our `lightning_modules` and `backbones` (`names_in`), any
    `timm:NAME` and `torchvision:NAME`.

    Example:
        >>> [is_listed(name) for name in ("vidcorr.lightning_modules.VFSSimSiam", "vidcorr.backbones:crw_resnet18")]
        [True, True]
        >>> [is_listed(name) for name in ("timm:resnet18", "transformers:dinov2", "vidcorr.backbones.loading:load")]
        [True, False, False]
    """
    library, _, network = name.partition(":")
    if library in LIBRARIES:
        return WORD.fullmatch(network) is not None
    place, _, member = name.replace(":", ".").rpartition(".")
    package = ".".join(place.split(".")[:2])
    return package in (f"{OURS}.lightning_modules", f"{OURS}.backbones") and member in names_in(package)
