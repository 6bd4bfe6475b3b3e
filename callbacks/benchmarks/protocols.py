"""The protocol that a benchmark by label propagation is given."""

from typing import Any

from lightning_modules.functional import PropagationProtocol


def propagation_protocol(
    protocol: str | PropagationProtocol, benchmark: str, changes: dict[str, Any] | None = None
) -> PropagationProtocol:
    """Return a protocol with changes.

    Args:
        protocol: name of a protocol, or a protocol.
        benchmark: the benchmark whose values a name stands for, as `PropagationProtocol.named` takes it. A benchmark of
            your own declares a protocol as its default, or names the one whose kind of labels it has: "davis" for
            masks, "jhmdb" for joints.
        changes: fields to change; the protocol's name then says so.

    Raises:
        ValueError: if the source of the protocol defines no values for the benchmark, or a value is out of range.
    """
    if isinstance(protocol, str):
        protocol = PropagationProtocol.named(protocol, benchmark)
    return protocol.with_changes(**changes) if changes else protocol
