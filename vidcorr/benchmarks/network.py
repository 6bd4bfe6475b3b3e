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
    """A network in memory, under a name for tables.

    Attributes:
        network: a module, an extractor or a video encoder.
        name: name in tables.
    """

    network: Any
    name: str
    is_reusable = False  # its class may be code of the user, which no digest covers: it is scored again

    def identity(self) -> dict[str, Any]:
        """Return what tells this network from others: class, stated mean and std, digest of the weights."""
        network = unwrapped(self.network)
        known: dict[str, Any] = {"stage": None, "stride": None}  # as in `EncoderSpec.identity`
        stated = network.input if isinstance(network, View) else stated_by(network)
        if stated is not None and stated.source:  # a default without a source follows from the class
            known |= {"mean": stated.mean, "std": stated.std}
        return known | {"class": type(network).__qualname__, "weights": weights_digest(network)}


def view_for(benchmark: Any, network: NetworkLike, encoder: Encoder) -> Any:
    """Return an extractor of a network's features for a benchmark, and decide which stage and stride they have.

    The text of a network (`NAME@STAGE/STRIDE`) decides first, then the benchmark's `stage` and `stride`. If neither
    names any, the protocol decides for a ResNet. An extractor in memory keeps its stage and stride. A network that
    `load` made moves to the GPU, if there is one.

    Args:
        benchmark: a `Benchmark`.
        network: the network, as the caller gave it.
        encoder: the network's encoder, from `load`.

    Raises:
        ValueError: if network and benchmark both name a stage or a stride, or the network lacks them.
    """
    if isinstance(network, EncoderSpec):
        named_twice = (network.stage and benchmark.stage) or (network.stride and benchmark.stride)
        if named_twice:
            raise ValueError(f"{network.name} names its features, and so does {benchmark.name}: leave one of them out")
    features = getattr(benchmark.protocol, "features", None)  # `STAGE/STRIDE` of ResNets, if the protocol states them
    return encoder.placed_view(of_protocol=features, **benchmark.view_options(encoder))


def with_unique_rows(networks: Iterable[NetworkLike]) -> list[EncoderSpec | GivenNetwork]:
    """Return the networks of a table; those in memory get different names, since names tell rows apart.

    A text or a path becomes a spec, which keeps its name. A network in memory becomes a `GivenNetwork`; the second of a
    name is "NAME (2)".

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
