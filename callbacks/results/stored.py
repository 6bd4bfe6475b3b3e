"""The files that benchmark runs leave, read as data: a damaged or foreign one is named in one line."""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from datamodules.reading.files import write_atomically

Json = dict[str, Any]


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
    scores: dict[str, float]


class StoredResults(Checked):
    """The checked fields of a results.json."""

    benchmark: str
    scores: dict[str, float]
    protocol: StoredProtocol | list[StoredProtocol] | None = None
    command: list[str] = []
    versions: dict[str, str] = {}
    protocol_source: dict[str, str] = {}
    history: list[PastScores] = []
    machine: dict[str, Any] = {}


class StoredReport(Checked):
    """The content of a report.json: what the page needs in addition to results.json, per_sequence.csv and animations.

    Attributes:
        sequences: names of those that were evaluated.
        ranked_by: columns of a row whose mean says how well a sequence went.
        shows: what is drawn over the frames of animations.
        charts: over all sequences, see `report.Chart.plain`.
        text_columns: columns of per_sequence.csv that hold no fractions.
    """

    sequences: Sequence[str] = []
    ranked_by: Sequence[str] = []
    shows: str = ""
    charts: Sequence[Json] = []
    text_columns: Sequence[str] = []

    def write(self, folder: Path) -> None:
        """Write report.json into the folder of a run."""
        write_atomically(folder / "report.json", json.dumps(self.model_dump()) + "\n")


TEST_SETS: dict[str, dict[str, Any]] = {
    "davis": {"sequences": 30, "year": 2017, "split": "val", "resolution": "480p"},
    "davis_2016": {"sequences": 20, "year": 2016, "split": "val", "resolution": "480p"},
    "jhmdb": {"sequences": 268, "split": 1, "subset": "test"},
    "vip": {"sequences": 50, "split": "val"},
    "otb": {"sequences": 100},
}
"""Entries of results.json where a benchmark ran on the test set that papers report, as far as they are there. Other
test sets are scored by servers."""


MEANS_OF = {"J&F-Mean": ("J-Mean", "F-Mean")}
"""Score → the columns of per_sequence.csv whose mean it is, where these are not the one of its name."""
EPOCH_FOLDER = "epoch={:03d}-step={:06d}"
"""Name of the folder of a benchmark's results after an epoch (from 0) and a number of steps."""


@dataclass(frozen=True)
class Run:
    """Files that a benchmark run left in its folder.

    Attributes:
        folder: the folder.
        results: content of results.json.
        rows: rows of per_sequence.csv, one for each sequence or object; none where there is no such file.
        report: content of report.json; its defaults where there is no such file.
    """

    folder: Path
    results: Json
    rows: list[dict[str, str]]
    report: StoredReport

    @property
    def protocols(self) -> list[Json]:
        """Name, digest and fields of its protocols: one, or one for each stage."""
        found = self.results.get("protocol") or []
        return [found] if isinstance(found, dict) else found

    @property
    def on_test_set(self) -> bool:
        """True if it is over the whole test set that papers report, see `TEST_SETS`."""
        wanted = TEST_SETS.get(self.results["benchmark"])
        if wanted is None or "sequences" not in self.results or self.results.get("limit_sequences") is not None:
            return False
        return all(self.results.get(key, value) == value for key, value in wanted.items())

    @property
    def machine(self) -> str:
        """The GPUs, else the processor, and the torch that it used; empty where its file does not say."""
        machine = self.results.get("machine", {})
        gpus = machine.get("gpus")
        names = sorted({str(name) for name in gpus}) if isinstance(gpus, list) else []
        device = ", ".join(names) or str(machine.get("processor", ""))
        torch = self.results.get("versions", {}).get("torch")
        return f"{device}, torch {torch}" if device and torch else device

    def main_scores(self) -> list[str]:
        """Return the keys of its three most telling scores: the first, those that rank the sequences, then others."""
        scores = list(self.results["scores"])
        ranking = [key for key in scores if key.rpartition("/")[2] in self.report.ranked_by]
        return list(dict.fromkeys([*scores[:1], *ranking, *scores]))[:3]

    def protocol_of(self, stage: str) -> Json:
        """Return the protocol that the scores of a stage were measured by.

        Args:
            stage: what leads the score's key; empty where the run had one stage only.

        Returns:
            Name, digest and fields; name and digest of all protocols where the file does not say which is the
            stage's; empty where it has none.
        """
        protocols, stages = self.protocols, self.results.get("stage")
        if len(protocols) < 2:
            return protocols[0] if protocols else {}
        if isinstance(stages, list) and len(stages) == len(protocols) and stage in stages:
            return protocols[stages.index(stage)]
        named = [protocol for protocol in protocols if protocol["name"] == stage]
        several = {key: " and ".join(dict.fromkeys(one[key] for one in protocols)) for key in ("name", "digest")}
        return named[0] if len(named) == 1 else several

    def rows_by_video(self, stage: str) -> dict[str, list[dict[str, str]]]:
        """Return video → its rows of a stage (empty where there is one only).

        Where every row has the name of an evaluated video, the rows are videos; otherwise they are objects, which are
        called VIDEO_ID. A number at the end is an object's where the videos are not known.
        """
        videos = set(self.report.sequences)
        of_objects = not videos.issuperset(row["Sequence"] for row in self.rows)
        found: dict[str, list[dict[str, str]]] = {}
        for row in (row for row in self.rows if row.get("Stage", "") == stage):
            video, _, number = row["Sequence"].rpartition("_")
            is_object = of_objects and (video in videos if videos else bool(video) and number.isdigit())
            found.setdefault(video if is_object else row["Sequence"], []).append(row)
        return found

    def values(self, key: str) -> dict[str, list[float]]:
        """Return the values that a score is the mean of: video → values of its objects.

        Args:
            key: with several stages `res4/J&F-Mean`. J&F is the mean of J and F.

        Returns:
            Nothing where the rows have no such column.
        """
        stage, _, score = key.rpartition("/")
        columns = MEANS_OF.get(score, (score,))
        try:
            return {
                video: [fmean(float(row[column]) for column in columns) for row in rows]
                for video, rows in self.rows_by_video(stage).items()
            }
        except (KeyError, ValueError):
            return {}

    def epochs(self) -> list[Json]:
        """Return epoch, step and scores of its training so far, in order; `this` marks the run itself."""
        past = [{**each, "this": False} for each in self.results.get("history", [])]
        if (trained := epochs_and_step(self.folder.resolve())) is None:
            return past
        return [*past, {"epoch": trained[0], "step": trained[1], "scores": self.results["scores"], "this": True}]


def read_run(path: Path) -> Run:
    """Read a benchmark run by its folder or its results.json.

    Raises:
        ValueError: for a file that is damaged or not one of a benchmark; the message names it.
    """
    folder = path.parent if path.name == "results.json" else path
    results = read_as(folder / "results.json", "results.json of a benchmark", StoredResults)
    rows = read_sequence_rows(folder / "per_sequence.csv")
    file = folder / "report.json"
    report = read_as(file, "report.json of a benchmark", StoredReport) if file.is_file() else {}
    return Run(folder, results, rows, StoredReport.model_validate(report))


def runs_below(folder: Path) -> list[Path]:
    """Return the folders with a `results.json`, in or below a folder; the file itself may be named too.

    Raises:
        ValueError: if there is none.
    """
    if folder.name == "results.json" and folder.is_file():
        return [folder.parent]
    found = sorted(path.parent for path in folder.rglob("results.json"))
    if not found:
        raise ValueError(f"{folder}: no results.json of a benchmark in or below it")
    return found


def epochs_and_step(folder: Path) -> tuple[int, int] | None:
    """Return the epochs trained and the optimiser steps that `EPOCH_FOLDER` named a folder by; None for others."""
    match = re.fullmatch(r"epoch=(\d+)-step=(\d+)", folder.name)
    if match is None:
        return None
    epoch, step = int(match[1]), int(match[2])
    return epoch + 1 if step else 0, step  # step 0 is before training


def first_mistake(error: ValidationError) -> str:
    """Return in one line the field and the message of the first mistake."""
    first = error.errors()[0]
    return ": ".join([*filter(None, [".".join(map(str, first["loc"]))]), first["msg"].removeprefix("Value error, ")])


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
        raise ValueError(f"{path}: is not a {kind}, or damaged ({first_mistake(error)})") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not a {kind}, or damaged ({error})") from error
    return content


def read_sequence_rows(path: Path) -> list[dict[str, str]]:
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
    return [{column: cell.removeprefix("'") for column, cell in row.items()} for row in rows]
