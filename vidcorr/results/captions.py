"""Captions of tables: benchmarks, conditions and protocols of the results, their features, and differing fields."""

from collections.abc import Callable, Iterable, Mapping

from .cells import Cell
from .formats import listed
from .records import ScoreRecord

ENLARGED = 2
"""Frames that a protocol enlarges more than this are too small for it."""


def of_what(records: Iterable[ScoreRecord]) -> str:
    """Return the benchmarks of the scores in words, each with its conditions and protocols."""
    data: dict[str, dict[str, dict[str, None]]] = {}  # benchmark → conditions → protocols
    for record in records:
        result = record.result
        of_set = data.setdefault(result.data_set, {})
        of_set.setdefault(", ".join(result.conditions), {})[result.stage.protocol.shared_name] = None
    texts = []
    for name, of_set in data.items():
        parts = []
        for conditions, protocols in of_set.items():
            by_protocol = listed(list(filter(None, protocols)))
            parts.append(", ".join(filter(None, [conditions, by_protocol and f"by {by_protocol}"])))
        about = "; ".join(filter(None, parts))
        texts.append(f"{name} ({about})" if about else name)
    return f"on {listed(texts)}"


def views_of(rows: Mapping[str, Mapping[str, Cell]]) -> str:
    """Return stage and stride of the rows' features in a sentence; empty if they have the same."""
    names = _rows_of(rows, lambda record: record.features)
    if len(names) < 2:
        return ""
    names.pop("", None)
    texts = [f"{features} of {listed(list(of_features))}" for features, of_features in names.items()]
    return f"Features: {'; '.join(texts)}"


def inputs_of(rows: Mapping[str, Mapping[str, Cell]]) -> str:
    """Return the RGB that the rows' networks got, and who states it, in a sentence each; empty if no result has it."""
    names = _rows_of(rows, lambda record: str(record.result.stage.input or ""))
    names.pop("", None)
    if len(names) == 1:
        return f"Input: {next(iter(names))}"
    return ". ".join(f"Input of {listed(list(of_text))}: {text}" for text, of_text in names.items())


def _rows_of(
    rows: Mapping[str, Mapping[str, Cell]], property_of: Callable[[ScoreRecord], str]
) -> dict[str, dict[str, None]]:
    """Return property of records → names of the rows."""
    names: dict[str, dict[str, None]] = {}
    for name, row in rows.items():
        for cell in row.values():
            for record in cell.records:
                names.setdefault(property_of(record), {})[name] = None
    return names


def frames_of(records: Iterable[ScoreRecord]) -> list[str]:
    """Return sentences on the frames of each benchmark: those that are scored, and how much small ones are enlarged."""
    scored: dict[str, dict[str, None]] = {}  # frames → benchmarks
    enlarged: dict[str, dict[str, None]] = {}  # sentence → protocols
    for record in records:
        result = record.result
        rules = result.data.get("rules")
        if isinstance(rules, dict) and "frames" in rules:
            scored.setdefault(str(rules["frames"]), {})[result.data_set] = None
        sides = result.data.get("short_sides") or [0]
        fields = result.stage.protocol.fields
        size = fields.get("input_size")
        shortest = min(size) if isinstance(size, list) else size
        if fields.get("input_side") == "long":  # results do not have the long sides of the frames
            shortest = None
        if sides[0] and shortest and shortest > ENLARGED * sides[0]:
            text = f"Frames of {result.data_set}, {sides[0]} px, are enlarged {shortest / sides[0]:.3g} times"
            enlarged.setdefault(text, {})[result.stage.protocol.shared_name] = None
    texts = [f"{frames} ({listed(list(names))})" for frames, names in scored.items()]
    sentences = [f"Scored frames: {'; '.join(texts)}"] if texts else []
    for text, protocols in enlarged.items():
        by_protocols = listed(list(protocols)) if len(protocols) <= 2 else f"{len(protocols)} protocols"
        sentences.append(f"{text} by {by_protocols}: scores saturate")
    return sentences


def differing(records: Iterable[ScoreRecord]) -> list[str]:
    """Return a sentence on the fields in which the protocols of a benchmark differ, for each with several."""
    protocols: dict[str, dict[str, dict[str, object]]] = {}  # benchmark → protocol → its fields
    for record in records:
        protocol = record.result.stage.protocol
        protocols.setdefault(record.result.data_set, {})[protocol.shared_name] = protocol.fields
    sentences = []
    for benchmark, of_benchmark in protocols.items():
        first, *others = of_benchmark.values()
        changed: set[str] = set()
        for other in others:
            changed.update(name for name, value in first.items() if other.get(name) != value)
        changed -= {"name", "feature_stride"}  # the features set the stride
        fields = list(filter(changed.__contains__, first))
        if fields:
            command = f"vidcorr protocols {' '.join(list(of_benchmark)[:2])}"
            sentences.append(f"The protocols on {benchmark} differ in {listed(fields)}: {command}")
    return sentences
