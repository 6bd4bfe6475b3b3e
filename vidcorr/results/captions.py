"""Captions of tables: benchmarks, conditions and protocols of the results, their features, and differing fields."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil

from .cells import Cell
from .formats import listed
from .records import Column, ScoreRecord
from .result import Result

FEW = 2
"""Most protocols of a benchmark that a sentence names."""
ENLARGED = 2
"""Frames that a protocol enlarges more than this are too small for it."""
USUAL_SIDE = 480
"""Short side, pixels, for which a radius in cells is chosen where a protocol does not resize."""
SMALL_SIDE = 200
"""Short sides below this are too small for such a radius: it spans most of the frame."""


Rows = Mapping[str, Mapping[Column, Cell]]
"""Name of a row → column → cell."""


def on_data_sets(shared: Mapping[str, tuple[str, str]]) -> str:
    """Return benchmarks in words, with the protocol and the conditions that all their columns share."""
    benchmarks: dict[str, list[str]] = {}
    for name, (protocol, conditions) in shared.items():
        by_protocol = f"by {protocol}" if protocol else ""
        benchmarks.setdefault(", ".join(filter(None, [conditions, by_protocol])), []).append(name)
    parts = []
    for about, names in benchmarks.items():
        parts.append(f"{listed(names)} ({about})" if about else listed(names))
    return f"on {listed(parts)}"


def sentences_on_units(records: Iterable[ScoreRecord]) -> list[str]:
    """Return a sentence for each score that is no fraction."""
    sentences: dict[str, None] = {}
    for record in records:
        unit = record.result.declaration(record.key).unit
        if unit:
            sentences[f"{record.key} is in {unit}"] = None
    return list(sentences)


def sentences_on_data(records: Iterable[ScoreRecord]) -> list[str]:
    """Return a sentence for each benchmark whose results are of different data under its name."""
    rows_of: dict[str, dict[str, dict[str, None]]] = {}  # benchmark → digest of data → names of rows
    for record in records:
        of_benchmark = rows_of.setdefault(record.result.data_set, {})
        of_benchmark.setdefault(record.column.data or "not recorded", {})[record.name] = None
    sentences = []
    for benchmark, of_data in rows_of.items():
        if len(of_data) == 1:
            continue
        texts = [f"{listed(list(names))} (data {digest})" for digest, names in of_data.items()]
        about = "have other frames or annotations and are not compared"
        sentences.append(f"Rows of {benchmark} {about}: {', '.join(texts)}")
    return sentences


def doubts(cells: Iterable[Cell]) -> list[str]:
    """Return what is doubtful about results, each with its row and benchmark, and about published rows."""
    found: dict[str, None] = {}
    for cell in cells:
        if cell.paper and cell.paper.doubt:
            found[f"{cell.paper.name}: {cell.paper.doubt}"] = None
        for record in cell.records:
            for doubt in record.result.doubts:
                found[f"{record.name} on {record.result.data_set}: {doubt}"] = None
    return list(found)


def sentences_on_networks(rows: Rows) -> list[str]:
    """Return stage and stride of the rows' features where they differ, and the RGB that the networks got."""
    features = _rows_by(rows, lambda record: record.features)
    inputs = _rows_by(rows, lambda record: str(record.result.stage.input or ""))
    inputs.pop("", None)  # not recorded
    if len(inputs) == 1:
        return [f"Input: {next(iter(inputs))}", *_sentences_on_differing("Features", features)]
    return _sentences_on_differing("Features", features) + _sentences_on_differing("Input", inputs)


def _sentences_on_differing(head: str, rows_by_property: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a sentence that states each property with the rows that have it; none if all rows have the same."""
    if len(rows_by_property) < 2:
        return []
    texts = [f"{text} of {listed(names)}" for text, names in rows_by_property.items() if text]
    return [f"{head}: {'; '.join(texts)}"]


def _rows_by(rows: Rows, property_of: Callable[[ScoreRecord], str]) -> dict[str, list[str]]:
    """Return the properties of a row's records, in words → names of the rows that have them."""
    rows_by_properties: dict[str, list[str]] = {}
    for name, row in rows.items():
        properties: dict[str, None] = {}
        for cell in row.values():
            properties |= dict.fromkeys(map(property_of, cell.records))
        if properties:  # a published row has no records
            text = " and ".join(filter(None, properties))
            rows_by_properties.setdefault(text, []).append(name)
    return rows_by_properties


def sentences_on_frames(records: Iterable[ScoreRecord]) -> list[str]:
    """Return sentences on the frames of each benchmark: those that are scored, and those that are small."""
    results = [record.result for record in records]
    scored: dict[str, dict[str, None]] = {}  # frames → benchmarks
    for result in results:
        rules = result.data.get("rules")
        if isinstance(rules, dict) and "frames" in rules:
            scored.setdefault(str(rules["frames"]), {})[result.data_set] = None
    texts = [f"{frames} ({listed(list(names))})" for frames, names in scored.items()]
    sentences = [f"Scored frames: {'; '.join(texts)}"] if texts else []
    return sentences + _sentences_on_small_frames(results)


def _sentences_on_small_frames(results: Iterable[Result]) -> list[str]:
    """Return a sentence for each remark on frames that are too small for protocols, with the protocols."""
    small: dict[tuple[str, str], dict[str, dict[str, None]]] = {}  # remark, its field → benchmark → protocols
    for result in results:
        protocol = result.stage.protocol
        remark = _remark_on_small_frames(result)
        if remark:
            field = "input_size" if protocol.fields.get("input_size") else "radius"
            of_benchmark = small.setdefault((remark, f"{field}={protocol.fields[field]}"), {})
            of_benchmark.setdefault(result.data_set, {})[protocol.shared_name] = None
    sentences = []
    for (remark, setting), of_benchmarks in small.items():
        texts = []
        for benchmark, protocols in of_benchmarks.items():
            if len(protocols) > FEW:
                texts.append(f"{benchmark} by {len(protocols)} protocols with {setting}")  # what they share, once
            else:
                texts += [f"{benchmark} by {protocol}" for protocol in protocols]
        sentences.append(f"Frames of {listed(texts)} are {remark}")
    return sentences


def _remark_on_small_frames(result: Result) -> str:
    """Return what a protocol does with frames that are too small for it; empty if they are not, or it is not known."""
    smallest, *_ = result.data.get("short_sides") or [0]
    protocol = result.stage.protocol
    fields = protocol.fields
    size = fields.get("input_size")
    radius = fields.get("radius")
    if not smallest or fields.get("input_side") == "long":  # results do not have the long sides of the frames
        return ""
    if size:
        times = (min(size) if isinstance(size, list) else size) / smallest
        return f"{smallest} px, and enlarged {times:.3g} times: scores saturate" if times > ENLARGED else ""
    is_in_cells = radius and fields.get("radius_unit") == "cell" and "radius=" not in protocol.name
    if not is_in_cells or smallest >= SMALL_SIDE:
        return ""
    in_proportion = ceil(radius * smallest / USUAL_SIDE)
    return f"{smallest} px, the radius is for {USUAL_SIDE} px: radius={in_proportion} is in proportion"
