"""A study: rows, seeds and evaluations in YAML, their commands, and the table of their results beside the paper's."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from glob import glob
from itertools import chain
from pathlib import Path
from typing import Annotated, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from ...near_names import did_you_mean
from ...results.cells import Cell, published_cell, sequences_on_other_data
from ...results.formats import few
from ...results.records import Column, ScoreRecord, records_of, results_below
from ...results.rendering import Table
from ...results.tabulate import table_of_cells, tabulate
from ...videos.digests import text_digest
from ...videos.files import mistakes_of, slug
from ...videos.folders import natural_order
from ..runs.config_files import find_config, read_yaml
from ..runs.runs import RunFolder

CHECKPOINT = "version_0/last"
"""Name, within the folder of a training, of the last checkpoint of its run."""
PATTERN = re.compile(r"([\w.]+:[\w.]+=)?(.*?[*?[].*?)(@[^@*?[]*)?")
"""A pattern of files of weights in the name of a network: what stands before it, the pattern, `@STAGE/STRIDE`."""


def _split(value: object) -> object:
    return shlex.split(value) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_split)]


class StudyRow(BaseModel, extra="forbid"):
    """A row of a study.

    Attributes:
        name: name, unique in the study.
        train: arguments of `vidcorr fit` in place of the study's.
        flags: arguments added to `train`.
        model: frozen network to evaluate without training, as `vidcorr evaluate` takes it, with or without
            `--pretrained`; a pattern of checkpoints, `runs/*/last.ckpt`, stands for the seeds of the row.
        of: name of another row, whose checkpoints this row evaluates.
        then: arguments of a second `vidcorr fit` in place of the study's `then`.
        evaluate: evaluation → arguments added to the study's arguments of this evaluation; None: the row is not
            evaluated so.
        published: evaluation, or a benchmark that the study does not evaluate → score → the paper's number, a fraction
            with the printed digits. A number in place of scores is that of the evaluation's first score.
        base: name of the row that this row is compared with, in place of the study's `base`.
    """

    name: str
    train: Words = ()
    flags: Words = ()
    model: Words = ()
    of: str = ""
    then: Words = ()
    evaluate: dict[str, Words | None] = {}
    published: dict[str, float | dict[str, float]] = {}
    base: str = ""


class Command(NamedTuple):
    """A command of a study: a training, or the evaluation of a row for a seed.

    Attributes:
        words: the command without `vidcorr`.
        row: name of the row.
        seed: seed of the training.
        evaluation: name of the evaluation; "" for a training.
        output: folder of the training, or folder above the evaluation's result.
    """

    words: tuple[str, ...]
    row: str
    seed: int
    evaluation: str = ""
    output: Path = Path()

    @property
    def is_done(self) -> bool:
        """True if an evaluation has a result on disk, or a training has ended and left a checkpoint."""
        if self.evaluation:
            return bool(results_below(self.output, tell=lambda fault: None))
        return any(run.record.end and run.last for run in RunFolder.below(self.output))

    def follows(self, other: Command) -> bool:
        """Return True if the command needs the checkpoint of another command, a training."""
        return not other.evaluation and any(str(other.output / CHECKPOINT) in word for word in self.words)


class Study(BaseModel, extra="forbid"):
    """A table of trainings: rows, seeds and common evaluations.

    Attributes:
        title: title of the table.
        source: table or figure of the paper, or empty.
        train: arguments of `vidcorr fit`; `{seed}` in them is replaced.
        then: arguments of a second `vidcorr fit`, after which rows are evaluated; empty: there is none. `{checkpoint}`
            in them is the last checkpoint of the first training, or a row's frozen network.
        rows: rows in the order of the table.
        seeds: seeds of the trainings. A row that trains nothing is evaluated once.
        evaluate: evaluation → arguments of `vidcorr evaluate` for a single benchmark and protocol.
        scores: evaluation → keys of the scores that the table shows.
        base: name of the base row of differences; by default the first row.
    """

    title: str
    source: str = ""
    train: Words = ()
    then: Words = ()
    rows: Annotated[tuple[StudyRow, ...], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    evaluate: dict[str, Words]
    scores: dict[str, Annotated[Words, Field(min_length=1)]]
    base: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse repeated names, references to unknown rows or evaluations, and keys that exclude each other."""
        if self.scores.keys() != self.evaluate.keys():
            raise ValueError("`scores` and `evaluate` have different evaluations")
        names: set[str] = set()
        for row in self.rows:
            if row.name in names:
                raise ValueError(f"two rows have the name {row.name!r}; rename one")
            names.add(row.name)
            self._check_origin(row)
            for name in row.evaluate:
                if name not in self.evaluate:
                    raise ValueError(f"there is no evaluation {name!r}; the study has {', '.join(self.evaluate)}")
            for name, printed in row.published.items():
                if name not in self.evaluate and not isinstance(printed, dict):
                    raise ValueError(f"row {row.name!r}: {name} is not evaluated: name the score of {printed}")
        for base in filter(None, [self.base, *(row.base for row in self.rows)]):
            self.row(base)
        return self

    def _check_origin(self, row: StudyRow) -> None:
        """Refuse a row that names its network in two ways, or whose `of` names a row without a training of its own.

        With `then`, the row trains the network of `of` further: `of` may then name a frozen network.
        """
        origins = [row.train or row.flags, row.model, row.of]
        if sum(map(bool, origins)) > 1:
            raise ValueError(f"row {row.name!r}: only one of `train` (with `flags`), `model` and `of` can be given")
        if row.of:
            origin = self.row(row.of)
            has_training = bool(row.then) or self.trains(origin)
            if origin.of or not has_training:
                raise ValueError(f"row {row.name!r}: `of` names {row.of!r}, which trains nothing itself")
        if row.model and PATTERN.fullmatch(row.model[0]) and self.trains(row):
            raise ValueError(f"row {row.name!r}: `then` trains one network, and `model` is a pattern")

    def row(self, name: str) -> StudyRow:
        """Return a row by name.

        Raises:
            ValueError: if no row has this name.
        """
        rows = {row.name: row for row in self.rows}
        if name not in rows:
            raise ValueError(f"there is no row {name!r}; the rows are {', '.join(rows)}")
        return rows[name]

    def trains(self, row: StudyRow) -> bool:
        """Return True if a row stands for trainings, one per seed; False for a frozen network, which has no seeds."""
        # `model` names a network that exists; `then`, of the row or of all rows, are words of a training that follows
        return not row.model or bool(row.then or self.then)

    def networks(self, row: StudyRow) -> list[tuple[int, Words]]:
        """Return the seeds of a row, each with the words of the frozen network it begins with, or without any.

        The networks that a pattern matches are numbered in their natural order.

        Raises:
            ValueError: if nothing matches the pattern.
        """
        model = (self.row(row.of) if row.of else row).model
        matched = PATTERN.fullmatch(model[0]) if model else None
        if matched is None or os.path.exists(model[0]):
            return [(seed, model) for seed in (self.seeds if self.trains(row) else self.seeds[:1])]
        before, pattern, view = matched.groups("")
        files = sorted(glob(os.path.expanduser(pattern), recursive=True), key=natural_order)
        if not files:
            raise ValueError(f"row {row.name!r}: no file matches {pattern}")
        return [(number, (f"{before}{file}{view}", *model[1:])) for number, file in enumerate(files)]

    def printed(self, row: StudyRow, evaluation: str) -> dict[str, float]:
        """Return score → published number, a fraction, of a row and an evaluation; it may be empty."""
        numbers = row.published.get(evaluation, {})
        return numbers if isinstance(numbers, dict) else {self.scores[evaluation][0]: numbers}

    def lines(self, output: Path) -> list[list[Command]]:
        """Return the commands of the study as lines; the lines may run in any order or together.

        The commands of a line run one after the other. A line is a first training, then the second trainings and the
        evaluations of all rows that start from it. A frozen network has a line of its own. Names of folders below
        `output` end with a digest of the arguments: other arguments are another run.
        """
        lines: dict[Path, list[Command]] = {}
        for row in self.rows:
            for seed, model in self.networks(row):
                trainings, network_words, folder = self._chain_of(row, seed, model, output)
                begin = trainings[0].output if trainings else folder
                line = lines.setdefault(begin, [])
                line += [training for training in trainings if training not in line]
                for name, common in self.evaluate.items():
                    further = row.evaluate.get(name, ())
                    if further is None:
                        continue
                    arguments = (*common, *further)
                    place = output / slug(row.name) / folder.name / f"{slug(name)}-{digest_of(arguments)}"
                    words = ("evaluate", *network_words, *arguments, "--output", str(place))
                    line.append(Command(words, row.name, seed, name, place))
        return list(lines.values())

    def _chain_of(
        self, row: StudyRow, seed: int, model: Words, output: Path
    ) -> tuple[list[Command], tuple[str, ...], Path]:
        """Return a row's trainings for a seed, the words that name its network, and the last training's folder.

        The first training is the row's own, or that of the row that `of` names; the second is the `then` of the row, of
        the row that `of` names, or of the study. The folder of a network without trainings is never made: its name
        alone counts.
        """
        origin = self.row(row.of) if row.of else row
        words = model or _seeded((*(origin.train or self.train), *origin.flags), seed)
        name = f"seed-{seed}" if model == origin.model else "network"  # the number of a match changes with others
        folder = output / slug(origin.name) / f"{name}-{digest_of(words)}"
        trainings: list[Command] = []
        network = model
        if not network:
            trainings.append(_training(origin.name, seed, words, folder))
            network = (str(folder / CHECKPOINT),)
        then = row.then or origin.then or self.then
        if then:
            pattern = _seeded(then, seed)
            words = tuple(word.replace("{checkpoint}", network[0]) for word in pattern)
            if "--pretrained" in network:
                words += ("--model.pretrained", "true")
            # digest `pattern`, not `words`: the path of the checkpoint depends on `output`
            folder = folder.with_name(f"{folder.name}-then-{digest_of(pattern)}")
            # rows without a `then` of their own share the command, so it has the origin's name; `lines` lists it once
            trainings.append(_training(row.name if row.then else origin.name, seed, words, folder))
            network = (str(folder / CHECKPOINT),)
        return trainings, network, folder


def _seeded(words: Sequence[str], seed: int) -> tuple[str, ...]:
    filled = [word.replace("{seed}", str(seed)) for word in words]
    return (*filled, "--seed_everything", str(seed))


def _training(row: str, seed: int, words: Sequence[str], folder: Path) -> Command:
    place = ("--trainer.default_root_dir", str(folder))
    return Command(("fit", *words, *place, "--ckpt_path", "last"), row, seed, output=folder)


def digest_of(arguments: Sequence[str]) -> str:
    """Return a digest of a command's arguments, 8 hexadecimal digits, for the names of folders."""
    return text_digest("\0".join(arguments), 8)


def read_study(name: str) -> Study:
    """Read a study from YAML, a file or one of vidcorr's, `studies/vfs_table2.yaml`; keys: docs/studies.md.

    Raises:
        UsageError: if the file is missing or is not YAML.
        ValueError: for an unknown or missing key, a value of the wrong type, a reference to an unknown row, or a
            repeated name; the message names the file.
    """
    path = find_config(name)
    try:
        return Study.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ValueError(f"{path}: {mistakes_of(error)}") from error


def missing(line: Sequence[Command]) -> list[Command]:
    """Return the commands of a line that are left to run: evaluations without a result, and the trainings they need."""
    left: list[Command] = []
    for step in reversed(line):
        is_needed = step.evaluation or any(each.follows(step) for each in left)
        if is_needed and not step.is_done:
            left.insert(0, step)
    return left


def study_table(study: Study, output: Path, scores: Sequence[str] = ()) -> Table:
    """Make the table of a study from its results in a folder.

    A row is a training over its seeds, also without a result. A column is a score of an evaluation by a protocol, on
    the same data: a seed by another protocol than most seeds of its row, or on other data, is left out and named. The
    paper's numbers of the same score stand in the next column.

    Args:
        study: the study.
        output: folder of its runs and results.
        scores: names of scores in place of the study's; each counts for the evaluations that have it.

    Raises:
        ValueError: if the folder has no results; if a result lacks a score of the study, or a published number is no
            fraction; if a row has two results of a seed, for example of several stages.
    """
    notes: list[str] = []
    records = _records(study, output, scores, notes)
    if not records:
        none = f"{output}: holds no result of the study {study.title!r}; run the study first"
        raise ValueError("; ".join([none, *notes]))
    # with_views=False: results of a seed by several stages or strides are refused, not shown as several rows
    measured = tabulate(_without_strays(records, notes), with_views=False)
    cells = list(_cells(study, measured, scores))
    notes = [*measured.notes, *_lacking_seeds(study, cells), *notes]
    place = {column: number for number, column in enumerate(measured.columns)}
    # measured columns in their order, then columns of empty cells; a paper's number follows the measured score
    cells.sort(key=lambda cell: (place.get(cell[1]._replace(published=False), len(place)), cell[1].published))
    table = table_of_cells(cells, [row.name for row in study.rows])
    own_bases = {row.name: row.base for row in study.rows if row.base}
    return replace(table, notes=tuple(notes)).with_differences(study.base or study.rows[0].name, own_bases)


def _records(study: Study, output: Path, scores: Sequence[str], left_out: list[str]) -> list[ScoreRecord]:
    """Return the records of a study's results, each with the name of its row as its recipe and the seed of its command.

    `left_out` gets a sentence for each file that cannot be read, and one on results that no command of the study
    writes.

    Raises:
        ValueError: if a result lacks a score of the study, or no result has those that the user asked for.
    """
    records: list[ScoreRecord] = []
    of_study: set[Path] = set()
    known: dict[str, None] = {}
    for step in chain.from_iterable(study.lines(output)):
        if not step.evaluation:
            of_study.update(results_below(step.output / CHECKPOINT.partition("/")[0], tell=lambda fault: None))
            continue
        for place, result in results_below(step.output, left_out.append).items():
            of_study.add(place)
            known |= dict.fromkeys(result.scores)
            wanted = scores or study.scores[step.evaluation]
            for score in set(wanted).difference(result.scores, scores):
                raise ValueError(f"{place}: has no score {score}; it has {', '.join(result.scores)}")
            seed = step.seed if result.network.seed is None else result.network.seed
            network = result.network.model_copy(update={"seed": seed, "recipe": step.row})
            of_row = result.model_copy(update={"network": network})
            trained = study.trains(study.row(step.row))
            records += records_of(of_row, wanted, step.row, place, benchmark=step.evaluation, trained=trained)
    others = results_below(output, tell=lambda fault: None).keys() - of_study
    if others:
        folders = {str(Path(*place.relative_to(output).parts[:3])) for place in others}
        left_out.append(f"Left out, of other rows or arguments than the study's: {few(folders)}")
    if known and not records:
        near = did_you_mean(scores[0], known)
        raise ValueError(f"{output}: no result has {' or '.join(scores)}{near or f'; they have {few(known)}'}")
    return records


def _without_strays(records: Sequence[ScoreRecord], left_out: list[str]) -> list[ScoreRecord]:
    """Keep, for each row and benchmark, the records of the commonest protocol, conditions and data; name the others.

    If two are equally common in the row, the one that is commoner in the study is kept, then the last by name.
    """
    # row and benchmark → column without its score, which is one protocol, conditions and data → records
    groups: dict[tuple[str, str], dict[Column, list[ScoreRecord]]] = {}
    for record in records:
        of_row = groups.setdefault((record.row, record.benchmark), {})
        of_row.setdefault(record.column._replace(score=""), []).append(record)
    of_study = Counter(record.column._replace(score="") for record in records)
    strays: dict[ScoreRecord, str] = {}
    for of_row in groups.values():
        rest, *_ = of_row.pop(max(of_row, key=lambda each: (len(of_row[each]), of_study[each], each)))
        for record in chain.from_iterable(of_row.values()):
            own, common = ({row.video for row in each.result.rows} for each in (record, rest))
            why = f"has {len(own)} of {len(common)} sequences" if own < common else "has other sequences"
            if sequences_on_other_data((record.result, rest.result)):
                why = "is on other data"
            why = record.apart(rest) or why
            strays[record] = f"{record.row}: seed {record.seed} {why} and left out: {record.place}"
    left_out += dict.fromkeys(strays[record] for record in records if record in strays)
    return [record for record in records if record not in strays]


def _column_of(measured: Table, row: StudyRow, evaluation: str, score: str) -> Column:
    """Return the column for a row's score of an evaluation: the row's own, else any row's first, else a new one."""
    of_score = [column for column in measured.columns if (column.benchmark, column.score) == (evaluation, score)]
    for column in of_score:
        if column in measured.rows.get(row.name, {}):
            return column
    return of_score[0] if of_score else Column(evaluation, score)


def _cells(study: Study, measured: Table, scores: Sequence[str]) -> Iterator[tuple[str, Column, Cell]]:
    """Yield row, column and cell of each score, measured or empty, and of each published number.

    Raises:
        ValueError: for a number of the paper above the score's upper bound.
    """
    for row in study.rows:
        own = measured.rows.get(row.name, {})
        # without an entry the row has the study's arguments; None: it leaves the evaluation out
        evaluated = [name for name in study.evaluate if row.evaluate.get(name, ()) is not None]
        wanted = [(name, score) for name in evaluated for score in scores or study.scores[name]]
        of_paper: dict[tuple[str, str], float] = {}
        for name in row.published:
            for score, number in study.printed(row, name).items():
                if not scores or score in scores:
                    of_paper[name, score] = number
        for place in dict.fromkeys([*wanted, *of_paper]):
            column = _column_of(measured, row, *place)
            if column in own:
                yield row.name, column, own[column]
            # an empty cell shows that a result is missing; a score of the argument `scores` needs a result in some row,
            # else its column would be empty
            elif place in wanted and (column in measured.columns or not scores):
                yield row.name, column, Cell(trained=study.trains(row))
            if place not in of_paper:
                continue
            number = of_paper[place]
            high = measured.declared(column).high
            if high is not None and number > high:
                fraction = f"write the fraction, {number / 100:g} for {number:g} per cent"
                raise ValueError(f"row {row.name!r}: published {column.score} {number:g} is above {high:g}: {fraction}")
            yield row.name, column._replace(published=True), published_cell(number)


def _lacking_seeds(study: Study, cells: Iterable[tuple[str, Column, Cell]]) -> list[str]:
    sentences: dict[str, None] = {}
    for name, column, cell in cells:
        wanted = len(study.networks(study.row(name)))
        if len(cell.scores) < wanted and not column.published:
            sentences[f"{name} has {len(cell.scores)} of {wanted} seeds on {column.title}"] = None
    return list(sentences)
