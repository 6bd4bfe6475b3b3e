"""The network of an evaluation, by name or in memory, and its features for a benchmark."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from ..backbones import Encoder, EncoderSpec, Network, weights_digest
from ..backbones.encoder import stated_by, unwrapped
from ..backbones.extractor import View

NetworkLike = Any
"""A `EncoderSpec`, its text, the path of a checkpoint, a module, an extractor, or a video encoder."""


@dataclass(frozen=True)
class GivenNetwork:
    """A network in memory (a module, an extractor or a video encoder), under a name for tables."""

    network: Any
    name: str

    def identity(self) -> dict[str, Any]:
        """Return what tells this network from others: class, declared mean and std, digest of the weights."""
        network = unwrapped(self.network)
        # as in `EncoderSpec.identity`
        known: dict[str, Any] = {"stage": None, "stride": None}
        declared = network.input if isinstance(network, View) else stated_by(network)
        # a default without a source follows from the class
        if declared is not None and declared.source:
            known |= {"mean": declared.mean, "std": declared.std}
        return known | {"class": type(network).__qualname__, "weights": weights_digest(network)}


def view_for(benchmark: Any, network: NetworkLike, encoder: Encoder) -> Any:
    """Return an extractor of a network's features for a benchmark, and decide which stage and stride they have.

    The text of a network (`NAME@STAGE/STRIDE`) decides first, then the benchmark's `stage` and `stride`. If neither
    names any, the protocol decides for a ResNet. An extractor in memory keeps its stage and stride. A network that
    `load` made moves to the GPU, if there is one.

    Raises:
        ValueError: if network and benchmark both name a stage or a stride, or the network lacks them.
    """
    if isinstance(network, EncoderSpec):
        named_twice = (network.stage and benchmark.stage) or (network.stride and benchmark.stride)
        if named_twice:
            raise ValueError(f"{network.name} names its features, and so does {benchmark.name}: leave one of them out")
    # `STAGE/STRIDE` of ResNets, if the protocol states them
    features = getattr(benchmark.protocol, "features", None)
    return encoder.view(of_protocol=features, placed=True, **benchmark.view_options(encoder))


def with_unique_rows(networks: Iterable[NetworkLike]) -> list[EncoderSpec | GivenNetwork]:
    """Return the networks of a table; of those in memory the second of a name is "NAME (2)".

    Example:
        >>> given = [GivenNetwork(None, name) for name in ("A", "A (2)", "A", "A")]
        >>> [row.name for row in with_unique_rows(["raw_colour", *given, "raw_colour"])]
        ['raw_colour', 'A', 'A (2)', 'A (3)', 'A (4)', 'raw_colour']
    """
    taken: set[str] = set()
    unique: list[EncoderSpec | GivenNetwork] = []
    for network in networks:
        if isinstance(network, str | Path):
            network = EncoderSpec(str(network))
        if not isinstance(network, EncoderSpec | GivenNetwork):
            network = GivenNetwork(network, Network.of(network).row)
        if isinstance(network, GivenNetwork):
            name = network.name
            numbers = count(2)
            while network.name in taken:
                network = replace(network, name=f"{name} ({next(numbers)})")
            taken.add(network.name)
        unique.append(network)
    return unique
