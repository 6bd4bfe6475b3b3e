"""A study as data: its rows, and the trainings and evaluations per row and seed."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator
from typing_extensions import Self

from ..errors import near
from ..results.checked import first_mistake, unknown_key
from ..results.result import RESULTS_FILE
from .store import slug
from .training import Training


def _arguments(value: Any) -> tuple[str, ...]:
    """Split a text, or the texts of a list, as a shell does."""
    if isinstance(value, str):
        return tuple(shlex.split(value))
    if isinstance(value, list | tuple):
        return tuple(argument for text in value for argument in _arguments(text))
    raise ValueError(f"expected arguments as on a command line, got {value!r:.80}")


Name = Annotated[str, BeforeValidator(str)]
Arguments = Annotated[tuple[str, ...], BeforeValidator(_arguments)]
Seeds = Annotated[tuple[Annotated[int, Field(strict=True)], ...], Field(min_length=1)]


class StudyRow(BaseModel, extra="forbid"):
    """A row of a study.

    Attributes:
        name: name, unique in the study.
        train: arguments after `fit`, without `flags`; None for a row without a training.
        flags: arguments added to `train`.
        model: frozen network to evaluate without training, as `vidcorr evaluate` takes it, with or without
            `--pretrained`.
        of: name of another row; this row evaluates that row's checkpoints.
        evaluate: evaluation → arguments added to the study's arguments of this evaluation.
        published: evaluation → score of the paper in per cent, with the printed digits.
        download: source of the weights of `model`, for `vidcorr reproduce`.
        seeds: seeds of this row instead of the study's; a single seed is enough for a model without randomness.
        small: keys that replace keys of the row at the small scale; a list or text of arguments replaces `train`.
    """

    name: Name
    train: Arguments | None = None
    flags: Arguments = ()
    model: Arguments = ()
    of: Name | None = None
    evaluate: dict[Name, Arguments] = {}
    published: dict[Name, Annotated[float, Field(strict=True)]] = {}
    download: str = ""
    seeds: Seeds = ()
    small: str | list[Any] | dict[str, Any] = {}

    @property
    def network(self) -> str:
        """Name of the frozen network, without `--pretrained`."""
        return self.model[0]


@dataclass(frozen=True)
class StudyEvaluation:
    """An evaluation of a row and seed, a job of a store.

    Attributes:
        row: name of the row.
        seed: the seed.
        name: name of the evaluation.
        training: training of the checkpoint; None for a row without a training.
        model: see `StudyRow`.
        arguments: arguments of `vidcorr validate` that name the benchmark.
        folder: folder of the result in the store. It ends with a digest of the arguments.
    """

    row: str
    seed: int
    name: str
    training: Training | None
    model: tuple[str, ...]
    arguments: tuple[str, ...]
    folder: str
    done: ClassVar[str] = RESULTS_FILE

    @property
    def title(self) -> str:
        """Row, seed and evaluation in words."""
        return f"{self.row}, seed {self.seed} on {self.name}"


class Study(BaseModel, extra="forbid"):
    """A table of trainings: rows, seeds and common evaluations.

    Attributes:
        title: title of the table.
        source: table or figure of the paper, or empty.
        train: default of the rows' `train`.
        rows: rows in the order of the table.
        seeds: default of the rows' `seeds`.
        seed_flags: key `seed`: arguments added last to all trainings; `{seed}` in them is replaced.
        evaluations: key `evaluate`: name → configs and flags of `vidcorr validate` for a benchmark. The last config in
            the arguments ends with the benchmark.
        score: key in results.json, for example `J&F-Mean`; by default the benchmark's first score.
        base: name of the base row of differences; by default the first row.
        small: keys that replace keys of the study at the small scale.
    """

    title: Name
    source: Name = ""
    train: Arguments | None = None
    rows: Annotated[tuple[StudyRow, ...], Field(min_length=1)]
    seeds: Seeds
    seed_flags: Arguments = Field(default=("--seed_everything", "{seed}"), alias="seed")
    evaluations: dict[Name, Arguments] = Field(min_length=1, alias="evaluate")
    score: Name = ""
    base: Name = ""
    small: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Complete the rows with defaults; refuse unknown references and repeated names."""
        self.base = self.row(self.base or self.rows[0].name).name
        for row in self.rows:
            if sum(map(bool, (row.train or row.flags, row.model, row.of))) > 1:
                raise ValueError(f"row {row.name!r}: only one of `train` (with `flags`), `model` and `of` can be given")
            if not (row.model or row.of):
                row.train = row.train or self.train
                if not row.train:
                    raise ValueError(
                        f"row {row.name!r} trains nothing: give the study `train`, or the row `train`, `model` or `of`"
                    )
            if unknown := [name for name in (*row.evaluate, *row.published) if name not in self.evaluations]:
                known = ", ".join(self.evaluations)
                raise ValueError(f"row {row.name!r}: there is no evaluation {unknown[0]!r} ({known})")
        for row in self.rows:
            if row.of and self.trained(row).train is None:
                raise ValueError(f"row {row.name!r} is of {row.of!r}, which trains nothing itself")
            row.seeds = row.seeds or self.trained(row).seeds
        names = [row.name for row in self.rows]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two rows have the name {twice[0]!r}")
        return self

    def row(self, name: str) -> StudyRow:
        """Return a row by name.

        Raises:
            ValueError: if no row has this name.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise ValueError(f"there is no row {name!r}; the rows are {', '.join(row.name for row in self.rows)}")

    def trained(self, row: StudyRow) -> StudyRow:
        """Return the row that trains the checkpoints of a row: the row itself, or its `of`."""
        return self.row(row.of) if row.of else row

    def folder_of(self, row: StudyRow) -> Path:
        """Return the folder of a row's checkpoints in the store, with a folder `seed-N…` per seed."""
        return Path(slug(self.trained(row).name))

    def jobs(self, row: StudyRow, seed: int) -> list[Training | StudyEvaluation]:
        """Return the jobs of a row and seed: the training of its checkpoints, if any, then the evaluations.

        Args:
            row: row of this study.
            seed: value for `{seed}` in the arguments, and seed of random weights.
        """
        trained, training, folder = self.trained(row), None, self.folder_of(row) / f"seed-{seed}"
        if trained.train is not None:
            given = (*trained.train, *trained.flags, *self.seed_flags)
            words = tuple(argument.replace("{seed}", str(seed)) for argument in given)
            folder = folder.with_name(f"{folder.name}-{key_of(words)}")
            training = Training(f"training of {trained.name}, seed {seed}", words, str(folder))
        jobs: list[Training | StudyEvaluation] = [training] if training else []
        for name, common in self.evaluations.items():
            words = (*common, *row.evaluate.get(name, ()))
            place = folder / "-".join((slug(row.name), slug(name), key_of((*row.model, *words))))
            jobs.append(StudyEvaluation(row.name, seed, name, training, row.model, words, str(place)))
        return jobs


StudyJobs = list[Training | StudyEvaluation]


def key_of(arguments: Sequence[str]) -> str:
    """Return a digest of a command's arguments."""
    return hashlib.sha256("\0".join(arguments).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def read_study(path: Path, *, small: bool = False) -> Study:
    """Read a study from YAML (`docs/studies.md` describes the keys).

    Args:
        path: YAML file.
        small: replace keys of the study and its rows by their `small`.

    Raises:
        ValueError: for an unknown or missing key, a value of the wrong type, a reference to an unknown row, a
            repeated name, or a missing small scale; the message names the file.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from error
    try:
        study = Study.model_validate(content)
        return Study.model_validate(_at_small_scale(content)) if small else study
    except ValidationError as error:
        raise ValueError(f"{path}: {first_mistake(error)}{_similar_key(error)}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _similar_key(error: ValidationError) -> str:
    """Return "; did you mean …?" for the first unknown key of a study or row; empty without one."""
    *place, key = unknown_key(error) or ("",)
    fields = (StudyRow if place else Study).model_fields.items()
    return near(str(key), [field.alias or name for name, field in fields])


def _at_small_scale(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a valid study at its small scale."""
    if content.get("small") is None:
        raise ValueError("has no small scale (key `small`); run it without --small")
    rows = []
    for row in content["rows"]:
        small = row.get("small", {})
        changes = small if isinstance(small, dict) else {"train": small}
        if row.get("train") and "train" not in changes:
            raise ValueError(f"row {row['name']!r} has its own `train`; give it `small`, the same at the small scale")
        rows.append(row | changes)
    # the study's `train` is dropped: a full-scale training must not appear at the small scale
    title = f"{content['title']}, at a small scale"
    return content | {"train": None} | content["small"] | {"title": title, "rows": rows}
