"""The result of a benchmark: one value, in memory and in a folder alike."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from typing_extensions import Self

from datamodules.reading.guards import require_regular
from datamodules.writing.files import write_atomically
from datamodules.writing.tables import csv_of_records

if TYPE_CHECKING:
    from lightning_modules.functional.evaluation_protocol import EvaluationProtocol

RESULTS_FILE = "results.json"
Json = dict[str, Any]


def plain(value: Any) -> Any:
    """Return a value as JSON gives it back: lists for tuples, text for paths, None for NaN."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):  # also numpy's
        return None if math.isnan(value) else float(value)
    return value if value is None or isinstance(value, str | bool | int) else str(value)


def _number(value: Any) -> Any:
    """Return a number as JSON gives it back, and NaN for None: the one object, so that equal results are equal."""
    return math.nan if value is None or value != value else plain(value)


def _as_tuple(value: Any) -> Any:
    """Return a tuple for a list, so that equal results are equal."""
    return tuple(value) if isinstance(value, list) else value


Score = Annotated[float, BeforeValidator(_number)]
"""A fraction, or NaN where it is not defined; null in JSON."""
Value = Annotated[bool | int | float | str, BeforeValidator(_number)]
"""A cell of a row; NaN where a number is not defined."""
Facts = Annotated[Json, BeforeValidator(plain)]
Texts = Annotated[Sequence[str], BeforeValidator(_as_tuple)]


class Checked(BaseModel):
    """A value that is checked when it is made; it ignores fields of a file that it does not know."""

    model_config = ConfigDict(strict=True, frozen=True)


class Exact(Checked):
    """A value that is checked when it is made, and refuses fields that it does not know."""

    model_config = ConfigDict(extra="forbid")


ModelT = TypeVar("ModelT", bound=BaseModel)


class Network(Exact):
    """The network that was evaluated.

    Attributes:
        name: in tables: the user's name for it, else its architecture, such as "ResNet-18".
        weights: where its weights are from, such as "weights of vfs_r18.ckpt" or "random weights"; empty where the
            name says it.
        spec: what `build_network` makes it from, such as `torchvision:resnet18`; empty where it has no name.
        seed: seed of random weights, or of the training; None where no seed is known.
        loaded: False only if the weights are known to be random.
        digest: digest of the weights; empty where they were not at hand.
    """

    name: str
    weights: str = ""
    spec: str = ""
    seed: int | None = None
    loaded: bool = True
    digest: str = ""

    @property
    def row(self) -> str:
        """The name of its row in a table, without the seed."""
        return ", ".join(filter(None, (self.name, self.weights)))

    def __str__(self) -> str:
        return self.row if self.loaded or self.seed is None else f"{self.row}, seed {self.seed}"


class Protocol(Exact):
    """The protocol by which a stage was scored.

    Attributes:
        name: its name; `+field=value` follows for each changed field.
        digest: equal for equal protocols.
        fields: all its fields.
        shared_name: name without the fields that the network sets, such as the stride of its features.
        shared: digest without these fields: two rows with it are comparable.
    """

    name: str = ""
    digest: str = ""
    fields: Facts = {}
    shared_name: str = ""
    shared: str = ""

    @classmethod
    def of(cls, protocol: EvaluationProtocol) -> Self:
        """Return the facts of a protocol."""
        shared = protocol.shared()
        return cls(
            name=protocol.name,
            digest=protocol.digest(),
            fields=protocol.fields(),
            shared_name=shared.name,
            shared=shared.digest(),
        )


class Stage(Exact):
    """Features that were scored separately.

    Attributes:
        layer: name of the map of the network; empty where it gives one.
        stride: pixels per cell of the map; None where nothing is tracked, or the network does not say.
        normalised_by: who normalised the frames; empty where the network declares how.
        protocol: without a name where the benchmark has none.
    """

    layer: str = ""
    stride: int | None = None
    normalised_by: str = ""
    protocol: Protocol = Protocol()


class Row(Exact):
    """The values of a sequence, or of one object of it.

    Attributes:
        video: name of the sequence.
        object: name or number of the object; empty where the values are the sequence's.
        stage: key of the result's stages.
        values: column → value; scores are fractions.
    """

    video: str
    object: str = ""
    stage: str = ""
    values: Mapping[str, Value]

    @property
    def name(self) -> str:
        """Name of the row: that of the sequence, or `VIDEO_OBJECT`."""
        return f"{self.video}_{self.object}" if self.object else self.video


class Evaluated(Exact):
    """The scores of one evaluation within a training, after a number of epochs and optimiser steps."""

    epoch: int
    step: int
    scores: dict[str, Score]


class Shown(Exact):
    """Content of the page beside the numbers of the evaluation.

    Attributes:
        ranked_by: columns of the rows whose mean ranks the sequences.
        animations: caption of the animations.
        charts: over all sequences, see `report.Chart.plain`.
        text_columns: columns of the rows that hold no fractions.
    """

    ranked_by: Texts = ()
    animations: str = ""
    charts: Annotated[Sequence[Facts], BeforeValidator(_as_tuple)] = ()
    text_columns: Texts = ()


class Provenance(Exact):
    """When, by which command, on which machine and by which versions a result was made."""

    date: str = ""
    command: Texts = ()
    machine: Facts = {}
    versions: dict[str, str] = {}

    @classmethod
    def now(cls) -> Self:
        """Return that of this process.

        GPUs and the native kernel are named by processes that have imported torch; others can have used neither.
        """
        gpus: list[str] = []
        compiled = False
        if "torch" in sys.modules:
            import torch

            from lightning_modules.functional.propagation.memory import kernel

            compiled = kernel() is not None
            if torch.cuda.is_available():
                gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        file = Path("/proc/cpuinfo")
        lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        machine = {
            "system": platform.platform(),
            "python": platform.python_version(),
            "processor": next(filter(None, names), "") or platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "compiled_search": compiled,
            "gpus": gpus,
        }
        versions = {}
        for package in ("vidcorr", "torch", "pytorch-lightning"):
            try:
                versions[package] = version(package)
            except PackageNotFoundError:
                versions[package] = "not installed"
        date = datetime.now().astimezone().isoformat(timespec="seconds")
        return cls(date=date, command=tuple(sys.argv), machine=machine, versions=versions)

    @property
    def device(self) -> str:
        """The GPUs, else the processor, and the version of torch; empty where they are not known."""
        gpus = self.machine.get("gpus")
        names = sorted({str(name) for name in gpus}) if isinstance(gpus, list) else []
        device = ", ".join(names) or str(self.machine.get("processor", ""))
        torch = self.versions.get("torch")
        return f"{device}, torch {torch}" if device and torch else device


TEST_SETS: dict[str, Json] = {
    "davis": {"sequences": 30, "year": 2017, "split": "val", "resolution": "480p"},
    "davis_2016": {"sequences": 20, "year": 2016, "split": "val", "resolution": "480p"},
    "jhmdb": {"sequences": 268, "split": 1, "subset": "test"},
    "vip": {"sequences": 50, "split": "val"},
    "otb": {"sequences": 100},
}
"""Benchmark → number of sequences and facts of the test set that papers report. Servers score other test sets."""
MEANS_OF = {"J&F-Mean": ("J-Mean", "F-Mean")}
"""Score → the columns of the rows whose mean it is, where it is not the column of its name."""


class Result(Exact):
    """The result of a benchmark.

    Attributes:
        benchmark: its name.
        network: what was evaluated.
        scores: key → fraction; with several stages `res4/J&F-Mean`.
        stages: name → features and protocol; one empty name where there is one stage.
        rows: the values of the sequences, or of their objects; of all stages.
        sequences: names of the sequences that were evaluated.
        limit_sequences: the limit on their number, if one was set.
        data: other facts that the scores depend on: year, split, rules, …
        protocol_source: the publication of the protocol, and what it leaves open.
        seconds: of the evaluation.
        seconds_of: kind of work → seconds of the first rank.
        ranks: number of processes.
        history: earlier evaluations of the same training, and then this one; empty outside a training.
        shown: what the page needs besides.
        provenance: date, command, machine and versions.

    Raises:
        ValueError: for a value of another type; pydantic's `ValidationError`.
    """

    benchmark: str
    network: Network
    scores: dict[str, Score]
    stages: dict[str, Stage] = {}
    sequences: Texts = ()
    limit_sequences: int | None = None
    data: Facts = {}
    protocol_source: dict[str, str] = {}
    seconds: float = 0.0
    seconds_of: dict[str, float] = {}
    ranks: int = 1
    history: Annotated[Sequence[Evaluated], BeforeValidator(_as_tuple)] = ()
    shown: Shown = Shown()
    provenance: Provenance = Field(default_factory=Provenance)
    rows: Annotated[Sequence[Row], BeforeValidator(_as_tuple)] = ()

    # Files

    def save(self, folder: str | Path) -> None:
        """Write per_sequence.csv, for people, and at last results.json, which holds everything; each atomically.

        Raises:
            OSError: if the folder cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if self.rows:
            write_atomically(folder / "per_sequence.csv", csv_of_records(self.records()))
        content = plain(self.model_dump())
        write_atomically(folder / RESULTS_FILE, json.dumps(content, indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a result by its folder or its results.json; it equals the result that was saved.

        Raises:
            ValueError: if it is no result, or damaged; the message names the file and the field.
        """
        path = Path(path)
        file = path if path.name == RESULTS_FILE else path / RESULTS_FILE
        return read_as(file, "results.json of a benchmark", cls)

    def records(self) -> list[Json]:
        """Return the rows as per_sequence.csv has them; an undefined value is None."""
        several = len({row.stage for row in self.rows}) > 1 or any(row.stage for row in self.rows)
        return [
            {**({"Stage": row.stage} if several else {}), "Sequence": row.name, **plain(row.values)}
            for row in self.rows
        ]

    # What readers ask

    def parts(self) -> list[Self]:
        """Return a result for each stage, in their order, in which it is the only stage."""
        found = []
        for name, stage in self.stages.items():
            rows = tuple(row.model_copy(update={"stage": ""}) for row in self.rows if row.stage == name)
            history = tuple(past.model_copy(update={"scores": _of_stage(name, past.scores)}) for past in self.history)
            own = {"scores": _of_stage(name, self.scores), "stages": {"": stage}, "rows": rows, "history": history}
            found.append(self.model_copy(update=own))
        return found

    @property
    def protocols(self) -> list[Protocol]:
        """The protocols, one for each stage."""
        return [stage.protocol for stage in self.stages.values() if stage.protocol.name]

    @property
    def on_test_set(self) -> bool:
        """True if it is over the whole test set that papers report, see `TEST_SETS`."""
        wanted = TEST_SETS.get(self.benchmark)
        if wanted is None or self.limit_sequences is not None:
            return False
        facts = self.data | {"sequences": len(self.sequences)}
        return all(facts.get(key, value) == value for key, value in wanted.items())

    def main_scores(self) -> list[str]:
        """Return the keys of the three most telling scores: the first, those that rank the sequences, then others."""
        ranking = [key for key in self.scores if key.rpartition("/")[2] in self.shown.ranked_by]
        return list(dict.fromkeys([*list(self.scores)[:1], *ranking, *self.scores]))[:3]

    def stage_of(self, key: str) -> tuple[str, str]:
        """Split the key of a score into the name of its stage and the score's own name."""
        stage, _, score = key.rpartition("/")
        return stage, score

    def values(self, key: str) -> dict[str, list[float]]:
        """Return the values that a score is the mean of: video → values of its objects.

        Args:
            key: with several stages `res4/J&F-Mean`. J&F is the mean of J and F.

        Returns:
            Nothing where the rows have no such column.
        """
        stage, score = self.stage_of(key)
        columns = MEANS_OF.get(score, (score,))
        found: dict[str, list[float]] = {}
        for row in self.rows:
            if row.stage == stage:
                cells = [cell for column in columns if isinstance(cell := row.values.get(column), int | float)]
                if len(cells) < len(columns):
                    return {}
                found.setdefault(row.video, []).append(fmean(cells))
        return found


def _of_stage(stage: str, scores: Mapping[str, float]) -> dict[str, float]:
    """Return the scores of one stage, without its name."""
    prefix = f"{stage}/" if stage else ""
    return {key.removeprefix(prefix): value for key, value in scores.items() if key.startswith(prefix)}


def read_as(path: Path, kind: str, model: type[ModelT]) -> ModelT:
    """Read a JSON file as a model.

    Args:
        path: path of the file.
        kind: its name in an error, for example "results.json of a benchmark".
        model: the type of the content.

    Raises:
        ValueError: if it cannot be read or does not fit; the message names the file and the field.
    """
    try:
        require_regular(path)  # reading a named pipe would wait for ever
        return model.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ValueError(f"{path}: is not a {kind}, or damaged ({first_mistake(error)})") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not a {kind}, or damaged ({error})") from error


def first_mistake(error: ValidationError) -> str:
    """Return in one line the field and the message of the first mistake."""
    first = error.errors()[0]
    return ": ".join([*filter(None, [".".join(map(str, first["loc"]))]), first["msg"].removeprefix("Value error, ")])


def results_below(folder: Path) -> dict[Path, Result]:
    """Read every result in or below a folder, or in a results.json: folder → result, sorted.

    Raises:
        ValueError: if there is none, or one is damaged.
    """
    found = [folder] if folder.name == RESULTS_FILE and folder.is_file() else sorted(folder.rglob(RESULTS_FILE))
    if not found:
        raise ValueError(f"{folder}: no results.json of a benchmark in or below it")
    return {file.parent: Result.load(file) for file in found}


def require_writable(folder: Path) -> None:
    """Make a folder and check that it can be written, before hours of work.

    Raises:
        OSError: naming the folder, if it cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder):
        pass
