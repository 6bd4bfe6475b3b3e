"""Description of a built network: its name, the source of its weights, and the seed of random weights."""

from __future__ import annotations

import re
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

RANDOM_WEIGHTS = "random weights"
"""Source of weights that a library has drawn."""
PARTS = ("backbone", "encoder", "network", "inner")
"""Attributes in which a module holds its network."""


class Network(BaseModel):
    """A network after it was built.

    Attributes:
        name: name in tables, given by the user, else the architecture, for example "ResNet-18".
        weights: source of the weights, for example "weights of vfs_r18.ckpt" or "random weights"; empty if `name`
            contains it.
        spec: argument of `build_network`, for example `torchvision:resnet18`; empty for a network without a name.
        seed: seed of random weights, or of the training; None if unknown.
        loaded: False only if the weights are known to be random.
        digest: digest of the weights; empty if the weights were not at hand.
        recipe: digest of all that made the weights but the seed. Networks of one name and recipe are seeds of a row.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    name: str
    weights: str = ""
    spec: str = ""
    seed: int | None = None
    loaded: bool = True
    digest: str = ""
    recipe: str = ""

    @classmethod
    def of(cls, module: object, name: str | None = None) -> Self:
        """Describe the network in a module, and the source of its weights.

        Args:
            module: a method, a `FrozenEncoder`, a result of `build_encoder`, a view of it, a user's module or a video
                encoder.
            name: the user's name, in place of architecture and weights.
        """
        path = path_to_network(module)
        of_network = _described_by(path)
        spec = ""
        if of_network is not None:
            spec = of_network.spec
        known = architecture_name(spec.rpartition(":")[2] or path[-1])
        steps = getattr(module, "global_step", 0)  # a LightningModule has it, and 0 without a Trainer
        origins = [getattr(part, "weights_origin", None) for part in path]
        loaded = next((origin for origin in origins if isinstance(origin, str)), "")
        weights = loaded
        seed = None
        if not loaded and steps:
            weights = f"{steps} steps of training"
        elif not loaded and of_network is not None:
            weights = of_network.weights
            seed = of_network.seed
        names = {"name": known, "weights": weights} if name is None else {"name": name}
        return cls(**names, spec=spec, seed=seed, loaded=weights != RANDOM_WEIGHTS)

    @property
    def row(self) -> str:
        """The name of the network's row in a table, without the seed."""
        return ", ".join(filter(None, (self.name, self.weights)))

    def __str__(self) -> str:
        return self.row if self.loaded or self.seed is None else f"{self.row}, seed {self.seed}"


def path_to_network(module: Any) -> list[Any]:
    """Return the chain of wrapped modules, down to the network that was made by its name, or the innermost module."""
    from torch import nn  # a stored result is read without torch

    path = [module]
    while True:
        part = path[-1]
        # getattr: a compiled module gives the parts of the module inside it
        parts = [getattr(part, name, None) for name in PARTS]
        inner = next((each for each in parts if isinstance(each, nn.Module)), None)
        if inner is None:
            return path
        path.append(inner)
        if _described_by([part]):  # parts of the named network are its own
            return path


def spec_of(module: object) -> str:
    """Return the name by which `build_network` made the network in a module; empty for a network without a name."""
    described = _described_by(path_to_network(module))
    return described.spec if described else ""


def _described_by(path: list[Any]) -> Network | None:
    """Return the description that the outermost module with one holds: an encoder, a view or a method of ours."""
    for part in path:
        described = getattr(part, "described", None)
        if isinstance(described, Network):
            return described
    return None


def architecture_name(network: str | object) -> str:
    """Return the name of an architecture for tables: "ResNet-18" for `resnet18`, "raw colour" for `RawColour`."""
    name = network if isinstance(network, str) else type(network).__name__
    return "raw colour" if name in ("RawColour", "raw_colour") else re.sub(r"^resnet(\d+)$", r"ResNet-\1", name)
