"""A study: rows, seeds and evaluations in YAML, and their commands."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator
from typing_extensions import Self

from ..errors import near
from ..results.checked import first_mistake, unknown_key
from ..results.result import RESULTS_FILE
from ..videos.files import slug

CHECKPOINT = "lightning_logs/run/checkpoints/last.ckpt"
"""Last checkpoint in the folder of a training."""


def _arguments(value: object) -> tuple[str, ...]:
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
        train: arguments of `vidcorr fit`, without `flags`; None for a row without a training.
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


class Command(NamedTuple):
    """A command of a study.

    Attributes:
        words: the command without `vidcorr`.
        done: folder below which a `results.json` shows that the command is done; None for a training, whose evaluations
            show it.
    """

    words: tuple[str, ...]
    done: Path | None = None

    @property
    def is_done(self) -> bool:
        """True if the result is there."""
        return self.done is not None and any(self.done.glob(f"**/{RESULTS_FILE}"))


class Study(BaseModel, extra="forbid"):
    """A table of trainings: rows, seeds and common evaluations.

    Attributes:
        title: title of the table.
        source: table or figure of the paper, or empty.
        train: default of the rows' `train`.
        rows: rows in the order of the table.
        seeds: default of the rows' `seeds`.
        seed_flags: key `seed`: arguments added last to all trainings; `{seed}` in them is replaced.
        evaluations: key `evaluate`: name → arguments of `vidcorr evaluate` for a single benchmark and protocol.
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
                raise ValueError(
                    f"row {row.name!r}: `of` names {row.of!r}, which trains nothing: name a row with `train`"
                )
            row.seeds = row.seeds or self.trained(row).seeds
        names = [row.name for row in self.rows]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two rows have the name {twice[0]!r}; rename one")
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

    def lines(self, output: Path, only: Sequence[str] = (), seeds: Sequence[int] = ()) -> list[list[Command]]:
        """Return the commands of rows and seeds: a list per training or frozen network, with all its evaluations.

        The lists do not depend on each other, so a scheduler may run them in any order or together.

        Args:
            output: folder of the runs and results.
            only: names of rows; empty: all rows.
            seeds: seeds; empty: the study's. A row with its own seeds has no others.

        Raises:
            ValueError: for an unknown row.
        """
        lines: dict[Path, list[Command]] = {}
        for row in [self.row(name) for name in only] or self.rows:
            for seed in [seed for seed in seeds or row.seeds or self.seeds if not row.seeds or seed in row.seeds]:
                folder, training = self._training(row, seed, output)
                line = lines.setdefault(folder, training)
                line += self._evaluations(row, seed, output, folder)
        return list(lines.values())

    def _training(self, row: StudyRow, seed: int, output: Path) -> tuple[Path, list[Command]]:
        """Return the folder of a row's checkpoints for a seed, and the command that trains them, if any.

        The folder's name ends with a digest of the arguments: other arguments are another run.
        """
        trained = self.trained(row)
        given = (*trained.model, *(trained.train or ()), *trained.flags, *self.seed_flags)
        words = tuple(word.replace("{seed}", str(seed)) for word in given)
        folder = output / slug(trained.name) / f"seed-{seed}-{key_of(words)}"
        if trained.train is None:
            return folder, []
        # a named version has the checkpoint at a known place, also after the run has resumed
        logger = ("--trainer.logger", "TensorBoardLogger", "--trainer.logger.save_dir", str(folder))
        place = ("--trainer.default_root_dir", str(folder), *logger, "--trainer.logger.version", "run")
        return folder, [Command(("fit", *words, *place, "--ckpt_path", "last"))]

    def _evaluations(self, row: StudyRow, seed: int, output: Path, folder: Path) -> list[Command]:
        """Return the commands that evaluate a row for a seed, given the folder of its training."""
        network = (*row.model, "--seeds", str(seed)) if row.model else (str(folder / CHECKPOINT),)
        commands = []
        for name, common in self.evaluations.items():
            words = (*common, *row.evaluate.get(name, ()))
            place = output / slug(row.name) / folder.name / f"{slug(name)}-{key_of(words)}"
            commands.append(Command(("evaluate", *network, *words, "--output", str(place)), place))
        return commands


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
        raise ValueError("has no key `small`, so no small scale; run the study at full scale")
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
