"""Score predicted masks of any method against a data set's own, by the rules of DAVIS, YouTube-VOS or MOSE."""

import argparse
import dataclasses
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.datasets.layout_files import read_names
from datamodules.datasets.youtube_vos_meta import read_meta
from datamodules.reading.errors import DataError
from datamodules.reading.files import usable_cores
from datamodules.reading.mask_files import VOID, object_ids, read_mask
from datamodules.reading.source import list_pictures
from datamodules.tools.parallel import Failure, in_processes

from ..benchmarks.results import Results, require_writable
from ..metrics.categories import seen_and_unseen
from ..metrics.outlines import object_outlines
from ..metrics.sequence_score import OBJECT_COLUMNS, SequenceScore, mean_over_objects, object_statistics

A_DAY = 86400.0
"""Seconds that a process may take for a sequence."""

RULES_HELP = (
    "rules to score by (default: davis-2017); that youtube-vos counts the last frame, and mose neither the first nor "
    "the last, is inferred: their servers' code is not published"
)


@dataclass(frozen=True)
class ScoringRules:
    """The rules for scoring masks.

    Attributes:
        first_scored: the mask that introduces an object counts, although it is what a method is given.
        last_scored: the last annotated frame of a sequence counts.
        merged: all ids are one object.
        entering: an object may start in any annotated frame; else all start in the first, and every number up to its
            largest id is an object.
    """

    first_scored: bool = False
    last_scored: bool = False
    merged: bool = False
    entering: bool = False


RULES = {
    "davis-2017": ScoringRules(),
    "davis-2016": ScoringRules(merged=True),
    "youtube-vos": ScoringRules(last_scored=True, entering=True),
    "mose": ScoringRules(entering=True),
}
"""Named rules: those of davis2017-evaluation (semi-supervised), of DAVIS-2016, of YouTube-VOS's paper, and of MOSE.

The servers of YouTube-VOS and MOSE do not publish their code. Inferred: for YouTube-VOS, that the last frame counts;
for MOSE, whose masks are dense as DAVIS's, that neither the first nor the last frame does, as in DAVIS and by default
in hkchengrex/vos-benchmark @ 0c21008 (README.md, Technical Details 4).
"""


class ScoredMasks:
    """The scores of masks on disk.

    Args:
        objects: official row name ("bike_1") → the values of `OBJECT_COLUMNS`.
    """

    def __init__(self, objects: Mapping[str, Sequence[float]]) -> None:
        self.objects = dict(sorted(objects.items()))

    def compute(self) -> dict[str, float]:
        """Return means over the objects under the official toolkit's names, as fractions."""
        return mean_over_objects(list(self.objects.values()))

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary per object, for a CSV."""
        return [
            {"Sequence": name, **dict(zip(OBJECT_COLUMNS, values, strict=True))}
            for name, values in self.objects.items()
        ]


def score(
    truth: str | Path,
    predictions: str | Path,
    rules: ScoringRules | str = "davis-2017",
    sequences: Sequence[str] | None = None,
    workers: int | None = None,
) -> ScoredMasks:
    """Score masks on disk; no network is involved.

    Args:
        truth: folder with a folder of indexed PNGs for each sequence.
        predictions: the same for the predictions; every scored frame needs one, of the same name.
        rules: name in `RULES`, or rules of your own.
        sequences: names; None is every folder of `truth`.
        workers: processes, which divide the sequences; None is one for each core. The scores are the same to the last
            digit, and of several bad sequences the same one is reported, whatever their number.

    Returns:
        The scores: `compute()` gives the means, `rows()` those of each object.

    Raises:
        DataError: one line that names the file, for a missing or damaged mask, one of another size, an id that the
            sequence does not have or that never starts, or a sequence with nothing to score.
        ValueError: if there are no such rules, or a sequence is named twice.

    Example:
        >>> score("DAVIS/Annotations/480p", "prediction", "davis-2017").compute()  # doctest: +SKIP
        {'J&F-Mean': 0.66, ...}
    """
    if isinstance(rules, str):
        if rules not in RULES:
            raise ValueError(f"rules {rules!r}: expected one of {', '.join(RULES)}")
        rules = RULES[rules]
    truth, predictions = Path(truth).expanduser(), Path(predictions).expanduser()
    for folder in (truth, predictions):
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
    names = sequences or sorted(path.name for path in truth.iterdir() if path.is_dir())
    if not names:
        raise DataError(f"{truth}: no folders of masks; name the folder that holds one for each sequence")
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise ValueError(f"sequence {twice[0]} is named more than once")
    longest_first = sorted(names, key=lambda name: -len(list_pictures(truth / name)))
    objects: dict[str, list[float]] = {}
    for sequence in _scored(longest_first, truth, predictions, rules, workers or usable_cores()):
        objects |= object_statistics(sequence)
    return ScoredMasks(objects)


def score_sequence(name: str, truth: Path, predictions: Path, rules: ScoringRules) -> SequenceScore:
    """Score one sequence; see `score`.

    Args:
        name: name of the sequence, for rows and errors.
        truth: folder of its masks.
        predictions: folder of the predictions.
        rules: see `ScoringRules`.
    """
    files = {path.stem: path for path in list_pictures(truth)}
    found = {path.stem: path for path in list_pictures(predictions)}
    if not files:
        raise DataError(f"{truth}: no masks")
    masks = {stem: _ids(path, rules) for stem, path in files.items()} if rules.entering else {}
    starts = _starts(masks) if rules.entering else _first_objects(_ids(next(iter(files.values())), rules))
    stems = list(files)
    frames = range(len(files) if rules.last_scored else len(files) - 1)
    present = {t: _present(starts, t, rules) for t in frames}
    scored = [t for t in frames if present[t]]
    objects = tuple(number for number in starts if any(number in present[t] for t in scored))
    if not objects:
        raise DataError(f"{truth}: {len(files)} masks, none of which is left to score an object on")
    if missing := [stems[t] for t in scored if stems[t] not in found]:
        raise DataError(f"{predictions}: {len(missing)} of {len(scored)} masks are missing, first {missing[0]}.png")
    result = SequenceScore(name, objects, ends_scored=True)
    for t in scored:
        target = masks[stems[t]] if masks else _ids(files[stems[t]], rules)
        predicted = _ids(found[stems[t]], rules)
        if late := set(object_ids(target)) - starts.keys():
            raise DataError(
                f"{files[stems[t]]}: holds id {min(late)}, which the first mask does not; rules youtube-vos and mose "
                "score objects that enter later"
            )
        _check(predicted, target, found[stems[t]], starts)
        result.add(predicted, object_outlines(target, present[t]), objects=present[t])
    return result


def _scored(
    names: Sequence[str], truth: Path, predictions: Path, rules: ScoringRules, workers: int
) -> Iterator[SequenceScore]:
    """Yield the sequences in the order of their names, scored in processes where there are several workers."""
    items = list(enumerate(names))
    workers = min(workers, len(items))
    work = partial(_scored_or_refused, truth, predictions, rules)
    outcomes: Generator[tuple[tuple[int, str], SequenceScore | DataError | Failure]]
    outcomes = ((item, work(item)) for item in items) if workers == 1 else in_processes(work, items, workers, A_DAY)
    arrived: dict[tuple[int, str], SequenceScore | DataError | Failure] = {}
    with closing(outcomes):
        for item in items:
            while item not in arrived:
                arrived.update([next(outcomes)])
            outcome = arrived.pop(item)
            if isinstance(outcome, Failure):
                raise DataError(f"{predictions / item[1]}: {outcome.reason}")
            if isinstance(outcome, DataError):
                raise outcome
            yield outcome


def _scored_or_refused(
    truth: Path, predictions: Path, rules: ScoringRules, item: tuple[int, str]
) -> SequenceScore | DataError:
    """Score a sequence; an error of the data comes back as a value, with its message as it is."""
    try:
        return score_sequence(item[1], truth / item[1], predictions / item[1], rules)
    except DataError as error:
        return DataError(str(error))


def _present(starts: Mapping[int, int], t: int, rules: ScoringRules) -> tuple[int, ...]:
    """Return the objects that are scored in frame t."""
    return tuple(number for number, start in starts.items() if start < t or (rules.first_scored and start == t))


def _ids(path: Path, rules: ScoringRules) -> NDArray[np.uint8]:
    ids = read_mask(path)
    return (ids > 0).astype(np.uint8) if rules.merged else ids


def _first_objects(first: NDArray[np.uint8]) -> dict[int, int]:
    """Return every number up to the largest id of the first mask, as davis2017-evaluation counts objects, with 0."""
    return dict.fromkeys(range(1, int(first.max(where=first != VOID, initial=0)) + 1), 0)


def _starts(masks: Mapping[str, NDArray[np.uint8]]) -> dict[int, int]:
    """Return object id → number of the first mask that holds it."""
    starts: dict[int, int] = {}
    for t, mask in enumerate(masks.values()):
        for number in object_ids(mask):
            starts.setdefault(number, t)
    return dict(sorted(starts.items()))


def _check(predicted: NDArray[np.uint8], target: NDArray[np.uint8], path: Path, objects: Mapping[int, int]) -> None:
    if predicted.shape != target.shape:
        sizes = (" × ".join(map(str, mask.shape)) for mask in (predicted, target))
        raise DataError("{}: is {} px, the annotation {}".format(path, *sizes))
    if unknown := set(object_ids(predicted)) - objects.keys():
        raise DataError(f"{path}: holds id {min(unknown)}; the sequence has the objects {', '.join(map(str, objects))}")


def by_category(
    rows: Sequence[Mapping[str, Any]], meta: str | Path, trained: str | Path | None = None, unseen: Sequence[str] = ()
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Average scores as YouTube-VOS does: J and F of seen and of unseen categories, and the mean of the four.

    Args:
        rows: rows of each object, named VIDEO_ID.
        meta: meta.json of the scored split, which gives the category of each object.
        trained: meta.json of the training split; categories that it lacks are unseen.
        unseen: names of unseen categories, instead of `trained` or in addition to it.

    Returns:
        Scores (`Overall`, `J-Seen`, …), and the rows with `Category` and `Unseen`.

    Raises:
        DataError: for a file that is no meta.json, or an object that it does not have; one line.
        ValueError: if a category is named that no object has.
    """
    categories = {
        f"{video}_{number}": category
        for video, objects in read_meta(Path(meta)).items()
        for number, (category, _) in objects.items()
    }
    known = set(categories.values())
    if strange := sorted(set(unseen) - known):
        raise ValueError(f"--unseen {strange[0]}: {meta} has no such category; it has {', '.join(sorted(known))}")
    new = set(unseen)
    if trained is not None:
        shown = {category for objects in read_meta(Path(trained)).values() for category, _ in objects.values()}
        new |= known - shown
    lacking = [row["Sequence"] for row in rows if not categories.get(row["Sequence"])]
    if lacking:
        raise DataError(f"{meta}: gives no category for object {lacking[0]}, which the masks hold")
    named = [
        {**row, "Category": categories[row["Sequence"]], "Unseen": categories[row["Sequence"]] in new} for row in rows
    ]
    return seen_and_unseen(named), named


def command(args: Sequence[str]) -> None:
    """Run `vidcorr score` with its arguments; a user's mistake raises a one-line ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr score", description=__doc__)
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="folder with a folder of masks for each sequence")
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="folder of predictions in the same form")
    parser.add_argument("--rules", choices=list(RULES), default="davis-2017", help=RULES_HELP)
    for flag, frame in (("--first-frame", "the frame that introduces an object"), ("--last-frame", "the last frame")):
        parser.add_argument(flag, choices=["in", "out"], help=f"count {frame} or not (default: by the rules)")
    parser.add_argument("--ends", choices=["in", "out"], help="set --first-frame and --last-frame together")
    parser.add_argument("--meta", type=Path, metavar="FILE", help="meta.json of YouTube-VOS: average by category")
    parser.add_argument(
        "--trained-meta", type=Path, metavar="FILE", help="meta.json of the training set; other categories are unseen"
    )
    parser.add_argument("--unseen", nargs="+", default=[], metavar="CATEGORY", help="unseen categories, by name")
    parser.add_argument("--list", type=Path, metavar="FILE", help="file of sequence names, one per line")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="folder for results.json and per_sequence.csv")
    parser.add_argument("--workers", type=int, help="number of processes (default: one per core)")
    flags = parser.parse_args(list(args))
    if flags.workers is not None and flags.workers < 1:
        raise ValueError(f"score: --workers is {flags.workers}, it must be at least 1")
    if flags.meta is None and (flags.trained_meta is not None or flags.unseen):
        raise ValueError("score: --trained-meta and --unseen need --meta, which gives each object's category")
    if flags.meta is not None and flags.trained_meta is None and not flags.unseen:
        raise ValueError("score: --meta needs --trained-meta or --unseen, which say what training has not seen")
    rules, changed = _changed(RULES[flags.rules], flags.ends, flags.first_frame, flags.last_frame)
    if flags.output is not None:
        require_writable(flags.output)
    names = _sequences(flags.truth, flags.list)
    scored = score(flags.truth, flags.predictions, rules, names, flags.workers)
    folders = {"truth": str(flags.truth), "predictions": str(flags.predictions)}
    metadata: dict[str, Any] = {"rules": ", ".join((flags.rules, *changed)), **folders}
    scores, rows = scored.compute(), scored.rows()
    if flags.meta is not None:
        scores, rows = by_category(rows, flags.meta, flags.trained_meta, flags.unseen)
        metadata |= {"meta": str(flags.meta), "unseen": sorted({row["Category"] for row in rows if row["Unseen"]})}
    results = Results(flags.rules, scores, rows, {**metadata, "sequences": len(names)})
    results.print()
    if flags.output is not None:
        results.write(flags.output)


def _sequences(truth: Path, listed: Path | None) -> tuple[str, ...]:
    """Return the names of a list, or of every folder of the truth."""
    if listed is not None:
        return tuple(read_names(listed, "name a file with one sequence per line"))
    return tuple(sorted(path.name for path in truth.iterdir() if path.is_dir())) if truth.is_dir() else ()


def _changed(
    rules: ScoringRules, ends: str | None, first: str | None, last: str | None
) -> tuple[ScoringRules, list[str]]:
    """Return the rules with the frames that flags count in or out, and what differs in words."""
    wanted = {"first_scored": first or ends, "last_scored": last or ends}
    given = {field: value == "in" for field, value in wanted.items() if value is not None}
    found = dataclasses.replace(rules, **given)
    words = {"first_scored": "first frame", "last_scored": "last frame"}
    different = [field for field in words if getattr(found, field) != getattr(rules, field)]
    return found, [f"{words[field]} {'in' if getattr(found, field) else 'out'}" for field in different]
