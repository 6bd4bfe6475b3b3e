"""List the named protocols, show the fields of a protocol with their sources, or compare two protocols."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..protocols import EvaluationProtocol


def command(args: Sequence[str]) -> None:
    """Run `vidcorr protocols` with its arguments.

    Raises:
        ValueError: for an unknown name, or a benchmark without values in the source.
    """
    parser = argparse.ArgumentParser(prog="vidcorr protocols", description=__doc__)
    parser.add_argument("name", nargs="?", help="protocol, with or without changed fields: vfs+radius=6")
    parser.add_argument("other", nargs="?", help="second protocol, to compare")
    flags = parser.parse_args(list(args))
    if flags.name is None:
        for kind, protocols in kinds().items():
            print(f"{kind}:")
            for name, source in protocols.sources().items():
                print(f"  {name:16} {', '.join(source.values)}\n{'':19}{source.code}")
        return
    shown = named(flags.name)
    if flags.other is None:
        for of_kind in shown.values():
            print(described(list(of_kind.values())))
        return
    others = named(flags.other)
    pairs = []
    for kind in shown.keys() & others.keys():
        for benchmark in shown[kind].keys() & others[kind].keys():
            pairs.append((shown[kind][benchmark], others[kind][benchmark]))
    if not pairs:
        raise ValueError(f"{flags.name} and {flags.other} have no benchmark in common")
    for pair in pairs:
        print(described(pair, only_different=True))


def kinds() -> dict[str, type[EvaluationProtocol]]:
    """Return kind of labels → class of protocols."""
    from ..protocols import MatchingProtocol, PointProtocol, PropagationProtocol, TrackingProtocol

    return {
        "masks and joints": PropagationProtocol,
        "points": PointProtocol,
        "boxes": TrackingProtocol,
        "pairs of pictures": MatchingProtocol,
    }


def named(name: str) -> dict[str, dict[str, EvaluationProtocol]]:
    """Return kind of labels → benchmark → protocol of a name.

    Raises:
        ValueError: for an unknown name.
    """
    found: dict[str, dict[str, EvaluationProtocol]] = {}
    refusal = f"there is no protocol {name}; vidcorr protocols lists them"
    for kind, protocols in kinds().items():
        source = protocols.sources().get(name.partition("+")[0])
        if source is not None:
            try:
                found[kind] = {benchmark: protocols.named(name, benchmark) for benchmark in source.values}
            except ValueError as error:  # another kind may have the changed fields
                refusal = str(error)
    if not found:
        raise ValueError(refusal)
    return found


def described(protocols: Sequence[EvaluationProtocol], only_different: bool = False) -> str:
    """Return protocols of one kind as a table, a column each, with their sources and notes.

    Args:
        protocols: the protocols.
        only_different: leave equal fields out.
    """
    from ..results.formats import grid

    rows = []
    for field in readable_fields(protocols[0]):
        values = [str(readable_fields(protocol)[field]) for protocol in protocols]
        if not only_different or len({value.removesuffix(" *") for value in values}) > 1:
            rows.append([field, *values])
    heads = [f"{protocol.name}, {protocol.benchmark} ({protocol.digest()})" for protocol in protocols]
    text = grid("text", ["", *heads], rows, right=len(heads) + 1)
    if not only_different:
        text += "* our default; the source does not set it\n"
    for protocol in {each.source: each for each in protocols}.values():
        text += "".join(f"{protocol.source}, {key}: {about}\n" for key, about in protocol.origin().items())
    return text


def readable_fields(protocol: EvaluationProtocol) -> dict[str, str]:
    """Return the values of a protocol: a star marks our defaults; the radius is in cells and pixels of the input."""
    set_by_source = protocol.sources()[protocol.source].values[protocol.benchmark or ""]
    fields = {}
    for field, value in protocol.fields().items():
        if field not in ("name", "benchmark"):
            is_default = field not in set_by_source and field not in protocol.changes
            fields[field] = f"{value} *" if is_default else str(value)
    radius = protocol.fields().get("radius")
    stride = protocol.fields().get("feature_stride")
    if radius is not None and stride is not None:
        cells = radius / stride if protocol.fields().get("radius_unit") == "pixel" else radius
        fields["radius"] = fields["radius"].replace(str(radius), f"{cells:g} cells, {cells * stride:g} px")
    return fields
