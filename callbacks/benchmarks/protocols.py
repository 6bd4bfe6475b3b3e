"""The protocol that a benchmark by label propagation is given."""

from typing import Any

from lightning_modules.functional import PropagationProtocol

from .base import BenchmarkCallback


def propagation_protocol(
    benchmark: BenchmarkCallback, protocol: str | PropagationProtocol, changes: dict[str, Any] | None = None
) -> PropagationProtocol:
    """Return the protocol of a benchmark.

    Args:
        benchmark: its class's name, and then its `protocols_like`, say which values of a source a name stands for.
        protocol: name of a protocol, or a protocol, which is taken as it is.
        changes: fields to change; the protocol's name then says so.

    Raises:
        ValueError: if the source of the protocol defines no values for the benchmark, or a value is out of range.
    """
    if isinstance(protocol, str):
        protocol = PropagationProtocol.named(protocol, type(benchmark).name, benchmark.protocols_like)
    return protocol.with_changes(**changes) if changes else protocol
