"""Captions of tables: benchmarks, conditions and protocols of the results, their features, and differing fields."""

from collections.abc import Iterable, Mapping

from .cells import Cell
from .formats import listed
from .records import Record


def of_what(records: Iterable[Record]) -> str:
    """Return the benchmarks and protocols of the scores in words."""
    data: dict[str, dict[str, None]] = {}  # protocol → benchmarks with their conditions
    for record in records:
        result = record.result
        about = f" ({', '.join(result.conditions)})" if result.conditions else ""
        data.setdefault(result.stage.protocol.shared_name, {})[f"{result.data_set}{about}"] = None
    texts = []
    for protocol, of_protocol in data.items():
        by_protocol = f", by protocol {protocol}" if protocol else ""
        texts.append(f"on {listed(list(of_protocol))}{by_protocol}")
    return "; ".join(texts)


def views_of(rows: Mapping[str, Mapping[str, Cell]]) -> str:
    """Return stage, stride and normalisation of the rows' features in a sentence; empty if they have the same."""
    names: dict[str, dict[str, None]] = {}  # view → rows
    for name, row in rows.items():
        for cell in row.values():
            for record in cell.records:
                names.setdefault(record.view, {})[name] = None
    if len(names) < 2:
        return ""
    names.pop("", None)
    return f"Features: {'; '.join(f'{view} of {listed(list(of_view))}' for view, of_view in names.items())}"


def differing(records: Iterable[Record]) -> list[str]:
    """Return a sentence on the fields in which the protocols of a benchmark differ, for each with several."""
    protocols: dict[str, dict[str, dict[str, object]]] = {}  # benchmark → protocol → its fields
    for record in records:
        protocol = record.result.stage.protocol
        protocols.setdefault(record.result.data_set, {})[protocol.shared_name] = protocol.fields
    sentences = []
    for benchmark, of_benchmark in protocols.items():
        first, *others = of_benchmark.values()
        fields = [name for name, value in first.items() if any(other.get(name) != value for other in others)]
        fields = [name for name in fields if name not in ("name", "feature_stride")]  # the features set the stride
        if fields:
            command = f"vidcorr protocols {' '.join(list(of_benchmark)[:2])}"
            sentences.append(f"The protocols on {benchmark} differ in {listed(fields)}: {command}")
    return sentences
