"""Results and rows of a benchmark run in its folder."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from callbacks.results.result import Network, Protocol, Provenance, Result, Row, Shown, Stage


def results_of(folder: Path) -> Result:
    """Return the result in a folder."""
    return Result.load(folder)


def davis_result(scores: Mapping[str, float] | None = None, **fields: Any) -> Result:
    """Return a result of DAVIS by a network "A"; `fields` are further fields."""
    return Result(**{"benchmark": "davis", "network": Network(name="A"), "scores": dict(scores or {})} | fields)


def write_results(
    folder: Path,
    scores: Mapping[str, float],
    network: str = "ResNet-18",
    digest: str | Sequence[str] = "",
    sequences: int = 0,
    videos: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    **about: Any,
) -> Path:
    """Write a result, of DAVIS where nothing else is said; return its folder.

    Args:
        folder: where it goes.
        scores: by key; the stages are those of the keys.
        network: its name in tables.
        digest: of the protocol `vfs`, or of a protocol for each stage, which has the name of the stage; "": none.
        sequences: how many.
        videos: column → sequence → values of its objects.
        about: other fields of the result, or facts of its data.
    """
    stages = list(dict.fromkeys(key.rpartition("/")[0] for key in scores)) or [""]
    if isinstance(digest, str):
        protocols = [Protocol(name="vfs", digest=digest) if digest else Protocol()] * len(stages)
        layers = stages
    else:
        protocols = [Protocol(name=stage, digest=own) for stage, own in zip(stages, digest, strict=True)]
        layers = [""] * len(stages)
    columns = videos or {}
    rows = {
        (video, str(number)): {column: values[video][number - 1] for column, values in columns.items()}
        for values in columns.values()
        for video, objects in values.items()
        for number in range(1, len(objects) + 1)
    }
    command, machine, versions = about.pop("command", ()), about.pop("machine", {}), about.pop("versions", {})
    stated = {key: about.pop(key) for key in list(about) if key in Result.model_fields}
    content = {
        "benchmark": "davis",
        "network": Network(name=network, seed=about.pop("network_seed", None)),
        "scores": dict(scores),
        "stages": {
            name: Stage(layer=layer, protocol=protocol)
            for name, layer, protocol in zip(stages, layers, protocols, strict=True)
        },
        "sequences": [str(number) for number in range(sequences)],
        "rows": [Row(video=video, object=number, values=values) for (video, number), values in rows.items()],
        "shown": Shown(ranked_by=list(columns)),
        "data": about,
        "provenance": Provenance(command=command, machine=machine, versions=versions),
    }
    Result(**content | stated).save(folder)
    return folder


def rows_of(folder: Path, name: str = "per_sequence.csv") -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    return list(csv.DictReader((folder / name).open()))
