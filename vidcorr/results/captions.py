"""Captions of tables: benchmarks, conditions and protocols of the results, their features, and differing fields."""

from collections.abc import Callable, Collection, Iterable, Mapping
from math import ceil

from .cells import Cell
from .formats import listed
from .records import ScoreRecord
from .result import Result

ENLARGED = 2
"""Frames that a protocol enlarges more than this are too small for it."""
USUAL_SIDE = 480
"""Short side, pixels, for which a radius in cells is chosen where a protocol does not resize."""
SMALL_SIDE = 200
"""Short sides below this are too small for such a radius: it spans most of the frame."""


def on_data_sets(shared: Mapping[str, tuple[str, str]]) -> str:
    """Return benchmarks in words, with the protocol and the conditions that all their columns share."""
    benchmarks: dict[str, list[str]] = {}
    for name, (protocol, conditions) in shared.items():
        by_protocol = f"by {protocol}" if protocol else ""
        benchmarks.setdefault(", ".join(filter(None, [conditions, by_protocol])), []).append(name)
    parts = [f"{listed(names)} ({about})" if about else listed(names) for about, names in benchmarks.items()]
    return f"on {listed(parts)}"


def sentences_on_units(records: Iterable[ScoreRecord]) -> list[str]:
    """Return a sentence for each score that is no fraction."""
    units: dict[str, str] = {}
    for record in records:
        unit = record.result.declaration(record.key).unit
        if unit:
            units[record.key] = unit
    return [f"{key} is in {unit}" for key, unit in units.items()]


def doubts(records: Iterable[ScoreRecord]) -> list[str]:
    """Return what is doubtful about results, each with its row and benchmark."""
    found: dict[str, None] = {}
    for record in records:
        for doubt in record.result.doubts:
            found[f"{record.name} on {record.result.data_set}: {doubt}"] = None
    return list(found)


def sentence_on_features(rows: Mapping[str, Mapping[str, Cell]]) -> str:
    """Return stage and stride of the rows' features in a sentence; empty if they have the same."""
    rows_by_features = _rows_by(rows, lambda record: record.features)
    if len(rows_by_features) < 2:
        return ""
    rows_by_features.pop("", None)  # such rows differ from the others, but have nothing to name
    texts = [f"{features} of {listed(names)}" for features, names in rows_by_features.items()]
    return f"Features: {'; '.join(texts)}"


def sentences_on_inputs(rows: Mapping[str, Mapping[str, Cell]]) -> str:
    """Return the RGB that the rows' networks got, and who states it; empty if no result has it."""
    rows_by_inputs = _rows_by(rows, lambda record: str(record.result.stage.input or ""))
    rows_by_inputs.pop("", None)
    if len(rows_by_inputs) == 1:
        return f"Input: {next(iter(rows_by_inputs))}"
    return ". ".join(f"Input of {listed(names)}: {text}" for text, names in rows_by_inputs.items())


def _rows_by(rows: Mapping[str, Mapping[str, Cell]], property_of: Callable[[ScoreRecord], str]) -> dict[str, list[str]]:
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


def sentences_on_frames(records: Collection[ScoreRecord]) -> list[str]:
    """Return sentences on the frames of each benchmark: those that are scored, and how much small ones are enlarged."""
    scored: dict[str, dict[str, None]] = {}  # frames → benchmarks
    enlarged: dict[str, dict[str, None]] = {}  # sentence → protocols
    for record in records:
        result = record.result
        rules = result.data.get("rules")
        if isinstance(rules, dict) and "frames" in rules:
            scored.setdefault(str(rules["frames"]), {})[result.data_set] = None
        text = _sentence_on_enlarged(result)
        if text:
            enlarged.setdefault(text, {})[result.stage.protocol.shared_name] = None
    texts = [f"{frames} ({listed(list(names))})" for frames, names in scored.items()]
    sentences = [f"Scored frames: {'; '.join(texts)}"] if texts else []
    for text, protocols in enlarged.items():
        by_protocols = listed(list(protocols)) if len(protocols) <= 2 else f"{len(protocols)} protocols"
        sentences.append(f"{text} by {by_protocols}: scores saturate")
    return sentences + _sentences_on_radius(records)


def _sentences_on_radius(records: Collection[ScoreRecord]) -> list[str]:
    """Return the radius in proportion to the smallest frames, where these are too small for the protocol's own."""
    data_sets: dict[tuple[int, int], dict[str, None]] = {}  # side of the frames, radius in proportion → benchmarks
    protocols: dict[tuple[int, int], dict[str, None]] = {}
    for record in records:
        result = record.result
        smallest, *_ = result.data.get("short_sides") or [0]
        protocol = result.stage.protocol
        radius = protocol.fields.get("radius")
        in_cells = radius and protocol.fields.get("radius_unit") == "cell" and "radius=" not in protocol.name
        if not in_cells or protocol.fields.get("input_size") or not 0 < smallest < SMALL_SIDE:
            continue
        case = smallest, ceil(radius * smallest / USUAL_SIDE)
        data_sets.setdefault(case, {})[result.data_set] = None
        protocols.setdefault(case, {})[protocol.shared_name] = None
    sentences = []
    for (side, fitting), names in data_sets.items():
        by_protocols = listed(list(protocols[side, fitting]))
        text = f"Frames of {listed(list(names))} are {side} px, the radius of {by_protocols} is for {USUAL_SIDE} px"
        sentences.append(f"{text}: radius={fitting} is in proportion")
    return sentences


def _sentence_on_enlarged(result: Result) -> str:
    """Return how much the protocol enlarges the smallest frames; empty if that is little, or not known."""
    smallest, *_ = result.data.get("short_sides") or [0]
    fields = result.stage.protocol.fields
    size = fields.get("input_size")
    side = min(size) if isinstance(size, list) else size
    if fields.get("input_side") == "long":  # results do not have the long sides of the frames
        return ""
    if not smallest or not side or side <= ENLARGED * smallest:
        return ""
    return f"Frames of {result.data_set}, {smallest} px, are enlarged {side / smallest:.3g} times"


def sentences_on_protocols(records: Iterable[ScoreRecord]) -> list[str]:
    """Return a sentence on the fields in which the protocols of a benchmark differ, for each with several."""
    protocols: dict[str, dict[str, dict[str, object]]] = {}  # benchmark → protocol → its fields
    for record in records:
        protocol = record.result.stage.protocol
        protocols.setdefault(record.result.data_set, {})[protocol.shared_name] = protocol.fields
    sentences = []
    for benchmark, fields_of_protocols in protocols.items():
        first, *others = fields_of_protocols.values()
        changed: set[str] = set()
        for other in others:
            changed.update(name for name, value in first.items() if other.get(name) != value)
        changed -= {"name", "feature_stride"}  # the features set the stride
        fields = [name for name in first if name in changed]  # in the order of the protocol
        if fields:
            command = f"vidcorr protocols {' '.join(list(fields_of_protocols)[:2])}"
            sentences.append(f"The protocols on {benchmark} differ in {listed(fields)}: {command}")
    return sentences
