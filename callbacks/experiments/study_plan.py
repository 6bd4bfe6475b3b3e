"""A study as data: its rows, and the commands for each row and seed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

KEYS = {
    "study": {"title", "source", "train", "seed", "seeds", "evaluate", "score", "base", "rows", "small"},
    "row": {"name", "flags", "train", "model", "of", "evaluate", "published", "seeds", "small"},
    "small scale": {"train", "seeds", "evaluate"},
    "row's small scale": {"train", "evaluate"},
}
"""Keys that a study, its rows and their small scales may have."""

FOLDER = "--trainer.default_root_dir"
"""Flag of the folder that a command writes to."""


@dataclass(frozen=True)
class StudyRow:
    """One row of a study.

    Args:
        name: unique in the study.
        train: arguments after `fit`, without the row's own flags; None where nothing is trained.
        flags: arguments added to `train`.
        model: arguments that name a model to evaluate without training, for example `--model FrozenEncoder …`.
        of: name of the row whose checkpoints this one evaluates, where only inference differs.
        evaluate: evaluation → arguments added to those of the study's evaluation of that name.
        published: the paper's scores, evaluation → value in per cent.
        seeds: in place of the study's; a model without randomness needs one.
    """

    name: str
    train: tuple[str, ...] | None
    flags: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    of: str | None = None
    evaluate: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    published: Mapping[str, float] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()


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


@dataclass(frozen=True)
class Study:
    """A table to fill: rows over seeds, each scored by the same evaluations.

    Args:
        title: title of the table.
        source: table or figure of the paper; empty where there is none.
        rows: in the table's order.
        seeds: seeds of every row that does not name its own.
        seed_flags: arguments added to every training, with `{seed}` in them.
        evaluations: name → arguments after `validate --ckpt_path …`; the last file named in them ends with its
            benchmark.
        score: key in `results.json`, for example `J&F-Mean`.
        base: name of the row that differences are taken from.
    """

    title: str
    source: str
    rows: tuple[StudyRow, ...]
    seeds: tuple[int, ...]
    seed_flags: tuple[str, ...]
    evaluations: Mapping[str, tuple[str, ...]]
    score: str
    base: str

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
        return _study(_at_small_scale(content) if small else content)
    except (KeyError, TypeError, ValueError) as error:
        said = f"needs {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path}: {said}") from error


def slug(name: str) -> str:
    """Return a name as a folder's name: letters, digits, dots and dashes."""
    return re.sub(r"[^\w.]+", "-", name.replace("+", "plus "), flags=re.ASCII).strip("-.").lower() or "row"


def _study(content: Any) -> Study:
    _check_keys(content, "study")
    train = None if content.get("train") is None else _arguments(content["train"])
    rows = tuple(_row(row, train) for row in _rows(content))
    study = Study(
        title=str(content["title"]),
        source=str(content.get("source", "")),
        rows=rows,
        seeds=_seeds(content["seeds"], "the study"),
        seed_flags=_arguments(content.get("seed", "--seed_everything {seed}")),
        evaluations=_evaluations(content["evaluate"], "the study"),
        score=str(content["score"]),
        base=str(content.get("base", rows[0].name)),
    )
    _check_study(study)
    return study


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


def _at_small_scale(content: Any) -> Any:
    """Return the content of a study with the values of its small scale in place of the others."""
    _check_keys(content, "study")
    if "small" not in content:
        raise ValueError("has no small scale (key `small`); run it without --small")
    _check_keys(content["small"], "small scale")
    rows = [_row_at_small_scale(row) for row in _rows(content)]
    users = [row["name"] for row in rows if not {"train", "model", "of"} & row.keys()]
    if users and "train" in content and "train" not in content["small"]:
        raise ValueError(f"row {users[0]!r} has the `train` of the study; give `small` one too")
    return content | content["small"] | {"title": f"{content['title']}, at a small scale", "rows": rows}


def _row_at_small_scale(row: Any) -> dict[str, Any]:
    _check_keys(row, "row")
    small = row.get("small", {})
    if isinstance(small, str | list):
        small = {"train": small}
    _check_keys(small, "row's small scale")
    if "train" in row and "train" not in small:
        raise ValueError(f"row {row['name']!r} has its own `train`; give it `small`, the same at the small scale")
    row = row | small
    if row.get("evaluate") == {}:
        del row["evaluate"]
    return row


def _rows(content: Any) -> list[Any]:
    if not isinstance(content["rows"], list) or not content["rows"]:
        raise ValueError("`rows` must be a list of at least one row")
    return content["rows"]


def _row(content: Any, train: tuple[str, ...] | None) -> StudyRow:
    _check_keys(content, "row")
    name, own = str(content["name"]), _arguments(content.get("train", ()))
    model, of = _arguments(content.get("model", ())), content.get("of")
    if not (own or train or model or of):
        raise ValueError(f"row {name!r} trains nothing: give the study `train`, or the row `model` or `of`")
    if of is not None and (own or model or content.get("flags")):
        raise ValueError(f"row {name!r} is of {of!r}: `train`, `flags` and `model` belong to that row")
    if model and (own or content.get("flags")):
        raise ValueError(f"row {name!r} evaluates a `model`, which is not trained: it takes no `train` and no `flags`")
    return StudyRow(
        name=name,
        train=None if model or of else (own or train),
        flags=_arguments(content.get("flags", ())),
        model=model,
        of=None if of is None else str(of),
        evaluate=_evaluations(content["evaluate"], f"row {name!r}") if "evaluate" in content else {},
        published=_published(content.get("published", {}), name),
        seeds=_seeds(content["seeds"], f"row {name!r}") if "seeds" in content else (),
    )


def _evaluations(value: Any, user: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"`evaluate` of {user} must be a mapping from a name to arguments, got {value!r:.80}")
    return {str(name): _arguments(arguments) for name, arguments in value.items()}


def _published(value: Any, row: str) -> dict[str, float]:
    if not isinstance(value, dict) or not all(type(score) in (int, float) for score in value.values()):
        raise ValueError(f"`published` of row {row!r} must be a mapping from evaluations to numbers, got {value!r:.80}")
    return {str(name): float(score) for name, score in value.items()}


def _seeds(value: Any, user: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or not all(type(seed) is int for seed in value):
        raise ValueError(f"`seeds` of {user} must be a list of at least one integer, got {value!r:.80}")
    return tuple(dict.fromkeys(value))


def _check_keys(content: Any, kind: str) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"a {kind} is a mapping of {', '.join(sorted(KEYS[kind]))}; got {content!r:.80}")
    if unknown := sorted(map(str, set(content) - KEYS[kind])):
        raise ValueError(f"there is no key {unknown[0]!r} of a {kind}; the keys are {', '.join(sorted(KEYS[kind]))}")


def _arguments(value: Any) -> tuple[str, ...]:
    """Split text as a shell does; a list of texts is split one by one."""
    if isinstance(value, str):
        return tuple(shlex.split(value))
    if isinstance(value, list | tuple):
        return tuple(argument for each in value for argument in _arguments(each))
    raise ValueError(f"expected arguments as on a command line, got {value!r:.80}")
