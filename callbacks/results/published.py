"""Published scores as data: shown next to a result only on the same test set and under the same protocol."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning_modules.functional.evaluation_protocol import EvaluationProtocol


@dataclass(frozen=True, kw_only=True)
class Published:
    """One row of a publication's table.

    Attributes:
        name: method and network.
        benchmark: that it was scored on.
        protocol: our name of the protocol that it was scored by, with the fields that differ, such as the stride of the
            network's own patches.
        source: paper and table, or repository and commit.
        weights: the weights that the scores belong to: where they lie, or that they were not released.
        stated: what the source states of the protocol and of the size that the network sees.
        doubt: why the protocol is not certain, as neither code nor text states it; such a row stands next to no result.
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
            ValueError: if its source defines no values for the benchmark.
        """
        from lightning_modules.functional import PropagationProtocol, TrackingProtocol  # late: `table --help` is fast

        if self.benchmark == "otb":
            return TrackingProtocol.named(self.protocol, "otb")
        return PropagationProtocol.named(self.protocol, self.benchmark, ("davis",))


def published_beside(benchmark: str, digest: str) -> list[Published]:
    """Return the rows that compare with a result on the test set: certainly the same protocol.

    Args:
        benchmark: benchmark of the result.
        digest: digest of the protocol that the result was scored by.
    """
    rows = (row for row in PUBLISHED if not row.doubt and row.benchmark == benchmark)
    return [row for row in rows if row.evaluated_by().digest() == digest]


def published_row(benchmark: str, protocol: str, percent: float) -> Published | None:
    """Return the row with a main score under a protocol, whatever the stride of the network; None if there is none.

    Args:
        benchmark: benchmark of the row.
        protocol: name of the protocol, see `EvaluationProtocol.named`.
        percent: the first of the row's scores.
    """
    from lightning_modules.functional import PropagationProtocol

    wanted = PropagationProtocol.named(protocol, benchmark, ("davis",))
    for row in PUBLISHED:
        first = 100 * next(iter(row.scores.values()))
        if row.benchmark == benchmark and abs(first - percent) < 1e-6:
            known = row.evaluated_by()
            if known.with_changes(feature_stride=wanted.feature_stride) == wanted:
                return row
    return None


def seen_size(protocol: EvaluationProtocol) -> str:
    """Return the size at which a network sees the frames, in words: "224 x 224 px", "short side 480 px", …"""
    size = getattr(protocol, "input_size", None)
    if isinstance(size, tuple):
        return f"{size[0]} x {size[1]} px"
    return f"{getattr(protocol, 'input_side', 'short')} side {size} px" if size else "native size"


def line_of(row: Published) -> str:
    """Return a row in one line, with its protocol, the size that the network sees, its weights and its doubt."""
    key, score = next(iter(row.scores.items()))
    protocol = row.evaluated_by()
    doubt = f"; doubt: {row.doubt}" if row.doubt else ""
    return (
        f"{row.name}, {row.benchmark} {key} {100 * score:.6g}: protocol {protocol.name}, {seen_size(protocol)}; "
        f"weights: {row.weights}{doubt}"
    )


def _read(row: dict[str, str]) -> Published:
    scores = dict(pair.split("=") for pair in row.pop("scores").split())
    return Published(scores={key: float(value) for key, value in scores.items()}, **row)


PUBLISHED = tuple(map(_read, csv.DictReader((files(__package__) / "published.csv").read_text("utf-8").splitlines())))
"""The rows of published.csv, by method.

RSP, RVM and DIFT have named protocols but no row: their repositories print no scores. VFS's Table 8 fine-tunes for OTB;
its frozen rows are those of the ablation of frames, Table 4 (n = 8).
"""
