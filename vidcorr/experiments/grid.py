"""Sets of protocols: grids, named protocols, and single changes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from itertools import product
from typing import Any, TypeVar

from ..functional import PropagationProtocol
from ..functional.evaluation_protocol import EvaluationProtocol
from .configured import read_value

ProtocolT = TypeVar("ProtocolT", bound=EvaluationProtocol)


def read_grid(base: ProtocolT, varied: Sequence[str]) -> list[ProtocolT]:
    """Combine values of fields into protocols, named by their differences from a base.

    Invalid combinations are left out and counted on stderr.

    Args:
        base: protocol with the values of all other fields.
        varied: texts `field=value,value,…` with values in YAML (`topk=5,10,null`).

    Raises:
        UsageError: for values that cannot be read.
        ValueError: for an unknown field, a repeated field, a field without values, or no valid combination.
    """
    set_by_features = base.fields_with("set_by", "features")
    values: dict[str, list[Any]] = {}
    for text in varied:
        field, _, listed = text.partition("=")
        problem = base.misnamed(field)
        if problem:
            raise ValueError(f"--vary {text}: {problem}")
        if field in set_by_features:
            raise ValueError(f"--vary {text}: vary the features' stride by --stride")
        if field in values or not listed.strip():
            raise ValueError(f"--vary {text}: write every field once, as {field}=value,value,…")
        values[field] = read_value(f"[{listed}]", f"--vary {text}")
    protocols = []
    refused = []
    for combination in product(*values.values()):
        try:
            protocols.append(base.with_changes(**dict(zip(values, combination, strict=True))))
        except ValueError as error:
            refused.append(str(error))
    if not protocols:
        raise ValueError(f"no combination of the grid is a valid protocol: {refused[0]}")
    if refused:
        print(f"left out: {len(refused)} combinations that are no valid protocol: {refused[0]}", file=sys.stderr)
    return list(dict.fromkeys(protocols))


def named_grid(
    names: Sequence[str],
    benchmark: str,
    like: Sequence[str] = (),
    kind: type[EvaluationProtocol] = PropagationProtocol,
) -> list[Any]:
    """Return named protocols.

    Args:
        names: names of sources; `all` stands for every source with values for the benchmark.
        benchmark: name of the benchmark.
        like: fallback benchmarks, in order, for a source without values for `benchmark`.
        kind: class of the protocols.

    Raises:
        ValueError: for an unknown name, or a source without values for the benchmark.
    """
    if list(names) == ["all"]:
        names = []
        for name, source in kind.sources().items():
            if not source.values.keys().isdisjoint((benchmark, *like)):
                names.append(name)
    return [kind.named(name, benchmark, like) for name in dict.fromkeys(names)]


def single_changes(base: ProtocolT, benchmark: str, like: Sequence[str] = ()) -> list[ProtocolT]:
    """Return all protocols that differ from a base in a single field, with values of named protocols.

    Args:
        base: the base protocol.
        benchmark: name of the benchmark.
        like: fallback benchmarks, in order, for a source without values for `benchmark`.
    """
    others = named_grid(["all"], benchmark, like, type(base))
    changed: list[ProtocolT] = []
    own = base.fields_with("set_by", "features")
    fields = [field.name for field in base.value_fields() if field.name not in own]
    for field, other in product(fields, others):
        with contextlib.suppress(ValueError):  # fields that depend on each other
            changed.append(base.with_changes(**{field: getattr(other, field)}))
    return sorted(set(changed) - {base}, key=lambda protocol: protocol.name)
