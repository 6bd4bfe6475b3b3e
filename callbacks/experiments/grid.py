"""Sets of protocols (grids, named ones, ways between two), and the batches that share one pass of the network."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Sequence
from itertools import product
from typing import Any

import yaml  # type: ignore[import-untyped]

from lightning_modules.functional import PropagationProtocol

MOST = 500
"""Largest number of protocols in a sweep, over all stages and strides; more are taken for a mistake."""
SET_BY_NETWORK = {"name", "feature_stride"}
"""Fields of a protocol that are no choice of it."""


def read_grid(base: PropagationProtocol, varied: Sequence[str], most: int = MOST) -> list[PropagationProtocol]:
    """Combine the values of fields into protocols, named by what differs from the base; say which cannot be.

    Args:
        base: what is not varied keeps its values.
        varied: `field=value,value,…` each, values as in YAML (`topk=5,10,null`).
        most: number of combinations that is still meant.

    Raises:
        ValueError: for an unknown field, a field named twice or without values, no valid combination, or more
            combinations than `most`; one line.
    """
    values: dict[str, list[Any]] = {}
    for text in varied:
        field, _, listed = text.partition("=")
        if problem := base.misnamed(field):
            raise ValueError(f"--vary {text}: {problem}")
        if field == "feature_stride":
            raise ValueError(f"--vary {text}: features have the strides of --strides")
        if field in values or not listed.strip():
            raise ValueError(f"--vary {text}: write each field once, as {field}=value,value,…")
        try:
            values[field] = yaml.safe_load(f"[{listed}]")
        except yaml.YAMLError as error:
            raise ValueError(f"--vary {text}: the values cannot be read as YAML") from error
    if (number := math.prod(map(len, values.values()))) > most:
        sizes = " · ".join(f"{len(listed_values)} of {field}" for field, listed_values in values.items())
        raise ValueError(f"the grid has {number} protocols ({sizes}), more than {most}; --most {number} if it is meant")
    protocols, refused = [], []
    for combination in product(*values.values()):
        try:
            protocols.append(base.with_changes(**dict(zip(values, combination, strict=True))))
        except ValueError as error:
            refused.append(str(error))
    if not protocols:
        raise ValueError(f"no combination of the grid is a protocol: {refused[0]}")
    if refused:
        print(f"left out: {len(refused)} combinations that no protocol can have; {refused[0]}", file=sys.stderr)
    return list(dict.fromkeys(protocols))


def named_grid(names: Sequence[str], benchmark: str, like: Sequence[str] = ()) -> list[PropagationProtocol]:
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
    return [PropagationProtocol.named(name, benchmark, like) for name in dict.fromkeys(names)]


def single_changes(base: PropagationProtocol, benchmark: str, like: Sequence[str] = ()) -> list[PropagationProtocol]:
    """Return each protocol that differs from a base in one field, by a value that a named protocol has.

    Args:
        base: the protocol.
        benchmark: see `named_grid`.
        like: see `named_grid`.
    """
    others = named_grid(["all"], benchmark, like)
    found = []
    for field, other in product(base.fields().keys() - SET_BY_NETWORK, others):
        with contextlib.suppress(ValueError):  # fields that depend on each other
            found.append(base.with_changes(**{field: getattr(other, field)}))
    return sorted(set(found) - {base}, key=lambda protocol: protocol.name)


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
    own = first.fields()
    values = {k: v for k, v in second.fields().items() if k not in SET_BY_NETWORK and v != own[k]}
    if not values:
        raise ValueError(f"{first.name} and {second.name} have the same fields")
    path: list[tuple[str, PropagationProtocol]] = []
    current, changes = first, dict[str, Any]()
    for field in reversed(values) if backwards else values:
        changes[field] = values[field]
        with contextlib.suppress(ValueError):  # a value that needs that of a later field waits for it
            current = current.with_changes(**changes)
            path.append((", ".join(changes), current))
            changes = {}
    if changes:
        raise ValueError(f"{', '.join(changes)} of {second.name} cannot be taken over by {first.name}")
    return path
