"""List the named protocols, show the fields of a protocol with their sources, or compare two protocols."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from ..near_names import CommandParser
from ..protocols import EvaluationProtocol
from ..results.published import kinds


def command(args: Sequence[str]) -> None:
    """Run `vidcorr protocols` with its arguments.

    Raises:
        ValueError: for an unknown name, or a benchmark without values in the source.
    """
    parser = CommandParser(prog="vidcorr protocols", description=__doc__)
    parser.add_argument("name", nargs="?", help="protocol, with or without changed fields: vfs+radius=6")
    parser.add_argument("other", nargs="?", help="second protocol, to compare")
    flags = parser.parse_args(list(args))
    if flags.name is None:
        for kind in kinds():
            print(f"{kind.kind}:")
            for name, source in kind.sources().items():
                print(f"  {name:16} {', '.join(source.values)}\n{'':19}{source.code}")  # the code below the benchmarks
        return
    shown = named(flags.name)
    if flags.other is None:
        for _, of_kind in groupby(shown, key=lambda key: key[0]):  # a table for each kind of protocols
            print(described([shown[key] for key in of_kind]))
        return
    others = named(flags.other)
    shared = [key for key in shown if key in others]
    if not shared:
        raise ValueError(f"{flags.name} and {flags.other} have no benchmark in common")
    for key in shared:
        print(described([shown[key], others[key]], only_different=True))


def named(name: str) -> dict[tuple[str, str], EvaluationProtocol]:
    """Return kind and benchmark → protocol of a name, which several kinds may have.

    Raises:
        ValueError: for an unknown name, or changed fields that no kind with the name has.
    """
    found: dict[tuple[str, str], EvaluationProtocol] = {}
    refusal = f"there is no protocol {name}; vidcorr protocols lists them"
    for kind in kinds():
        source = kind.sources().get(name.partition("+")[0])
        benchmarks = source.values if source else ()
        for benchmark in benchmarks:
            try:
                found[kind.kind, benchmark] = kind.named(name, benchmark)
            except ValueError as error:  # another kind may have the changed fields
                refusal = str(error)
    if not found:
        raise ValueError(refusal)
    return found


def described(protocols: Sequence[EvaluationProtocol], only_different: bool = False) -> str:
    """Return protocols of one kind as a table, a column each, with their sources and notes.

    Args:
        protocols: the protocols; a star marks a value that is our default, a tilde one that is inferred.
        only_different: leave equal fields out.
    """
    from ..results.formats import grid

    rows = []
    fields: dict[str, None] = {}
    for protocol in protocols:
        fields |= dict.fromkeys(protocol.value_fields())
    for field in fields:
        cells = [_cell(protocol, field) for protocol in protocols]
        values = {getattr(protocol, field, None) for protocol in protocols}
        if not (only_different and len(values) == 1):
            rows.append([field, *cells])
    heads = [f"{protocol.name}, {protocol.benchmark} ({protocol.digest()})" for protocol in protocols]
    text = grid("text", ["", *heads], rows, right=len(heads) + 1)
    text += "* our default, the source does not set it; ~ inferred, as said below\n"
    notes: dict[str, None] = {}  # what benchmarks of one source share stands once
    for protocol in protocols:
        for key, about in protocol.origin().items():
            place = f"{protocol.source}, {protocol.benchmark}" if key == "inferred" else protocol.source
            notes[f"{place}, {key}: {about}\n"] = None
    return text + "".join(notes)


def _cell(protocol: EvaluationProtocol, field: str) -> str:
    """Return a field's value and the sign of its origin; "" if the class lacks the field."""
    if field not in protocol.value_fields():
        return ""
    value = getattr(protocol, field)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if field in protocol.changes:
        return text
    stated = protocol.sources()[protocol.source].values[protocol.benchmark or ""]
    if field not in stated:
        return f"{text} *"
    is_inferred = re.search(rf"\b{field}\b", protocol.origin().get("inferred", ""))
    return f"{text} ~" if is_inferred else text
