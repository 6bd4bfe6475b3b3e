"""The files that benchmark runs leave, read as data: a damaged or foreign one is named in one line."""

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from datamodules.reading.files import from_spreadsheet

Json = dict[str, Any]

LARGEST_SCORE = 1e300
"""Numbers beyond it, infinity too, are no scores and cannot be drawn; NaN is a score that is not defined."""


def _drawable(value: float) -> float:
    if abs(value) > LARGEST_SCORE:
        raise ValueError("is not a finite number")
    return value


Score = Annotated[float, AfterValidator(_drawable)]


class Checked(BaseModel):
    """Some fields of a file; the others may hold anything."""

    model_config = ConfigDict(strict=True)


class StoredProtocol(Checked):
    """The entry `protocol` of a results.json, or one of its list."""

    name: str
    digest: str


class PastScores(Checked):
    """An entry of `history` in a results.json."""

    epoch: int
    step: int
    scores: dict[str, Score]


class StoredResults(Checked):
    """The checked fields of a results.json."""

    benchmark: str
    scores: dict[str, Score]
    protocol: StoredProtocol | list[StoredProtocol] | None = None
    command: list[str] = []
    versions: dict[str, str] = {}
    protocol_source: dict[str, str] = {}
    history: list[PastScores] = []
    machine: dict[str, Any] = {}


class StoredReport(Checked):
    """The checked fields of a report.json."""

    sequences: list[str]


TEST_SETS: dict[str, dict[str, Any]] = {
    "davis": {"sequences": 30, "year": 2017, "split": "val", "resolution": "480p"},
    "davis_2016": {"sequences": 20, "year": 2016, "split": "val", "resolution": "480p"},
    "jhmdb": {"sequences": 268, "split": 1, "subset": "test"},
    "vip": {"sequences": 50, "split": "val"},
    "otb": {"sequences": 100},
}
"""Entries of results.json where a benchmark ran on the test set that papers report, as far as they are there. Other
test sets are scored by servers."""


def folder_of_epoch(epoch: int, step: int) -> str:
    """Return the name of the folder of a benchmark's results after an epoch (from 0) and a number of steps."""
    return f"epoch={epoch:03d}-step={step:06d}"


def epochs_and_step(folder: Path) -> tuple[int, int] | None:
    """Return the epochs trained and the optimiser steps that `folder_of_epoch` named a folder by; None for others."""
    match = re.fullmatch(r"epoch=(\d+)-step=(\d+)", folder.name)
    if match is None:
        return None
    epoch, step = int(match[1]), int(match[2])
    return epoch + 1 if step else 0, step  # step 0 is before training


def on_test_set(results: Mapping[str, Any]) -> bool:
    """Return whether results are over the whole test set that papers report, see `TEST_SETS`."""
    wanted = TEST_SETS.get(results["benchmark"])
    if wanted is None or "sequences" not in results or results.get("limit_sequences") is not None:
        return False
    return all(results.get(key, value) == value for key, value in wanted.items())


def read_as(path: Path, kind: str, model: type[BaseModel]) -> Json:
    """Read a JSON file that fits a model.

    Args:
        path: path of the file.
        kind: its name in an error, for example "results.json of a benchmark".
        model: what it is checked against; the content is returned as it is.

    Raises:
        ValueError: if it cannot be read or does not fit; the message names the file and the field.
    """
    try:
        content: Json = json.loads(path.read_text(encoding="utf-8"))
        model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its content"
        raise ValueError(f"{path}: is not a {kind}, or damaged ({where}: {first['msg']})") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not a {kind}, or damaged ({error})") from error
    return content


def read_results(path: Path) -> Json:
    """Read a results.json.

    Raises:
        ValueError: if it is damaged or not one of a benchmark; the message names it.
    """
    return read_as(path, "results.json of a benchmark", StoredResults)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a per_sequence.csv; no rows where there is no such file.

    Raises:
        ValueError: if it is damaged; the message names it.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows: list[dict[str, str]] = list(csv.DictReader(file, strict=True))
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{path}: is damaged ({error})") from error
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise ValueError(f"{path}: is damaged (row {number} has another number of columns than the first)")
    if rows and "Sequence" not in rows[0]:
        raise ValueError(f"{path}: is not the per_sequence.csv of a benchmark (it has no column Sequence)")
    return [{column: from_spreadsheet(cell) for column, cell in row.items()} for row in rows]


def read_sequences(folder: Path) -> list[str]:
    """Read the names of the sequences of a run from its report.json; none where there is no such file.

    Raises:
        ValueError: if the file is damaged; the message names it.
    """
    path = folder / "report.json"
    return read_as(path, "report.json of a benchmark", StoredReport)["sequences"] if path.is_file() else []


def protocols_of(results: Json) -> list[Json]:
    """Return the protocols of a run: one, or one for each stage."""
    found = results.get("protocol") or []
    return [found] if isinstance(found, dict) else found


def protocol_of(results: Json, stage: str) -> Json:
    """Return the protocol that the scores of a stage were measured by.

    Args:
        results: content of results.json.
        stage: what leads the score's key; empty where the run had one stage only.

    Returns:
        Name and digest; of all protocols where the file does not say which is the stage's; empty where it has none.
    """
    protocols, stages = protocols_of(results), results.get("stage")
    if len(protocols) > 1 and isinstance(stages, list) and len(stages) == len(protocols) and stage in stages:
        return protocols[stages.index(stage)]
    named = [protocol for protocol in protocols if protocol["name"] == stage]
    if len(protocols) > 1 and len(named) != 1:
        return {key: " and ".join(dict.fromkeys(protocol[key] for protocol in protocols)) for key in ("name", "digest")}
    return (named or protocols or [{}])[0]


def machine_of(results: Json) -> str:
    """Return the GPUs, else the processor, and the torch that a run used; empty where its file does not say."""
    machine = results.get("machine", {})
    gpus = machine.get("gpus")
    names = sorted({str(name) for name in gpus}) if isinstance(gpus, list) else []
    device = ", ".join(names) or str(machine.get("processor", ""))
    torch = results.get("versions", {}).get("torch")
    return f"{device}, torch {torch}" if device and torch else device
