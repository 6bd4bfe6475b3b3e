"""Choice of protocols by `--protocol` and `--change`: a benchmark takes those with values for it, and its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ..errors import near

if TYPE_CHECKING:  # it imports torch, which would delay the message of a mistake
    from ..benchmarks.base import Benchmark
    from ..protocols import EvaluationProtocol
    from .configured import Configured


@dataclass(frozen=True)
class ProtocolChoice:
    """Meaning of `--protocol` and `--change` for one benchmark.

    Attributes:
        names: the named protocols with values for it, without duplicates.
        changes: the changes of fields that its protocol has.
        refused: the named protocols, if it takes none of them.
    """

    names: list[str]
    changes: dict[str, Any]
    refused: Sequence[str]

    def arguments(self, configured: Configured) -> list[dict[str, Any]]:
        """Return the arguments of a benchmark for each protocol: `protocol` and `changes`, and a `name` for several."""
        own = configured.arguments
        if not self.names:
            if self.refused:
                default = own.get("protocol") or _default_of(configured.kind, "protocol")
                self.say_kept(own.get("name") or configured.kind.default_name, default)
            changes = (own.get("changes") or {}) | self.changes
            return [{"changes": changes or None}]
        found: list[dict[str, Any]] = []
        for name in self.names:
            arguments: dict[str, Any] = {"protocol": name, "changes": self.changes or None}
            if len(self.names) > 1:
                arguments["name"] = f"{own.get('name') or configured.kind.default_name}_{name}"
            found.append(arguments)
        return found

    def say_kept(self, benchmark: str, protocol: object) -> None:
        """Print that a benchmark keeps its protocol, because the refused protocols have no values for it."""
        print(f"{benchmark} keeps its protocol, {protocol}: {', '.join(self.refused)} has no values for it")


def _default_of(kind: type, argument: str) -> object:
    """Return the default of a dataclass's argument; None without such an argument."""
    for field in fields(kind):
        if field.name == argument:
            return field.default
    return None


def choose_protocols(
    kinds: Sequence[type[Benchmark]], names: Sequence[str] = (), changes: Mapping[str, Any] | None = None
) -> list[ProtocolChoice]:
    """Return the named protocols and the changes of fields that each benchmark takes.

    Args:
        kinds: classes of the benchmarks.
        names: named protocols. A benchmark takes the protocols with values for it.
        changes: new values of fields; a benchmark takes the fields that its protocol has.

    Raises:
        ValueError: for a name or a field that fits no benchmark, or a wrong field in a name.
    """
    changes = changes or {}
    choices: list[ProtocolChoice] = []
    with_protocol: dict[type[Benchmark], type[EvaluationProtocol]] = {}
    for kind in kinds:
        protocols = kind.protocol_kind
        if protocols is None:
            choices.append(ProtocolChoice([], {}, ()))
            continue
        data = (kind.default_name, *kind.protocols_like)
        fit = [name for name in dict.fromkeys(names) if _has_values(protocols, name, data)]
        for name in fit:
            protocols.named(name, data[0], data[1:])  # a wrong field in the name
        known_fields = [field.name for field in protocols.value_fields()]
        taken = {field: value for field, value in changes.items() if field in known_fields}
        refused = [] if fit else names
        choices.append(ProtocolChoice(fit, taken, refused))
        with_protocol[kind] = protocols
    _refuse_unused(with_protocol, choices, names, changes)
    return choices


def _has_values(protocols: type[EvaluationProtocol], name: str, benchmarks: Sequence[str]) -> bool:
    """Return whether the source of a named protocol defines values for any of the benchmarks."""
    source = protocols.sources().get(name.partition("+")[0])
    return source is not None and not source.values.keys().isdisjoint(benchmarks)


def _refuse_unused(
    protocols_of_kind: Mapping[type[Benchmark], type[EvaluationProtocol]],
    choices: Sequence[ProtocolChoice],
    names: Sequence[str],
    changes: Mapping[str, Any],
) -> None:
    """Raise for a named protocol or a changed field that no benchmark takes."""
    taken: set[str] = set()
    known: dict[str, None] = {}
    for choice in choices:
        taken.update(choice.names, choice.changes)
    for protocols in protocols_of_kind.values():
        known.update(dict.fromkeys(protocols.sources()))
    for name in names:
        if name not in taken:
            raise ValueError(f"--protocol {name}: no benchmark here takes it; known are {', '.join(known) or 'none'}")
    for field in changes:
        if field not in taken:
            if not protocols_of_kind:
                raise ValueError(f"--change {field}: no benchmark here has a protocol")
            kind, protocols = next(iter(protocols_of_kind.items()))
            known_fields = [field.name for field in protocols.value_fields()]
            hint = near(field, known_fields) or f"; it has {', '.join(known_fields)}"
            raise ValueError(f"--change {field}: the protocol of {kind.default_name} has no field {field!r}{hint}")


def protocols_of(
    benchmarks: Sequence[Benchmark], names: Sequence[str] = (), changes: Mapping[str, Any] | None = None
) -> list[list[Any]]:
    """Return the protocols of every benchmark; None alone for a benchmark without a protocol.

    Args:
        benchmarks: the benchmarks.
        names: named protocols. A benchmark takes the protocols with values for it. If no name fits, it keeps its
            default and prints a line.
        changes: new values of fields; a benchmark takes the fields that its protocol has.

    Raises:
        ValueError: for a name or a field that fits no benchmark, or a wrong field in a name.
    """
    found: list[list[Any]] = []
    choices = choose_protocols(list(map(type, benchmarks)), names, changes)
    for benchmark, choice in zip(benchmarks, choices, strict=True):
        default = benchmark.protocol
        if choice.names:
            data = (benchmark.default_name, benchmark.protocols_like, choice.changes)
            chosen = [type(default).named(name, *data) for name in choice.names]
        elif default is None:
            chosen = [None]
        else:
            if choice.refused:
                choice.say_kept(benchmark.name, default.name)
            chosen = [default.with_changes(**choice.changes)]
        found.append(list(dict.fromkeys(chosen)))
    return found
