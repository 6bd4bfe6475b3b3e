"""Captions of tables: benchmarks, conditions and protocols of the results, and fields in which protocols differ."""

from collections.abc import Iterable, Mapping

from .formats import listed
from .records import Record


def of_what(records: Iterable[Record], settings: Mapping[str, str]) -> str:
    """Return the benchmarks and protocols of the scores in words; `settings`: protocol → its setting, or none."""
    data: dict[str, dict[str, None]] = {}  # protocol → benchmarks with their conditions
    for record in records:
        result = record.result
        about = f" ({', '.join(result.conditions)})" if result.conditions else ""
        data.setdefault(result.stage.protocol.shared_name, {})[f"{result.data_set}{about}"] = None
    texts = []
    for protocol, of_protocol in data.items():
        setting = f" ({settings[protocol]})" if protocol in settings else ""
        by_protocol = f", by protocol {protocol}{setting}" if protocol else ""
        texts.append(f"on {listed(list(of_protocol))}{by_protocol}")
    return "; ".join(texts)


def settings_of(records: Iterable[Record]) -> dict[str, str]:
    """Return protocol → size of the frames, stride and radius in words; empty if all protocols have the same."""
    settings: dict[str, dict[str, None]] = {}
    for record in records:
        settings.setdefault(record.result.stage.protocol.shared_name, {})[record.setting] = None
    settings.pop("", None)
    texts = {protocol: "; ".join(of_protocol) for protocol, of_protocol in settings.items()}
    return texts if len(set(texts.values())) > 1 else {}


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
