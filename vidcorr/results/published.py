"""Published scores as data. Tables show them beside results on the same test set and protocol only."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..functional.evaluation_protocol import EvaluationProtocol


MATCHING = ("spair", "pf_pascal", "pf_willow")
"""Benchmarks of pairs of pictures."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A row of a publication's table.

    Attributes:
        name: method and network.
        benchmark: name of the benchmark.
        protocol: our name of the protocol, with changed fields, for example the stride of the network's patches.
        source: paper and table, or repository and commit.
        weights: location of the weights behind the scores, or a note that they were not released.
        stated: the source's statements about protocol and input size.
        doubt: reason why the protocol is uncertain, if neither code nor text states it. A row with a doubt is never
            shown beside a result.
        scores: key → fraction.
    """

    name: str
    benchmark: str
    protocol: str
    source: str
    weights: str
    stated: str
    scores: Mapping[str, float]
    doubt: str

    def evaluated_by(self) -> EvaluationProtocol:
        """Return the protocol of the row.

        Raises:
            ValueError: if the source of the protocol defines no values for the benchmark.
        """
        return protocol_named(self.protocol, self.benchmark)


def protocol_named(name: str, benchmark: str) -> EvaluationProtocol:
    """Return a protocol of a benchmark's kind by its name, see `EvaluationProtocol.named`."""
    from .. import functional  # late: `table --help` is fast

    kinds = {"otb": functional.TrackingProtocol} | dict.fromkeys(MATCHING, functional.MatchingProtocol)
    if kind := kinds.get(benchmark):
        return kind.named(name, benchmark)
    return functional.PropagationProtocol.named(name, benchmark, ("davis",))


def published_beside(benchmark: str, digest: str) -> list[Published]:
    """Return the rows without a doubt that have the protocol of a result.

    Args:
        benchmark: benchmark of the result.
        digest: digest of the result's protocol.
    """
    rows = (row for row in PUBLISHED if not row.doubt and row.benchmark == benchmark)
    return [row for row in rows if row.evaluated_by().digest() == digest]


def published_row(benchmark: str, protocol: str, percent: float) -> Published | None:
    """Return the row with a main score under a protocol, with any feature stride, or None.

    Args:
        benchmark: benchmark of the row.
        protocol: name of the protocol, see `EvaluationProtocol.named`.
        percent: first score of the row, in per cent.
    """
    wanted: Any = protocol_named(protocol, benchmark)
    for row in PUBLISHED:
        first = 100 * next(iter(row.scores.values()))
        if row.benchmark == benchmark and abs(first - percent) < 1e-6:
            known = row.evaluated_by()
            if known.with_changes(feature_stride=wanted.feature_stride) == wanted:
                return row
    return None


def line_of(row: Published) -> str:
    """Return a row as a line of text, with protocol, weights and doubt."""
    key, score = next(iter(row.scores.items()))
    doubt = f"; doubt: {row.doubt}" if row.doubt else ""
    line = f"{row.name}, {row.benchmark} {key} {100 * score:.6g}: protocol {row.evaluated_by().name}"
    return f"{line}; weights: {row.weights}{doubt}"


def _read(row: dict[str, str]) -> Published:
    scores = dict(pair.split("=") for pair in row.pop("scores").split())
    return Published(scores={key: float(value) for key, value in scores.items()}, **row)


PUBLISHED = tuple(map(_read, csv.DictReader((files(__package__) / "published.csv").read_text("utf-8").splitlines())))
"""The rows of published.csv, by method.

RSP, RVM and DIFT have named protocols but no row, because their repositories print no scores. Table 8 of VFS fine-tunes
for OTB; the frozen rows are from the ablation of frames, Table 4 (n = 8).
"""
