"""Results and rows of a benchmark run in its folder."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidcorr.results.provenance import Provenance
from vidcorr.results.published import protocol_named, sets_of_papers
from vidcorr.results.result import Network, ProtocolFacts, Result, Row, Setup


def davis_result(scores: Mapping[str, float] | None = None, **fields: Any) -> Result:
    """Return a result of DAVIS by a network "A"; `fields` are further fields."""
    return Result(**{"benchmark": "davis", "network": Network(name="A"), "scores": dict(scores or {})} | fields)


def result_on_papers_davis(protocol: str, name: str, count: int = 0, **fields: Any) -> Result:
    """Return a result by a named protocol on the DAVIS of papers, the whole test set or some sequences of it."""
    facts = dict(sets_of_papers()["davis"])
    whole = facts.pop("sequences")
    about = {
        "network": Network(name=name),
        "stage": Setup(protocol=ProtocolFacts(**protocol_named(protocol, "davis").facts())),
        "data": facts,
        "sequences": list(map(str, range(count or whole))),
        "scores": {"J&F-Mean": 0.61, "J-Mean": 0.5},
    }
    return davis_result(**about | fields)


def write_results(
    folder: Path,
    scores: Mapping[str, float],
    network: str = "ResNet-18",
    digest: str = "",
    sequences: int = 0,
    videos: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    **about: Any,
) -> Path:
    """Write a result, of DAVIS where nothing else is said; return its folder.

    Args:
        folder: where it goes.
        scores: by name.
        network: its name in tables.
        digest: of the protocol `vfs`; "": no protocol.
        sequences: how many.
        videos: column → sequence → values of its objects.
        about: other fields of the result, fields of its provenance, or facts of its data.
    """
    protocol = ProtocolFacts(name="vfs", digest=digest, shared_name="vfs", shared=digest) if digest else ProtocolFacts()
    columns = videos or {}
    rows = []
    for video, objects in next(iter(columns.values()), {}).items():
        for number in range(len(objects)):
            values = {column: of_videos[video][number] for column, of_videos in columns.items()}
            rows.append(Row(video=video, object=str(number + 1), values=values))
    provenance = {key: about.pop(key) for key in list(about) if key in Provenance.model_fields}
    fields = {key: about.pop(key) for key in list(about) if key in Result.model_fields}
    content = {
        "network": Network(name=network, seed=about.pop("network_seed", None), recipe=about.pop("recipe", "")),
        "stage": Setup(protocol=protocol),
        "sequences": [str(number) for number in range(sequences)],
        "conditions": [f"{sequences} sequences"],
        "rows": rows,
        "data": about,
        "provenance": Provenance(**provenance),
    }
    davis_result(scores, **content | fields).save(folder)
    return folder


def rows_of(folder: Path, name: str = "per_sequence.csv") -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    return list(csv.DictReader((folder / name).open()))
