"""A study as data: its rows, and the commands per row and seed."""

from __future__ import annotations

import hashlib
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator
from typing_extensions import Self

from ..command_line.endings import near
from ..experiments.names import slug
from ..results.checked import first_mistake
from ..results.result import RESULTS_FILE

FOLDER = "--trainer.default_root_dir"
"""Flag of a command's output folder."""
DONE = "trained"
"""File in the folder of a finished training."""


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
        model: arguments that name a model to evaluate without training, for example `--model FrozenEncoder …`.
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


@dataclass(frozen=True)
class Step:
    """A command of a row and seed.

    Args:
        arguments: arguments after `vidcorr`.
        run: folder of the training and its evaluations.
        folder: folder of the step's result: results.json, or `DONE` and checkpoints. Its name ends with a digest of the
            arguments.
        evaluation: name of the evaluation; None for a training.
    """

    arguments: tuple[str, ...]
    run: Path
    folder: Path
    evaluation: str | None = None

    @property
    def line(self) -> str:
        """The command for a shell."""
        return shlex.join(("vidcorr", *self.arguments))

    @property
    def kind(self) -> str:
        """`fit`, or `validate` and the name of the evaluation."""
        return " ".join(filter(None, (self.arguments[0], self.evaluation)))

    @property
    def is_done(self) -> bool:
        """True if the result exists."""
        return (self.folder / (RESULTS_FILE if self.evaluation else DONE)).is_file()


class Study(BaseModel, extra="forbid"):
    """A table of trainings: rows, seeds and common evaluations.

    Attributes:
        title: title of the table.
        source: table or figure of the paper, or empty.
        train: default of the rows' `train`.
        rows: rows in the order of the table.
        seeds: default of the rows' `seeds`.
        seed_flags: key `seed`: arguments added last to all trainings; `{seed}` in them is replaced.
        evaluations: key `evaluate`: name → arguments after `validate --ckpt_path …`. The last config in the arguments
            ends with the benchmark.
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
        """Complete the rows with defaults; refuse unknown references and rows that would share result folders."""
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
        names = ((row, slug(name)) for row in self.rows for name in self.evaluations)
        taken = Counter((self.folder_of(row, Path()), slug(row.name), name) for row, name in names)
        if twice := [f"{row}-{evaluation}" for (_, row, evaluation), count in taken.items() if count > 1]:
            raise ValueError(f"two evaluations would have the same results, {twice[0]}; rename a row or an evaluation")
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

    def folder_of(self, row: StudyRow, output: Path) -> Path:
        """Return the folder of a row's checkpoints, with a folder `seed-N` per seed."""
        return output / slug(self.trained(row).name)

    def steps(self, row: StudyRow, seed: int, output: Path) -> list[Step]:
        """Return the commands of a row and seed in order: the training, if any, then the evaluations.

        A row with `of` begins with the training of that row.

        Args:
            row: row of this study.
            seed: value for `{seed}` in the arguments.
            output: folder of the runs.
        """
        trained, folder = self.trained(row), self.folder_of(row, output) / f"seed-{seed}"
        steps = []
        if trained.train is not None:
            given = (*trained.train, *trained.flags, *self.seed_flags)
            seeded = ["fit", *(argument.replace("{seed}", str(seed)) for argument in given)]
            folder = folder.with_name(f"{folder.name}-{key_of(seeded)}")
            steps.append(Step((*seeded, FOLDER, str(folder), "--ckpt_path", "last"), folder, folder))
        model = (*row.model, "--seed_everything", str(seed)) if row.model else ("--ckpt_path", "last")
        for name, arguments in self.evaluations.items():
            words = ("validate", *model, *arguments, *row.evaluate.get(name, ()))
            place = folder / "-".join((slug(row.name), slug(name), key_of(words)))
            steps.append(
                Step((*words, "--trainer.callbacks.output_dir", str(place), FOLDER, str(folder)), folder, place, name)
            )
        return steps


def key_of(arguments: Sequence[str]) -> str:
    """Return a digest of a command's arguments."""
    return hashlib.sha256("\0".join(arguments).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def read_study(path: Path, *, small: bool = False) -> Study:
    """Read a study from YAML (`docs/studies.md` describes the keys).

    Args:
        path: YAML file.
        small: replace keys of the study and its rows by their `small`.

    Raises:
        ValueError: for an unknown or missing key, a value of the wrong type, rows or evaluations that would share a
            folder, a reference to an unknown row, or a missing small scale; the message names the file.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from error
    try:
        study = Study.model_validate(content)
        return Study.model_validate(_at_small_scale(content)) if small else study
    except ValidationError as error:
        raise ValueError(f"{path}: {_unknown_key(error) or first_mistake(error)}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _unknown_key(error: ValidationError) -> str:
    """Return a line for the first unknown key of a study or row, with the similar known key; empty without one."""
    for mistake in error.errors():
        if mistake["type"] == "extra_forbidden":
            *place, key = map(str, mistake["loc"])
            fields = (StudyRow if place else Study).model_fields.items()
            known = [field.alias or name for name, field in fields]
            return f"{'.'.join([*place, key])}: unknown key{near(key, known)}"
    return ""


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
