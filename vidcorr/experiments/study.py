"""A study: rows, seeds and evaluations in YAML, their commands, and the table of the results."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple, Self

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from ..results.checked import first_mistake
from ..results.records import Cell, Record, Table, score_of
from ..results.result import Result, has_result
from ..videos.files import slug
from .configured import find_config

CHECKPOINT = "lightning_logs/run/checkpoints/last.ckpt"
"""Last checkpoint in the folder of a training."""


def _split(value: object) -> object:
    """Split a text as a shell does."""
    return shlex.split(value) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_split)]


class StudyRow(BaseModel, extra="forbid"):
    """A row of a study.

    Attributes:
        name: name, unique in the study.
        train: arguments of `vidcorr fit` in place of the study's.
        flags: arguments added to `train`.
        model: frozen network to evaluate without training, as `vidcorr evaluate` takes it, with or without
            `--pretrained`.
        of: name of another row; this row evaluates that row's checkpoints.
        evaluate: evaluation → arguments added to the study's arguments of this evaluation.
        published: evaluation → score of the paper in per cent, with the printed digits.
        download: source of the weights of `model`, for `vidcorr reproduce`.
    """

    name: str
    train: Words = ()
    flags: Words = ()
    model: Words = ()
    of: str = ""
    evaluate: dict[str, Words] = {}
    published: dict[str, float] = {}
    download: str = ""


class Command(NamedTuple):
    """A command of a study: a training, or the evaluation of a row for a seed.

    Attributes:
        words: the command without `vidcorr`.
        row: name of the row.
        seed: seed of the training.
        evaluation: name of the evaluation; empty for a training, whose evaluations show that it is done.
        output: folder of the evaluation's result.
    """

    words: tuple[str, ...]
    row: str
    seed: int
    evaluation: str = ""
    output: Path = Path()

    @property
    def result(self) -> Path | None:
        """Folder with the result of an evaluation; None if it is not done.

        Raises:
            ValueError: for two results, as data or rules have changed since the first.
        """
        if not self.evaluation:
            return None
        found = [folder for folder in self.output.glob("*") if has_result(folder)]
        if len(found) > 1:
            raise ValueError(f"two results of {self.row!r} for seed {self.seed} in {self.output}: remove the old one")
        return found[0] if found else None


class Study(BaseModel, extra="forbid"):
    """A table of trainings: rows, seeds and common evaluations.

    Attributes:
        title: title of the table.
        source: table or figure of the paper, or empty.
        train: arguments of `vidcorr fit`; `{seed}` in them is replaced.
        rows: rows in the order of the table.
        seeds: seeds of the trainings. A row with a `model` is evaluated once.
        evaluate: evaluation → arguments of `vidcorr evaluate` for a single benchmark and protocol.
        base: name of the base row of differences; by default the first row.
    """

    title: str
    source: str = ""
    train: Words = ()
    rows: Annotated[tuple[StudyRow, ...], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    evaluate: Annotated[dict[str, Words], Field(min_length=1)]
    base: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse repeated names, unknown references and keys that exclude each other."""
        names = [row.name for row in self.rows]
        for row in self.rows:
            if names.count(row.name) > 1:
                raise ValueError(f"two rows have the name {row.name!r}; rename one")
            if sum(map(bool, (row.train or row.flags, row.model, row.of))) > 1:
                raise ValueError(f"row {row.name!r}: only one of `train` (with `flags`), `model` and `of` can be given")
            if row.of and (self.row(row.of).of or self.row(row.of).model):
                raise ValueError(f"row {row.name!r}: `of` names {row.of!r}, which trains nothing")
            if unknown := [name for name in (*row.evaluate, *row.published) if name not in self.evaluate]:
                known = ", ".join(self.evaluate)
                raise ValueError(f"row {row.name!r}: there is no evaluation {unknown[0]!r} ({known})")
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

    def lines(self, output: Path) -> list[list[Command]]:
        """Return a list of commands per training or frozen network, with all its evaluations.

        The lists do not depend on each other, so a scheduler may run them in any order or together.

        Args:
            output: folder of the runs and results. Names of folders in it end with a digest of the arguments: other
                arguments are another run.
        """
        lines: dict[Path, list[Command]] = {}
        for row in self.rows:
            for seed in self.seeds[:1] if row.model else self.seeds:
                trained = self.row(row.of) if row.of else row
                given = (*(trained.train or self.train), *trained.flags, "--seed_everything", "{seed}")
                words = trained.model or tuple(word.replace("{seed}", str(seed)) for word in given)
                folder = output / slug(trained.name) / f"seed-{seed}-{digest_of(words)}"
                if folder not in lines:
                    lines[folder] = [] if row.model else [_training(trained.name, seed, words, folder)]
                network = row.model or (str(folder / CHECKPOINT),)
                for name, common in self.evaluate.items():
                    arguments = (*common, *row.evaluate.get(name, ()))
                    place = output / slug(row.name) / folder.name / f"{slug(name)}-{digest_of(arguments)}"
                    words = ("evaluate", *network, *arguments, "--output", str(place))
                    lines[folder].append(Command(words, row.name, seed, name, place))
        return list(lines.values())


def _training(row: str, seed: int, words: Sequence[str], folder: Path) -> Command:
    """Return the command of a training in a folder; it resumes if it was stopped."""
    # a named version has the checkpoint at a known place, also after the run has resumed
    logger = ("--trainer.logger", "TensorBoardLogger", "--trainer.logger.save_dir", str(folder))
    place = ("--trainer.default_root_dir", str(folder), *logger, "--trainer.logger.version", "run")
    return Command(("fit", *words, *place, "--ckpt_path", "last"), row, seed)


def digest_of(arguments: Sequence[str]) -> str:
    """Return a digest of a command's arguments."""
    return hashlib.sha256("\0".join(arguments).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def read_study(name: str, flag: str = "--study") -> Study:
    """Read a study from YAML (`docs/studies.md` describes the keys).

    Args:
        name: file, or name of a study of vidcorr, see `find_config`.
        flag: flag that names the study, for messages.

    Raises:
        UsageError: if the file is missing.
        ValueError: if it is not YAML; for an unknown or missing key, a value of the wrong type, a reference to an
            unknown row, or a repeated name; the message names the file.
    """
    path = find_config(name, flag)
    try:
        return Study.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from error
    except ValidationError as error:
        raise ValueError(f"{path}: {first_mistake(error)}") from error


def study_table(study: Study, output: Path) -> Table:
    """Make the table of a study from its results in a folder.

    A row is a training over its seeds, a column the first score of an evaluation, followed by the paper's scores.

    Args:
        study: the study.
        output: folder of its runs and results.

    Raises:
        ValueError: if the folder has no results, or a result is damaged.
    """
    found: dict[tuple[str, str], list[Record]] = {}
    for step in (step for line in study.lines(output) for step in line):
        if place := step.result:
            result = Result.load(place)
            network = result.network.model_copy(update={"seed": step.seed})
            record = score_of(result.model_copy(update={"network": network}), place=place)[0]
            found.setdefault((step.row, step.evaluation), []).append(record)
    if not found:
        raise ValueError(f"{output}: holds no result of the study {study.title!r}; run the study first")
    rows: dict[str, dict[str, Cell]] = {row.name: {} for row in study.rows}
    heads = []
    for name in study.evaluate:
        papers = {row.name: row.published[name] for row in study.rows if name in row.published}
        heads += [name, f"{name}, paper"] if papers else [name]
        for row in study.rows:
            if records := found.get((row.name, name)):
                rows[row.name][name] = Cell(tuple(records), trained=not row.model)
            if row.name in papers:
                rows[row.name][f"{name}, paper"] = Cell(published=papers[row.name] / 100)
    table = Table({study.title: {head: head for head in heads}}, rows)
    return table.with_differences(study.base or study.rows[0].name)
