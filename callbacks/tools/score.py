"""Score predicted masks of any method against a data set's own, by the rules of DAVIS or YouTube-VOS."""

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.datasets.layout_files import list_pictures, read_names
from datamodules.reading.cores import usable_cores
from datamodules.reading.errors import DataError
from datamodules.reading.mask_files import VOID, read_mask

from ..benchmarks.results import Results, require_writable
from ..metrics import RegionBoundary, SequenceScore, object_outlines


@dataclass(frozen=True)
class Rules:
    """The rules by which masks are scored.

    Attributes:
        ends_scored: the first and the last annotated frame count.
        merged: all ids are one object.
        entering: an object may start in any annotated frame, and is scored on those after it; else all start in the
            first, and every number up to its largest id is an object.
    """

    ends_scored: bool = False
    merged: bool = False
    entering: bool = False


RULES = {
    "davis-2017": Rules(),
    "davis-2016": Rules(merged=True),
    "youtube-vos": Rules(ends_scored=True, entering=True),
}
"""Named rules: those of davis2017-evaluation (semi-supervised), of DAVIS-2016, and of YouTube-VOS's paper."""


def score(
    truth: str | Path,
    predictions: str | Path,
    rules: Rules | str = "davis-2017",
    sequences: Sequence[str] | None = None,
    workers: int | None = None,
) -> RegionBoundary:
    """Score masks on disk; no network is involved.

    Args:
        truth: folder with a folder of indexed PNGs for each sequence.
        predictions: the same for the predictions; every scored frame needs one, of the same name.
        rules: name in `RULES`, or rules of your own.
        sequences: names; None is every folder of `truth`.
        workers: threads; None is one for each core.

    Returns:
        The metric: `compute()` gives the scores, `rows()` those of each object.

    Raises:
        DataError: one line that names the file, for a missing or damaged mask, one of another size, an id in a
            prediction that the sequence does not have, or a sequence with nothing to score.
        ValueError: if there are no such rules.

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
    metric = RegionBoundary(ends_scored=rules.ends_scored)
    with ThreadPoolExecutor(workers or usable_cores()) as pool:
        scored = [pool.submit(score_sequence, name, truth / name, predictions / name, rules) for name in names]
        try:
            for future in scored:
                metric.update(future.result())
        finally:
            pool.shutdown(cancel_futures=True)
    return metric


def score_sequence(name: str, truth: Path, predictions: Path, rules: Rules) -> SequenceScore:
    """Score one sequence; see `score`.

    Args:
        name: of the sequence, for rows and errors.
        truth: folder of its masks.
        predictions: folder of the predictions.
        rules: see `Rules`.
    """
    files = {path.stem: path for path in list_pictures(truth)}
    found = {path.stem: path for path in list_pictures(predictions)}
    if not files:
        raise DataError(f"{truth}: no masks")
    masks = {stem: _ids(path, rules) for stem, path in files.items()} if rules.entering else {}
    starts = _starts(masks) if rules.entering else _first_objects(_ids(next(iter(files.values())), rules))
    objects = tuple(number for number, start in starts.items() if start < len(files) - 1)
    scored = range(len(files)) if rules.ends_scored else range(1, len(files) - 1)
    if not objects or not len(scored):
        raise DataError(f"{truth}: {len(files)} masks, of which none is left to score an object on")
    stems = list(files)
    needed = [stems[t] for t in scored if any(starts[number] < t for number in objects)]
    if missing := [stem for stem in needed if stem not in found]:
        raise DataError(f"{predictions}: {len(missing)} of {len(needed)} masks are missing, first {missing[0]}.png")
    result = SequenceScore(name, objects, ends_scored=True)
    for t in scored:
        present = tuple(number for number in objects if starts[number] < t)
        if not present:
            continue
        target = masks[stems[t]] if masks else _ids(files[stems[t]], rules)
        predicted = _ids(found[stems[t]], rules)
        _check(predicted, target, found[stems[t]], starts)
        result.add(predicted, object_outlines(target, present), objects=present)
    return result


def _ids(path: Path, rules: Rules) -> NDArray[np.uint8]:
    ids = read_mask(path)
    return (ids > 0).astype(np.uint8) if rules.merged else ids


def _first_objects(first: NDArray[np.uint8]) -> dict[int, int]:
    """Return every number up to the largest id of the first mask, as davis2017-evaluation counts objects.

    They start before the first frame, which is thus scored where the ends are.
    """
    return dict.fromkeys(range(1, int(first.max(where=first != VOID, initial=0)) + 1), -1)


def _starts(masks: Mapping[str, NDArray[np.uint8]]) -> dict[int, int]:
    """Return object id → number of the first mask that holds it."""
    starts: dict[int, int] = {}
    for t, mask in enumerate(masks.values()):
        for number in np.unique(mask):
            if 0 < number < VOID:
                starts.setdefault(int(number), t)
    return dict(sorted(starts.items()))


def _check(predicted: NDArray[np.uint8], target: NDArray[np.uint8], path: Path, objects: Mapping[int, int]) -> None:
    if predicted.shape != target.shape:
        sizes = (" × ".join(map(str, mask.shape)) for mask in (predicted, target))
        raise DataError("{}: is {} px, the annotation {}".format(path, *sizes))
    if unknown := sorted(set(np.unique(predicted).tolist()) - {0, VOID} - set(objects)):
        raise DataError(f"{path}: holds id {unknown[0]}; the sequence has the objects {', '.join(map(str, objects))}")


def command(words: Sequence[str]) -> None:
    """Run `vidcorr score` with the words after it.

    Raises:
        ValueError, OSError: for a user's mistake; one line.
    """
    parser = argparse.ArgumentParser(prog="vidcorr score", description=__doc__)
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="folder with a folder of masks for each sequence")
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="the same for the predictions")
    parser.add_argument("--rules", choices=list(RULES), default="davis-2017", help="(default: davis-2017)")
    parser.add_argument(
        "--ends", choices=["in", "out"], help="count the first and last frame or not (default: by the rules)"
    )
    parser.add_argument("--list", type=Path, metavar="FILE", help="names of the sequences, one a line")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write results.json and per_sequence.csv")
    parser.add_argument("--workers", type=int, help="threads (default: one for each core)")
    flags = parser.parse_args(list(words))
    if flags.workers is not None and flags.workers < 1:
        raise ValueError(f"score: --workers is {flags.workers}, it must be at least 1")
    chosen = RULES[flags.rules]
    ends = chosen.ends_scored if flags.ends is None else flags.ends == "in"
    rules = Rules(ends, chosen.merged, chosen.entering)
    if flags.output is not None:
        require_writable(flags.output)
    names = None if flags.list is None else read_names(flags.list, "name a file with one sequence a line")
    metric = score(flags.truth, flags.predictions, rules, names, flags.workers)
    folders = {"truth": str(flags.truth), "predictions": str(flags.predictions)}
    about = {"rules": flags.rules, "ends_scored": ends, **folders}
    results = Results(flags.rules, metric.compute(), metric.rows(), about)
    results.print()
    if flags.output is not None:
        results.write(flags.output)
