"""Published scores as data. Tables show them beside results on the same test set and protocol only."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import yaml  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from ..protocols import EvaluationProtocol


@dataclass(frozen=True, kw_only=True, eq=False)
class Published:
    """A row of a publication's table.

    Attributes:
        name: method and network.
        benchmark: name of the benchmark.
        protocol: our name of the protocol, with changed fields, for example the stride of the network's patches.
        source: paper and table, or repository and commit.
        weights: location of the weights behind the scores, or a note that they were not released.
        stated: the source's statements about protocol and input size.
        doubt: reason why the protocol or the network is uncertain; stated wherever the row is shown.
        scores: key → fraction.
        short_name: name for `vidcorr reproduce`, equal for the rows of the same network; empty without public weights.
        model: the network, as `vidcorr evaluate` takes it.
        download: source and size of its weights.
    """

    name: str
    benchmark: str
    protocol: str
    source: str
    weights: str
    stated: str
    scores: Mapping[str, float]
    doubt: str
    short_name: str = ""
    model: str = ""
    download: str = ""

    def evaluation_protocol(self) -> EvaluationProtocol:
        """Return the protocol that the row names, with its values for the row's benchmark."""
        return protocol_named(self.protocol, self.benchmark)


def printed_digits(value: float) -> int:
    """Return how many decimals a fraction has in per cent, at least one, as papers print: 1 for 0.52, 2 for 0.5234."""
    return max(1, len(str(value)) - len("0.00"))  # two decimals of the fraction stand before the point of per cent


def protocol_classes() -> tuple[type[EvaluationProtocol], ...]:
    """Return the classes of named protocols; the first, for masks and joints, is the default of `protocol_named`."""
    from .. import protocols as p  # here, since reading the protocols would delay `table --help`

    return p.PropagationProtocol, p.PointProtocol, p.TrackingProtocol


def protocol_named(name: str, benchmark: str) -> EvaluationProtocol:
    """Return a protocol by its name, of the class that has values for the benchmark, else of that for masks and joints.

    Args:
        name: name of a source, with changes as in `dino+input_size=960`.
        benchmark: name of the benchmark; without values of the source for it, those for the class's default benchmark
            count.

    Raises:
        KeyError: if the class has no source of this name.

    Example:
        >>> protocol_named("dino+input_size=960", "davis").name, protocol_named("vfs", "otb").kind
        ('dino+input_size=960', 'boxes')
    """
    kind, *others = protocol_classes()
    for other in others:
        if any(benchmark in source.values for source in other.sources().values()):
            kind = other
    source, *_ = name.split("+")
    if benchmark not in kind.sources()[source].values:
        benchmark = kind.default_benchmark
    return kind.named(name, benchmark)


@cache
def sets_of_papers() -> dict[str, dict[str, int | str]]:
    """Return the content of test_sets.yaml: benchmark → facts of the papers' test set, such as `sequences`, `year`."""
    text = (files(__package__) / "test_sets.yaml").read_text("utf-8")
    sets: dict[str, dict[str, int | str]] = yaml.safe_load(text)
    return sets


@cache
def published_rows() -> tuple[Published, ...]:
    """Return the rows of published.csv, in the file's order, which is by method.

    RSP, RVM and DIFT have named protocols but no row, because their repositories print no scores. For OTB the networks
    in Table 8 of VFS are fine-tuned; the row of its frozen network is from Table 4, the ablation of frames, at n = 8.
    """
    text = (files(__package__) / "published.csv").read_text("utf-8")
    rows = []
    for row in csv.DictReader(text.splitlines()):
        pairs = [pair.split("=") for pair in row.pop("scores").split()]
        scores = {key: float(value) for key, value in pairs}
        rows.append(Published(scores=scores, **row))
    return tuple(rows)
