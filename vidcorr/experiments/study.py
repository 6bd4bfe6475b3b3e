"""A study: rows, seeds and evaluations in YAML, and their commands."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple, Self

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from ..results.checked import first_mistake
from ..results.result import has_result
from ..videos.digests import text_digest
from ..videos.files import slug
from .benchmark_choice import add_benchmark_flags, chosen_benchmarks
from .config_files import find_config, refuse_repeated_keys

CHECKPOINT = "lightning_logs/run/checkpoints/last.ckpt"
"""Last checkpoint in the folder of a training."""
SEEDED = ("--seed_everything", "{seed}")
"""Words that seed a training."""
FIRST = ""
"""Stands for the first shown score of an evaluation."""


def _split(value: object) -> object:
    """Split a text as a shell does."""
    return shlex.split(value) if isinstance(value, str) else value


def _by_score(value: object) -> object:
    """Return score → number for a number alone, which belongs to the evaluation's first score."""
    return {FIRST: value} if isinstance(value, int | float) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_split)]
Printed = Annotated[dict[str, float], BeforeValidator(_by_score)]


class StudyRow(BaseModel, extra="forbid"):
    """A row of a study.

    Attributes:
        name: name, unique in the study.
        train: arguments of `vidcorr fit` in place of the study's.
        flags: arguments added to `train`.
        model: frozen network to evaluate without training, as `vidcorr evaluate` takes it, with or without
            `--pretrained`.
        of: name of another row; this row evaluates that row's checkpoints.
        then: arguments of a second `vidcorr fit` in place of the study's `then`.
        evaluate: evaluation → arguments added to the study's arguments of this evaluation; None leaves it out.
        best_stage_by: score that chooses one stage of an evaluation with several; the row shows the stage with the
            highest mean over the seeds, on the sequences of the evaluation itself.
        published: evaluation → score → number of the paper in per cent, with the printed digits. A number alone is
            that of the first score.
        beside: benchmark → score → number of the paper in per cent, of what the study does not evaluate.
        base: name of the row that this row is compared with, in place of the study's.
        download: source of the weights of `model`, for `vidcorr reproduce`.
    """

    name: str
    train: Words = ()
    flags: Words = ()
    model: Words = ()
    of: str = ""
    then: Words = ()
    evaluate: dict[str, Words | None] = {}
    best_stage_by: str = ""
    published: dict[str, Printed] = {}
    beside: dict[str, dict[str, float]] = {}
    base: str = ""
    download: str = ""

    def arguments_of(self, evaluation: str) -> tuple[str, ...]:
        """Return the arguments that the row adds to an evaluation."""
        return self.evaluate.get(evaluation) or ()

    def leaves_out(self, evaluation: str) -> bool:
        """Return whether the row is not evaluated so."""
        return evaluation in self.evaluate and self.evaluate[evaluation] is None


class Command(NamedTuple):
    """A command of a study: a training, or the evaluation of a row for a seed.

    Attributes:
        words: the command without `vidcorr`.
        row: name of the row.
        seed: seed of the training.
        evaluation: name of the evaluation; empty for a training, whose evaluations show that it is done.
        output: folder of the training, or of the evaluation's result.
        needs: folders of the trainings before an evaluation.
    """

    words: tuple[str, ...]
    row: str
    seed: int
    evaluation: str = ""
    output: Path = Path()
    needs: tuple[Path, ...] = ()

    @property
    def results(self) -> list[Path]:
        """Folders with results of an evaluation; none if it is not done, several if it has several stages."""
        if not self.evaluation:
            return []
        return [folder for folder in sorted(self.output.glob("*")) if has_result(folder)]

    @property
    def is_done(self) -> bool:
        """True if an evaluation has a result of each benchmark that its words choose.

        Raises:
            ValueError: if the folder of its data is missing.
        """
        parser = argparse.ArgumentParser()
        add_benchmark_flags(parser)
        flags, _ = parser.parse_known_args(self.words[1:])
        return bool(self.results) and len(self.results) >= len(chosen_benchmarks(flags))


class _Chain(NamedTuple):
    """The trainings of a row for a seed, and the network that they end with.

    Attributes:
        trainings: commands, in order.
        network: words that name the network to evaluate.
        folder: folder of the last training, or of the frozen network's results.
        line: folder that identifies the line of commands.
    """

    trainings: tuple[Command, ...]
    network: tuple[str, ...]
    folder: Path
    line: Path


class Study(BaseModel, extra="forbid"):
    """A table of trainings: rows, seeds and common evaluations.

    Attributes:
        title: title of the table.
        source: table or figure of the paper, or empty.
        train: arguments of `vidcorr fit`; `{seed}` in them is replaced.
        then: arguments of a second `vidcorr fit`, or empty; `{checkpoint}` in them is the last checkpoint of the first,
            or a row's frozen network. Rows are then evaluated after the second.
        rows: rows in the order of the table.
        seeds: seeds of the trainings. A row that trains nothing is evaluated once.
        evaluate: evaluation → arguments of `vidcorr evaluate` for a single benchmark and protocol.
        scores: evaluation → keys of the scores that the table shows; by default the benchmark's first score.
        base: name of the base row of differences; by default the first row.
    """

    title: str
    source: str = ""
    train: Words = ()
    then: Words = ()
    rows: Annotated[tuple[StudyRow, ...], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    evaluate: Annotated[dict[str, Words], Field(min_length=1)]
    scores: dict[str, Annotated[Words, Field(min_length=1)]] = {}
    base: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse repeated names, unknown references and keys that exclude each other."""
        names = [row.name for row in self.rows]
        for row in self.rows:
            if names.count(row.name) > 1:
                raise ValueError(f"two rows have the name {row.name!r}; rename one")
            origins = [row.train or row.flags, row.model, row.of]
            if sum(map(bool, origins)) > 1:
                raise ValueError(f"row {row.name!r}: only one of `train` (with `flags`), `model` and `of` can be given")
            if row.of and (self.row(row.of).of or (self.row(row.of).model and not row.then)):
                raise ValueError(f"row {row.name!r}: `of` names {row.of!r}, which trains nothing")
            if row.base:
                self.row(row.base)
            for name in (*self.scores, *row.evaluate, *row.published):
                if name not in self.evaluate:
                    raise ValueError(f"there is no evaluation {name!r}; the study has {', '.join(self.evaluate)}")
            for name, printed in row.published.items():
                if not printed.keys() <= {FIRST, *self.scores.get(name, ())}:
                    raise ValueError(f"row {row.name!r}: published has {name} scores that `scores` does not name")
        if self.base:
            self.row(self.base)
        return self

    def row(self, name: str) -> StudyRow:
        """Return a row by name.

        Raises:
            ValueError: if no row has this name.
        """
        rows = {row.name: row for row in self.rows}
        if name not in rows:
            raise ValueError(f"there is no row {name!r}; the rows are {', '.join(rows)}")
        return rows[name]

    def printed(self, row: StudyRow, evaluation: str) -> dict[str, float]:
        """Return score → published number of a row in per cent; the score `FIRST` if the study names no scores."""
        first = self.scores.get(evaluation, (FIRST,))[0]
        numbers = row.published.get(evaluation, {})
        return {score or first: number for score, number in numbers.items()}

    def lines(self, output: Path) -> list[list[Command]]:
        """Return the commands in lines: a first training or frozen network, and all that builds on it.

        Rows with the same first training share a line, and the training stands in it once. The lines do not depend on
        each other, so a scheduler may run them in any order or together.

        Args:
            output: folder of the runs and results. Names of folders in it end with a digest of the arguments: other
                arguments are another run.
        """
        lines: dict[Path, list[Command]] = {}
        for row in self.rows:
            seeds = self.seeds
            is_trained = not row.model or row.then or self.then
            if not is_trained:  # the network is the same for all seeds
                seeds = seeds[:1]
            for seed in seeds:
                chain = self._chain(row, seed, output)
                line = lines.setdefault(chain.line, [])
                for training in chain.trainings:
                    if training not in line:
                        line.append(training)
                line += self._evaluations(row, seed, chain, output)
        return list(lines.values())

    def _chain(self, row: StudyRow, seed: int, output: Path) -> _Chain:
        """Return the trainings of a row for a seed."""
        first = self.row(row.of) if row.of else row
        trainings = []
        words = first.model
        network = first.model
        if not first.model:
            words = _filled((*(first.train or self.train), *first.flags, *SEEDED), "{seed}", str(seed))
        folder = line = output / slug(first.name) / f"seed-{seed}-{digest_of(words)}"
        if not first.model:
            trainings.append(_training(first.name, seed, words, folder))
            network = (str(folder / CHECKPOINT),)
        then = row.then or first.then or self.then
        if then:
            pattern = _filled((*then, *SEEDED), "{seed}", str(seed))
            words = _filled(pattern, "{checkpoint}", network[0])
            if "--pretrained" in network:
                words += ("--model.pretrained", "true")
            folder = folder.with_name(f"{folder.name}-then-{digest_of(pattern)}")
            owner = row.name if row.then else first.name
            trainings.append(_training(owner, seed, words, folder))
            network = (str(folder / CHECKPOINT),)
        return _Chain(tuple(trainings), network, folder, line)

    def _evaluations(self, row: StudyRow, seed: int, chain: _Chain, output: Path) -> list[Command]:
        """Return the evaluations of a row for a seed."""
        needs = tuple(training.output for training in chain.trainings)
        commands = []
        for name, common in self.evaluate.items():
            if row.leaves_out(name):
                continue
            arguments = (*common, *row.arguments_of(name))
            place = output / slug(row.name) / chain.folder.name / f"{slug(name)}-{digest_of(arguments)}"
            words = ("evaluate", *chain.network, *arguments, "--output", str(place))
            commands.append(Command(words, row.name, seed, name, place, needs))
        return commands


def _filled(words: Sequence[str], mark: str, value: str) -> tuple[str, ...]:
    """Return words with a value in place of a mark, such as `{seed}`."""
    return tuple(word.replace(mark, value) for word in words)


def _training(row: str, seed: int, words: Sequence[str], folder: Path) -> Command:
    """Return the command of a training in a folder; it resumes if it was stopped."""
    # a named version has the checkpoint at a known place, also after the run has resumed
    logger = ("--trainer.logger", "TensorBoardLogger", "--trainer.logger.save_dir", str(folder))
    place = ("--trainer.default_root_dir", str(folder), *logger, "--trainer.logger.version", "run")
    return Command(("fit", *words, *place, "--ckpt_path", "last"), row, seed, output=folder)


def digest_of(arguments: Sequence[str]) -> str:
    """Return a digest of a command's arguments."""
    return text_digest("\0".join(arguments), 8)


def read_study(name: str, flag: str = "--study") -> Study:
    """Read a study from YAML; docs/studies.md describes the keys.

    Args:
        name: path of a file, or name of a study of vidcorr: `studies/vfs_table2.yaml`.
        flag: flag that names the study, for messages.

    Raises:
        UsageError: if the file is missing.
        ValueError: if the file is not YAML; for a key twice, an unknown or missing key, a value of the wrong type, a
            reference to an unknown row, or a repeated name; the message names the file.
    """
    path = find_config(name, flag)
    try:
        text = path.read_text("utf-8")
        refuse_repeated_keys(text)
        return Study.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        raise ValueError(f"{path}: {first_mistake(error)}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
