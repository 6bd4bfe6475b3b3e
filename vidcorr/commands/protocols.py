"""List the named protocols, show the fields of a protocol with their sources, or compare two protocols."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import near

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
    parser.add_argument("--benchmark", help="benchmark of the values (default: the first that the source has)")
    flags = parser.parse_args(list(args))
    if flags.name is None:
        print("\n\n".join(lists_of_kinds()))
        return
    first = find_protocols(flags.name, flags.benchmark)
    if flags.other is None:
        texts = ["\n".join(description(protocol)) for protocol in first.values()]
        print("\n\n".join(texts))
        return
    second = find_protocols(flags.other, flags.benchmark)
    shared = first.keys() & second.keys()
    if not shared:
        kinds_of_both = f"{flags.name} is for {', '.join(first)}, {flags.other} for {', '.join(second)}"
        raise ValueError(f"{kinds_of_both}: they cannot be compared; name two protocols of one kind")
    for kind in shared:
        print("\n".join(differences(first[kind], second[kind])))


def lists_of_kinds() -> list[str]:
    """Return a list of the named protocols per kind of labels, with their benchmarks and sources."""
    lists: list[str] = []
    for kind, protocols in kinds().items():
        lines = [f"{kind}:"]
        for name, source in protocols.sources().items():
            lines.append(f"  {name:16} {', '.join(source.values)}")
            lines.append(f"{'':19}{source.code}")
        lists.append("\n".join(lines))
    return lists


def kinds() -> dict[str, type[EvaluationProtocol]]:
    """Return kind of labels → class of protocols."""
    from ..protocols import MatchingProtocol, PointProtocol, PropagationProtocol, TrackingProtocol

    return {
        "masks and joints": PropagationProtocol,
        "points": PointProtocol,
        "boxes": TrackingProtocol,
        "pairs of pictures": MatchingProtocol,
    }


def find_protocols(name: str, benchmark: str | None) -> dict[str, EvaluationProtocol]:
    """Return kind of labels → protocol for a name.

    Args:
        name: name of a source, also with changes: `vfs+radius=6`.
        benchmark: name of the benchmark; by default the kind's default, or the source's first benchmark.

    Raises:
        ValueError: for an unknown name, or a benchmark without values in the source.
    """
    base = name.partition("+")[0]
    refusal = ""
    named: dict[str, EvaluationProtocol] = {}
    for kind, protocols in kinds().items():
        if base not in protocols.sources():
            continue
        try:
            named[kind] = protocols.named(name, benchmark or protocols.first_benchmark(base))
        except ValueError as error:  # another kind may have the name and its changed fields
            refusal = refusal or str(error)
    if not named:
        known: list[str] = []
        for protocols in kinds().values():
            known += protocols.sources()
        advice = near(base, known) or "; vidcorr protocols lists them"
        raise ValueError(refusal or f"there is no protocol {base}{advice}")
    return named


def _readable_fields(protocol: EvaluationProtocol) -> dict[str, Any]:
    """Return the values of a protocol, with the radius in cells and in pixels of the input."""
    fields = protocol.fields()
    del fields["name"], fields["benchmark"]
    radius = fields.get("radius")
    stride = fields.get("feature_stride")
    if radius is None or stride is None:
        return fields
    cells = radius / stride if fields.get("radius_unit") == "pixel" else radius
    return fields | {"radius": f"{cells:g} cells, {cells * stride:g} px"}


def description(protocol: EvaluationProtocol) -> list[str]:
    """Return lines that show a protocol: its source, and all fields with the origin of their values."""
    benchmark = protocol.benchmark or ""
    values = protocol.sources()[protocol.source].values
    about = protocol.origin()
    lines = [f"{protocol.name}, {benchmark} (digest {protocol.digest()})", f"source: {about.pop('code')}"]
    others = [other for other in values if other != benchmark]
    if others:
        lines.append(f"other benchmarks: {', '.join(others)}")
    lines += [f"{key}: {text}" for key, text in about.items()]
    for field, shown in _readable_fields(protocol).items():
        origin = "source" if field in values[benchmark] else "default"
        if field in protocol.changes:
            origin = "changed"
        lines.append(f"  {field:24} {shown!s:28} {origin}")
    return lines


def differences(first: EvaluationProtocol, second: EvaluationProtocol) -> list[str]:
    """Return a heading, a line per field in which two protocols differ, and the notes on both."""
    values = _readable_fields(first)
    others = _readable_fields(second)
    different = [field for field in values if values[field] != others[field]]
    if not different:
        return [f"{first.name} and {second.name} are the same"]
    heading = f"{first.name}, {first.benchmark}"
    lines = [f"{'':26}{heading:28} {second.name}, {second.benchmark}"]
    lines += [f"  {field:24}{values[field]!s:28} {others[field]}" for field in different]
    for protocol in (first, second):
        note = protocol.origin().get("note")
        if note:
            lines.append(f"note on {protocol.name}: {note}")
    return lines
