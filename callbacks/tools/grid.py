"""Sets of protocols (grids, named ones, ways between two), and the batches that share one pass of the network."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import yaml  # type: ignore[import-untyped]

from lightning_modules.functional import PropagationProtocol

MOST = 500
"""Largest number of protocols in a sweep, over all stages and strides; more are taken for a mistake."""
SET_BY_NETWORK = {"name", "feature_stride"}
"""Fields of a protocol that are no choice of it."""
AT_ONCE = 40
"""Largest number of protocols in a batch: each keeps its own labels, a few megabytes at 480p."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """The protocols of a sweep.

    Args:
        protocols: every combination that is valid, named by what differs from the base.
        varied: field → its values.
        refused: invalid combinations, one line each.
    """

    protocols: tuple[PropagationProtocol, ...]
    varied: Mapping[str, tuple[Any, ...]]
    refused: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ProtocolBatch:
    """Protocols that share one pass of the network over the frames.

    Args:
        stage: stage of the features; None: the backbone's own choice.
        stride: stride of the features; None: the backbone's own choice.
        protocols: at most `AT_ONCE`.
    """

    stage: str | None
    stride: int | None
    protocols: tuple[PropagationProtocol, ...]

    @property
    def name(self) -> str:
        """Name of its folder: stage, stride and a hash of the protocols."""
        digests = " ".join(protocol.digest() for protocol in self.protocols)
        features = f"{self.stage or 'default'}-stride-{self.stride or 'default'}".replace("/", "_")
        return f"{features}-{hashlib.sha256(digests.encode()).hexdigest()[:8]}"


def read_grid(base: PropagationProtocol, varied: Sequence[str], most: int = MOST) -> Grid:
    """Combine the values of fields into protocols.

    Args:
        base: what is not varied keeps its values.
        varied: `field=value,value,…` each, values as in YAML (`topk=5,10,null`).
        most: number of combinations that is still meant.

    Raises:
        ValueError: for an unknown field, a field named twice or without values, no valid combination, or more
            combinations than `most`; one line.
    """
    values: dict[str, tuple[Any, ...]] = {}
    for text in varied:
        field, equals, listed = text.partition("=")
        if problem := base.misnamed(field):
            raise ValueError(f"--vary {text}: {problem}")
        if field == "feature_stride":
            raise ValueError(f"--vary {text}: features have the strides of --strides")
        if field in values or not equals or not listed.strip():
            raise ValueError(f"--vary {text}: write each field once, as {field}=value,value,…")
        values[field] = _values(text, listed)
    if (number := math.prod(map(len, values.values()))) > most:
        sizes = " · ".join(f"{len(listed_values)} of {field}" for field, listed_values in values.items())
        raise ValueError(f"the grid has {number} protocols ({sizes}), more than {most}; --most {number} if it is meant")
    protocols, refused = [], []
    for combination in product(*values.values()):
        changes = dict(zip(values, combination, strict=True))
        try:
            protocols.append(base.with_changes(**changes))
        except ValueError as error:
            refused.append(str(error))
    if not protocols:
        raise ValueError(f"no combination of the grid is a protocol: {refused[0]}")
    return Grid(tuple(dict.fromkeys(protocols)), values, tuple(refused))


def named_grid(names: Sequence[str], benchmark: str, like: Sequence[str] = ()) -> Grid:
    """Return named protocols as they are.

    Args:
        names: names of sources; `all` is every source that defines values for the benchmark.
        benchmark: name of the benchmark.
        like: benchmarks whose values may stand in, see `PropagationProtocol.named`.

    Raises:
        ValueError: for an unknown name, or a source without values for the benchmark; one line.
    """
    if list(names) == ["all"]:
        known = PropagationProtocol.sources().items()
        names = [name for name, source in known if {benchmark, *like} & source.values.keys()]
    return Grid(tuple(PropagationProtocol.named(name, benchmark, like) for name in dict.fromkeys(names)), {})


def single_changes(base: PropagationProtocol, benchmark: str, like: Sequence[str] = ()) -> Grid:
    """Return a protocol, and each that differs from it in one field, by a value that a named protocol has.

    Args:
        base: the protocol.
        benchmark: see `named_grid`.
        like: see `named_grid`.
    """
    others = named_grid(["all"], benchmark, like).protocols
    found = [base]
    for field in base.fields().keys() - SET_BY_NETWORK:
        for value in dict.fromkeys(getattr(other, field) for other in others):
            with contextlib.suppress(ValueError):  # fields that depend on each other
                found.append(base.with_changes(**{field: value}))
    return Grid(tuple(dict.fromkeys(sorted(found, key=lambda protocol: (protocol != base, protocol.name)))), {})


def protocol_path(
    first: PropagationProtocol, second: PropagationProtocol, backwards: bool = False
) -> list[tuple[str, PropagationProtocol]]:
    """Return the protocols on the way from one to another, a field at a time, each with the names of its new fields.

    Args:
        first: where the way begins; it is left out.
        second: its fields are taken over, but for its stride, which is that of the network.
        backwards: take the fields in the opposite order.

    Raises:
        ValueError: if the two do not differ.
    """
    fields = [
        field.name
        for field in dataclasses.fields(first)
        if field.name not in SET_BY_NETWORK and getattr(first, field.name) != getattr(second, field.name)
    ]
    if not fields:
        raise ValueError(f"{first.name} and {second.name} have the same fields")
    path: list[tuple[str, PropagationProtocol]] = []
    current, changes = first, dict[str, Any]()
    for field in reversed(fields) if backwards else fields:
        changes[field] = getattr(second, field)
        with contextlib.suppress(ValueError):  # a value that needs that of a later field waits for it
            current = current.with_changes(**changes)
            path.append((", ".join(changes), current))
            changes = {}
    if changes:
        raise ValueError(f"{', '.join(changes)} of {second.name} cannot be taken over by {first.name}")
    return path


def batches(
    grid: Grid, stages: Sequence[str | None], strides: Sequence[int | None], at_once: int = AT_ONCE
) -> list[ProtocolBatch]:
    """Group the protocols of each stage and stride into batches that prepare frames in the same way.

    Args:
        grid: its protocols.
        stages: stages of the features.
        strides: strides of the features.
        at_once: most protocols of a batch; fewer take less memory and encode frames more often.
    """
    from ..tracking.label_tracker import seen_by

    found = []
    for stage, stride in product(stages, strides):
        views: dict[tuple[object, ...], list[PropagationProtocol]] = {}
        for protocol in grid.protocols:
            views.setdefault(seen_by(protocol), []).append(protocol)
        for alike in views.values():
            # neighbours share their matches: those that differ in top-k and temperature alone stand together
            ordered = sorted(alike, key=lambda p: (str(p.radius), str(p.context), p.neighbourhood, p.name))
            parts = (ordered[start : start + at_once] for start in range(0, len(ordered), at_once))
            found += [ProtocolBatch(stage, stride, tuple(part)) for part in parts]
    return found


def _values(text: str, listed: str) -> tuple[Any, ...]:
    try:
        read = yaml.safe_load(f"[{listed}]")
    except yaml.YAMLError as error:
        raise ValueError(f"--vary {text}: the values cannot be read as YAML") from error
    return tuple(dict.fromkeys(tuple(value) if isinstance(value, list) else value for value in read))
