"""A study as data: its rows, and the commands for each row and seed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import yaml  # type: ignore[import-untyped]
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

FOLDER = "--trainer.default_root_dir"
"""Flag of the folder that a command writes to."""


def _arguments(value: Any) -> tuple[str, ...]:
    """Split text as a shell does; a list of texts is split one by one."""
    if isinstance(value, str):
        return tuple(shlex.split(value))
    if isinstance(value, list | tuple):
        return tuple(argument for each in value for argument in _arguments(each))
    raise ValueError(f"expected arguments as on a command line, got {value!r:.80}")


def _without_repeats(seeds: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(seeds))


Name = Annotated[str, BeforeValidator(str)]
Arguments = Annotated[tuple[str, ...], BeforeValidator(_arguments)]
Evaluations = Annotated[dict[Name, Arguments], Field(min_length=1)]
Seeds = Annotated[
    tuple[Annotated[int, Field(strict=True)], ...],
    Field(min_length=1),
    AfterValidator(_without_repeats),
]


class _Keys(BaseModel):
    """A mapping of a study, which may have no other keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SmallRow(_Keys):
    """Keys that replace those of a row at the small scale."""

    train: Arguments | None = None
    evaluate: dict[Name, Arguments] | None = None


class StudyRow(_Keys):
    """One row of a study.

    Attributes:
        name: unique in the study.
        train: arguments after `fit`, without the row's own flags; None where nothing is trained.
        flags: arguments added to `train`.
        model: arguments that name a model to evaluate without training, for example `--model FrozenEncoder …`.
        of: name of the row whose checkpoints this one evaluates, where only inference differs.
        evaluate: evaluation → arguments added to those of the study's evaluation of that name.
        published: the paper's scores, evaluation → value in per cent.
        seeds: in place of the study's; a model without randomness needs one.
        small: what replaces `train` and `evaluate` at the small scale; arguments alone replace `train`.
    """

    name: Name
    train: Arguments | None = None
    flags: Arguments = ()
    model: Arguments = ()
    of: Name | None = None
    evaluate: Evaluations = {}
    published: dict[Name, Annotated[float, Field(strict=True)]] = {}
    seeds: Seeds = ()
    small: Annotated[
        SmallRow, BeforeValidator(lambda value: {"train": value} if isinstance(value, str | list) else value)
    ] = SmallRow()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.of is not None and (self.train or self.model or self.flags):
            raise ValueError(f"row {self.name!r} is of {self.of!r}: `train`, `flags` and `model` belong to that row")
        if self.model and (self.train or self.flags):
            raise ValueError(
                f"row {self.name!r} evaluates a `model`, which is not trained: it takes no `train` and no `flags`"
            )
        return self


@dataclass(frozen=True)
class Step:
    """One command of a row and seed.

    Args:
        arguments: after `vidcorr`.
        folder: `trainer.default_root_dir` of the command.
        evaluation: name of the evaluation; None where the step trains.
        benchmark: `name` that the benchmark of the evaluation is given, unique in `folder`.
    """

    arguments: tuple[str, ...]
    folder: Path
    evaluation: str | None = None
    benchmark: str | None = None

    @property
    def line(self) -> str:
        """The command as a shell takes it."""
        return shlex.join(("vidcorr", *self.arguments))

    @property
    def kind(self) -> str:
        """`fit`, or `validate` and the name of the evaluation."""
        return " ".join(filter(None, (self.arguments[0], self.evaluation)))


class SmallScale(_Keys):
    """Keys that replace those of a study at the small scale."""

    train: Arguments | None = None
    seeds: Seeds | None = None
    evaluate: Evaluations | None = None


class Study(_Keys):
    """A table to fill: rows over seeds, each scored by the same evaluations.

    Attributes:
        title: title of the table.
        source: table or figure of the paper; empty where there is none.
        train: arguments after `fit` of every row that does not name its own.
        rows: in the table's order.
        seeds: seeds of every row that does not name its own.
        seed_flags: key `seed`: arguments added to every training, with `{seed}` in them.
        evaluations: key `evaluate`: name → arguments after `validate --ckpt_path …`; the last file named in them ends
            with its benchmark.
        score: key in `results.json`, for example `J&F-Mean`.
        base: name of the row that differences are taken from; empty: the first.
        small: what replaces `train`, `seeds` and `evaluate` at the small scale.
    """

    title: Name
    source: Name = ""
    train: Arguments | None = None
    rows: Annotated[tuple[StudyRow, ...], Field(min_length=1)]
    seeds: Seeds
    seed_flags: Arguments = Field(default=("--seed_everything", "{seed}"), alias="seed")
    evaluations: Evaluations = Field(alias="evaluate")
    score: Name
    base: Name = ""
    small: SmallScale | None = None

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
        """Return the row whose checkpoints a row evaluates: itself, or the one that it is `of`."""
        return self.row(row.of) if row.of else row

    def own_seeds(self, row: StudyRow) -> tuple[int, ...]:
        """Return the seeds that a row, or the one that it is `of`, names in place of the study's; empty if none."""
        return row.seeds or self.trained(row).seeds

    def seeds_of(self, row: StudyRow) -> tuple[int, ...]:
        """Return the seeds of a row."""
        return self.own_seeds(row) or self.seeds

    def folder_of(self, row: StudyRow, output: Path) -> Path:
        """Return the folder of a row's checkpoints, with a folder `seed-N` for each seed."""
        return output / slug(self.trained(row).name)

    def steps(
        self, row: StudyRow, seed: int, output: Path, train: Sequence[str] = (), evaluate: Sequence[str] = ()
    ) -> list[Step]:
        """Return the commands of a row and seed, in order: the training of its checkpoints, then each evaluation.

        A row that is `of` another begins with the training of that one; a model that is not trained has none.

        Args:
            row: row of this study.
            seed: replaces `{seed}` in the arguments.
            output: folder of the runs.
            train: arguments added to the training, for example where its data lie.
            evaluate: arguments added to every evaluation.
        """
        trained, folder = self.trained(row), self.folder_of(row, output) / f"seed-{seed}"
        root = (FOLDER, str(folder))
        steps = []
        if trained.train is not None:
            arguments = (*trained.train, *trained.flags, *self.seed_flags, *train)
            seeded = (argument.replace("{seed}", str(seed)) for argument in arguments)
            steps.append(Step(("fit", *seeded, *root, "--ckpt_path", "last"), folder))
        model = (*row.model, "--seed_everything", str(seed)) if row.model else ("--ckpt_path", "last")
        for name, arguments in self.evaluations.items():
            benchmark = f"{slug(row.name)}-{slug(name)}"
            chosen = (*model, *arguments, *evaluate, *row.evaluate.get(name, ()), "--trainer.callbacks.name", benchmark)
            steps.append(Step(("validate", *chosen, *root), folder, name, benchmark))
        return steps


def read_study(path: Path, *, small: bool = False) -> Study:
    """Read a study from YAML (`docs/studies.md` describes the keys).

    Args:
        path: its file.
        small: read it at its small scale: `small` of the study and of a row replace their keys.

    Raises:
        ValueError: for an unknown or missing key, a value of another type, two rows or evaluations that would use one
            folder, a row that refers to one that is not there, or a study without a small scale where that is asked
            for; one line that names the file.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from error
    try:
        study = Study.model_validate(content)
        study = _with_trainings(_at_small_scale(study) if small else study)
        _check_study(study)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            said = "there is no such key"
        raise ValueError(f"{path}: {where}{': ' if where else ''}{said}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return study


def slug(name: str) -> str:
    """Return a name as a folder's name: letters, digits, dots and dashes."""
    return re.sub(r"[^\w.]+", "-", name.replace("+", "plus "), flags=re.ASCII).strip("-.").lower() or "row"


def _check_study(study: Study) -> None:
    """Raise if rows refer to what is not there, or would leave their results in one place."""
    study.row(study.base)
    for name in {slug(row.name) for row in study.rows}:
        same = [row.name for row in study.rows if slug(row.name) == name]
        if len(same) > 1:
            raise ValueError(f"rows {same[0]!r} and {same[1]!r} would have the same folder, {name}; rename one")
    for row in study.rows:
        if row.of is not None and study.row(row.of).train is None:
            raise ValueError(f"row {row.name!r} is of {row.of!r}, which trains nothing itself")
        for name in (*row.evaluate, *row.published):
            if name not in study.evaluations:
                known = ", ".join(study.evaluations)
                raise ValueError(f"row {row.name!r}: there is no evaluation {name!r} ({known})")
    users: dict[tuple[Path, str], str] = {}
    for row in study.rows:
        for step in study.steps(row, 0, Path()):
            if step.benchmark is not None:
                user = f"{step.evaluation!r} of row {row.name!r}"
                other = users.setdefault((step.folder, step.benchmark), user)
                if other != user:
                    raise ValueError(f"{other} and {user} would have the same results, {step.benchmark}; rename one")


def _with_trainings(study: Study) -> Study:
    """Return a study whose rows hold what trains them, and with the name of its base row."""
    rows = []
    for row in study.rows:
        train = None if row.model or row.of else row.train or study.train
        if not (train or row.model or row.of):
            raise ValueError(
                f"row {row.name!r} trains nothing: give the study `train`, or the row `train`, `model` or `of`"
            )
        rows.append(row.model_copy(update={"train": train}))
    return study.model_copy(update={"rows": tuple(rows), "base": study.base or rows[0].name})


def _at_small_scale(study: Study) -> Study:
    """Return a study with the values of its small scale in place of the others."""
    if study.small is None:
        raise ValueError("has no small scale (key `small`); run it without --small")
    rows = []
    for row in study.rows:
        small = row.small.model_dump(exclude_none=True)
        if row.train and "train" not in small:
            raise ValueError(f"row {row.name!r} has its own `train`; give it `small`, the same at the small scale")
        rows.append(row.model_copy(update=small))
    users = [row.name for row in rows if not (row.train or row.model or row.of)]
    if users and study.train and not study.small.train:
        raise ValueError(f"row {users[0]!r} has the `train` of the study; give `small` one too")
    own = study.small
    changes = {
        "title": f"{study.title}, at a small scale",
        "rows": tuple(rows),
        "train": own.train or study.train,
        "seeds": own.seeds or study.seeds,
        "evaluations": own.evaluate or study.evaluations,
    }
    return study.model_copy(update=changes)
