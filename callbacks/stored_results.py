"""The files that benchmark runs leave, read as data: a damaged or foreign one is named in one line."""

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]

RESULTS: Json = {"benchmark": str, "scores": {str: float}}
PROTOCOL: Json = {"name": str, "digest": str}
PAST: Json = {"epoch": int, "step": int, "scores": {str: float}}
OPTIONAL: Json = {
    "command": [str],
    "versions": {str: str},
    "protocol_source": {str: str},
    "history": [PAST],
    "machine": {},
}
"""Fields of results.json that may be missing. A shape is a type; a list of items (of one of several shapes); a tuple,
for a list of that length; a dictionary from one type to a shape; or a dictionary with these fields, in addition to
others that may have any shape."""

MOST_LEVELS = 40
"""Levels of lists and objects within each other."""
LARGEST = 1e300
"""Numbers beyond it, infinity too, are no scores and cannot be drawn; NaN is a score that is not defined."""
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


def read_shaped(path: Path, kind: str, shape: Any, optional: Json | None = None) -> Json:
    """Read a JSON file of a shape.

    Args:
        path: path of the file.
        kind: its name in an error, for example "results.json of a benchmark".
        shape: see `OPTIONAL`.
        optional: shapes of fields that may be missing, where the shape is a dictionary with fields.

    Raises:
        ValueError: if it cannot be read or has another shape; the message names the file and the field.
    """
    try:
        content: Json = json.loads(path.read_text(encoding="utf-8"))
        if optional and isinstance(content, dict):
            shape = shape | {name: optional[name] for name in optional if name in content}
        wrong = misfit(content, shape) if _levels(content) <= MOST_LEVELS else "too many levels"
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not a {kind}, or damaged ({error})") from error
    if wrong is not None:
        raise ValueError(f"{path}: is not a {kind}, or damaged ({wrong})")
    return content


def read_results(path: Path) -> Json:
    """Read a results.json.

    Raises:
        ValueError: if it is damaged or not one of a benchmark; the message names it.
    """
    kind = "results.json of a benchmark"
    content = read_shaped(path, kind, RESULTS, OPTIONAL)
    found = content.get("protocol") or []
    wrong = misfit([found] if isinstance(found, dict) else found, [PROTOCOL])
    if wrong is not None:
        raise ValueError(f"{path}: is not a {kind}, or damaged (protocol: {wrong})")
    return content


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
    return rows


def read_sequences(folder: Path) -> list[str]:
    """Read the names of the sequences of a run from its report.json; none where there is no such file.

    Raises:
        ValueError: if the file is damaged; the message names it.
    """
    path = folder / "report.json"
    return read_shaped(path, "report.json of a benchmark", {"sequences": [str]})["sequences"] if path.is_file() else []


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
        return {key: " and ".join(dict.fromkeys(protocol[key] for protocol in protocols)) for key in PROTOCOL}
    return (named or protocols or [{}])[0]


def machine_of(results: Json) -> str:
    """Return the GPUs, else the processor, and the torch that a run used; empty where its file does not say."""
    machine = results.get("machine", {})
    gpus = machine.get("gpus")
    names = sorted({str(name) for name in gpus}) if isinstance(gpus, list) else []
    device = ", ".join(names) or str(machine.get("processor", ""))
    torch = results.get("versions", {}).get("torch")
    return f"{device}, torch {torch}" if device and torch else device


def misfit(value: Any, shape: Any, where: str = "") -> str | None:
    """Return where a value differs from a shape, in words; None where it fits."""
    at = where or "its content"
    if isinstance(shape, type):
        accepted: Any = (int, float) if shape is float else shape
        fits = isinstance(value, accepted) and (shape is bool or not isinstance(value, bool))
        if fits and shape is float and abs(value) > LARGEST:
            return f"{at} is not a finite number"
        return None if fits else f"{at} is not of type {shape.__name__}"
    if isinstance(shape, list | tuple):
        if not isinstance(value, list) or (isinstance(shape, tuple) and len(value) != len(shape)):
            return f"{at} is not a list" + (f" of {len(shape)}" if isinstance(shape, tuple) else "")
        choices = [[kind] for kind in shape] if isinstance(shape, tuple) else [shape] * len(value)
        for number, (item, kinds) in enumerate(zip(value, choices, strict=True)):
            if not any(item is None if kind is None else misfit(item, kind) is None for kind in kinds):
                return misfit(item, kinds[-1], f"{at}, item {number}")
        return None
    if not isinstance(value, dict):
        return f"{at} is not an object"
    if list(shape) == [str]:
        found = (misfit(item, shape[str], f"{at}, {name!r}") for name, item in value.items())
    else:
        missing = [name for name in shape if name not in value]
        if missing:
            return f"{where or 'it'} lacks {', '.join(missing)}"
        found = (misfit(value[name], kind, f"{name}") for name, kind in shape.items())
    return next(filter(None, found), None)


def _levels(value: Any) -> int:
    """Return how many lists and objects lie within each other, up to one more than is allowed."""
    level, inner = 0, [value]
    while inner and level <= MOST_LEVELS:
        inner = [
            item
            for one in inner
            if isinstance(one, dict | list)
            for item in (one.values() if isinstance(one, dict) else one)
        ]
        level += 1
    return level
