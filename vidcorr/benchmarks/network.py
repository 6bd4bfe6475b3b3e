"""The network of an evaluation, by name or in memory, and its features for a benchmark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..backbones import Encoder, NamedNetwork, Network, weights_digest
from ..backbones.encoder import gives_extractors
from ..backbones.extractor import stated_stride
from ..backbones.video import VideoEncoder

NetworkLike = Any
"""A `NamedNetwork`, its text, the path of a checkpoint, a module, an extractor, or a video encoder."""


@dataclass(frozen=True)
class GivenNetwork:
    """A network in memory, under a name for tables.

    Attributes:
        network: a module, an extractor or a video encoder.
        name: name in tables.
    """

    network: Any
    name: str
    is_reusable = False

    def identity(self) -> dict[str, Any]:
        """Return class and digest of the weights."""
        kind = type(self.network).__qualname__
        return {"stage": None, "stride": None, "class": kind, "weights": weights_digest(self.network)}


def view_for(benchmark: Any, network: NetworkLike, encoder: Encoder) -> Any:
    """Return the features of a network for a benchmark; all of its choices between the two are made here.

    An extractor in memory stands for itself. A network whose text names its features has these; for others the
    benchmark chooses.

    Args:
        benchmark: a `Benchmark`.
        network: the network, as the caller gave it.
        encoder: its encoder, from `load`.

    Raises:
        ValueError: if network and benchmark both name a stage or a stride, or the network lacks them.
    """
    if not isinstance(network, NamedNetwork):
        is_extractor = stated_stride(network) is not None or isinstance(network, VideoEncoder)
        return network if is_extractor and not gives_extractors(network) else benchmark.extractor(encoder)
    if (network.stage and benchmark.stage) or (network.stride and benchmark.stride):
        raise ValueError(f"{network.name} names its features, and so does {benchmark.name}: leave one of them out")
    return benchmark.extractor(encoder)


def with_unique_rows(networks: Iterable[NetworkLike]) -> list[NamedNetwork | GivenNetwork]:
    """Return the networks of a table; modules of one name get a number, since a row is a name."""
    counts: Counter[str] = Counter()
    unique: list[NamedNetwork | GivenNetwork] = []
    for network in networks:
        if isinstance(network, str | Path):
            network = NamedNetwork(str(network))
        if not isinstance(network, NamedNetwork | GivenNetwork):
            network = GivenNetwork(network, Network.of(network).row)
        if isinstance(network, GivenNetwork):
            counts[network.name] += 1
            if counts[network.name] > 1:
                network = replace(network, name=f"{network.name} ({counts[network.name]})")
        unique.append(network)
    return unique
