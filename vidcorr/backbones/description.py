"""Description of a built network: its name, the source of its weights, and the seed of random weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

RANDOM_WEIGHTS = "random weights"
"""Source of weights that a library has drawn."""


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
        """Describe a network, or the network that a module holds.

        Args:
            module: a method, a `FrozenEncoder`, an `Encoder` and a view of it hold their description as
                `described`; a user's module or a video encoder has the name of its class.
            name: the user's name, in place of architecture and weights.
        """
        described = getattr(module, "described", None)
        if not isinstance(described, cls):
            described = cls(name=architecture_name(type(module).__name__))
        return described if name is None else described.model_copy(update={"name": name, "weights": ""})

    def with_weights_of(self, source: str | Path) -> Self:
        """Return the description of the network with the weights of a file."""
        update: dict[str, Any] = {"weights": f"weights of {source_of(source)}", "seed": None, "loaded": True}
        return self.model_copy(update=update)

    @property
    def row(self) -> str:
        """The name of the network's row in a table, without the seed."""
        return ", ".join(filter(None, (self.name, self.weights)))

    def __str__(self) -> str:
        return self.row if self.loaded or self.seed is None else f"{self.row}, seed {self.seed}"


def architecture_name(name: str) -> str:
    """Return the name of an architecture for tables: "ResNet-18" for `resnet18`, "raw colour" for `RawColour`."""
    return "raw colour" if name in ("RawColour", "raw_colour") else re.sub(r"^resnet(\d+)$", r"ResNet-\1", name)


def source_of(path: str | Path) -> str:
    """Return what a file is called in results: its name; of a file of the hub's cache its address with the revision.

    Example:
        >>> source_of("runs/last.ckpt")
        'last.ckpt'
        >>> source_of("hub/models--me--vfs/snapshots/0123456789abcdef/last.ckpt")
        'hf://me/vfs/last.ckpt at 0123456789ab'
    """
    path = Path(path)
    for snapshots in path.parents:
        if snapshots.name == "snapshots" and snapshots.parent.name.startswith("models--"):
            repository = snapshots.parent.name.removeprefix("models--").replace("--", "/")
            revision, *file = path.relative_to(snapshots).parts
            return f"hf://{repository}/{'/'.join(file)} at {revision[:12]}"
    return path.name
