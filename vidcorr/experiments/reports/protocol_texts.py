"""The named protocols as text: their list, the fields of one with their sources, and what differs between two."""

import re
from collections.abc import Iterable, Sequence
from itertools import chain, groupby
from operator import attrgetter

from ...protocols import EvaluationProtocol
from ...results.formats import grid
from ...results.published import protocol_classes


def list_of_protocols() -> str:
    """Return a list of all named protocols as text, by kind: name, benchmarks, and the code that each follows."""
    lines = []
    for kind in protocol_classes():
        lines.append(f"{kind.kind}:\n")
        for name, source in kind.sources().items():
            lines.append(f"  {name:16} {', '.join(source.values)}\n{'':19}{source.code}\n")
    return "".join(lines)


def tables_of_protocol(name: str) -> str:
    """Return the protocols of a name as text: a table per kind, a column per benchmark.

    Raises:
        ValueError: for an unknown name, or changed fields that no kind with the name has.
    """
    protocols = protocols_of_name(name).values()
    return "\n".join(table_of(list(of_kind)) for _, of_kind in groupby(protocols, attrgetter("kind")))


def tables_of_differences(name: str, other: str) -> str:
    """Return the fields in which two protocols differ as text: a table per benchmark that both have.

    Raises:
        ValueError: for an unknown name, or protocols without a common benchmark.
    """
    shown = protocols_of_name(name)
    others = protocols_of_name(other)
    shared = [key for key in shown if key in others]
    if not shared:
        raise ValueError(f"{name} and {other} have no benchmark in common")
    return "\n".join(table_of([shown[key], others[key]], only_different=True) for key in shared)


def protocols_of_name(name: str) -> dict[tuple[str, str], EvaluationProtocol]:
    """Return (kind, benchmark) → protocol, for all kinds and benchmarks that have a protocol of this name.

    Raises:
        ValueError: for an unknown name, or changed fields that no kind with the name has.
    """
    found: dict[tuple[str, str], EvaluationProtocol] = {}
    refusals: list[str] = []
    stem = name.partition("+")[0]
    is_of_user = ":" in stem  # `module:Class` is tried on all benchmarks
    for kind in protocol_classes():
        sources = [source for key, source in kind.sources().items() if is_of_user or key == stem]
        for benchmark in dict.fromkeys(chain.from_iterable(source.values for source in sources)):
            try:
                found[kind.kind, benchmark] = kind.named(name, benchmark)
            except ValueError as error:
                refusals.append(str(error))
    if not found:
        refusals.sort(key=lambda refusal: "has no field" in refusal)  # a refused value says more than a missing field
        raise ValueError(refusals[0] if refusals else f"there is no protocol {name}; vidcorr protocols lists them")
    return found


def table_of(protocols: Sequence[EvaluationProtocol], only_different: bool = False) -> str:
    r"""Return a table of protocols of one kind, a row per field and a column per protocol, and lines on their sources.

    A star marks a value that is our default, a tilde a value that is inferred.

    Args:
        protocols: the protocols.
        only_different: True: leave out fields that are equal in all protocols.

    Example:
        >>> from vidcorr.protocols import PropagationProtocol
        >>> vfs = PropagationProtocol.named("vfs")
        >>> print("\n".join(table_of([vfs, vfs.with_changes(topk=5)], only_different=True).splitlines()[:2]))
              vfs, davis (80fa73d00846)  vfs+topk=5, davis (95152d6d0f90)
        topk  10                         5
    """
    rows = []
    for field in dict.fromkeys(chain.from_iterable(protocol.value_fields() for protocol in protocols)):
        values = {getattr(protocol, field, None) for protocol in protocols}
        if not (only_different and len(values) == 1):
            rows.append([field, *(_cell(protocol, field) for protocol in protocols)])
    heads = [f"{protocol.name}, {protocol.benchmark} ({protocol.digest()})" for protocol in protocols]
    text = grid("text", ["", *heads], rows, right=len(heads) + 1)
    text += "* our default, the source does not set it; ~ inferred, as said below\n"
    return text + _notes(protocols)


def _notes(protocols: Iterable[EvaluationProtocol]) -> str:
    """Return lines on the sources of protocols; equal lines of several benchmarks stand once.

    Example:
        >>> from vidcorr.protocols import PropagationProtocol
        >>> protocols = [PropagationProtocol.named("vfs", benchmark) for benchmark in ("davis", "vip", "jhmdb")]
        >>> [line.partition(": ")[0] for line in _notes(protocols).splitlines()]  # the code is that of all three
        ['vfs, code', 'vfs, vip, inferred', 'vfs, jhmdb, inferred']
    """
    lines: dict[str, None] = {}
    for protocol in protocols:
        for key, about in protocol.origin().items():
            # inferred values differ by benchmark; code and note are of the source
            place = f"{protocol.source}, {protocol.benchmark}" if key == "inferred" else protocol.source
            lines[f"{place}, {key}: {about}\n"] = None
    return "".join(lines)


def _cell(protocol: EvaluationProtocol, field: str) -> str:
    """Return a field's value as text, with * for our default and ~ for a value that its source leaves to infer."""
    if field not in protocol.value_fields():
        return ""
    value = getattr(protocol, field)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if field in protocol.changes:
        return text
    source = protocol.sources().get(protocol.source)  # the paper's entry in protocols.yaml; None for a user's own name
    if source is not None and field not in source.values[protocol.benchmark or ""]:  # the paper gives no value
        return f"{text} *"
    is_inferred = re.search(rf"\b{field}\b", protocol.origin().get("inferred", ""))
    return f"{text} ~" if is_inferred else text
