"""Score masks on disk by the rules of DAVIS and related data sets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from ..metrics.rules import RULES
from ..metrics.scoring import MaskScorer, Object, Rules, Values, Video
from ..results.result import Network, Provenance, Result, Row, leave_one_out, videos_of
from ..videos.files import WRONG_JSON, DataError, errors_at, read_videos, require_one_of
from ..videos.folders import list_folders, list_images
from ..videos.mask_folder import MaskFolder, mask_folders
from ..videos.processes import usable_cores

Entries = Mapping[str, Mapping[str, Any]]
"""Video → its entry in the metadata file of the data set."""


def score(
    truth: str | Path,
    predictions: str | Path,
    rules: Rules | str = "davis-2017",
    *,
    videos: Sequence[str] | None = None,
    meta: str | Path | None = None,
    unseen: Collection[str] = (),
    keep_ends: bool = False,
    allow_missing: bool = False,
) -> Result:
    """Score masks on disk.

    Args:
        truth: folder with a folder of indexed PNGs per video.
        predictions: folder of predictions with the same layout and file names, for all scored frames.
        rules: name in `RULES`, or your rules.
        videos: names of videos; by default all videos of the metadata, or all folders of `truth`.
        meta: metadata file of the data set, if the rules need it.
        unseen: videos (LVOS) or categories (YouTube-VOS) that training has not seen.
        keep_ends: count the first and the last frame too, by rules that leave them out.
        allow_missing: count videos without predictions as 0 where the official code does (MOSEv2), else leave them
            out, as videos without an object to score.

    Raises:
        DataError: for a missing or damaged mask, a mask of another size, or a video without an object to score; the
            message names the file.
        ValueError: for unknown rules, rules without their metadata, or `keep_ends` by rules that leave no ends out.

    Example:
        >>> score("DAVIS/Annotations/480p", "prediction", "davis-2017").scores  # doctest: +SKIP
        {'J&F-Mean': 0.66, ...}
    """
    if isinstance(rules, str):
        require_one_of(RULES, rules=rules)
        rules = RULES[rules]
    if keep_ends and not rules.inner_only:
        raise ValueError(f"keep_ends: rules {rules.name} do not leave the first and the last frame out")
    if rules.needs_meta and meta is None:
        raise ValueError(f"rules {rules.name} need the data set's metadata: give meta, a file")
    truth = Path(truth).expanduser()
    predictions = Path(predictions).expanduser()
    entries: Entries = {} if meta is None else read_videos(Path(meta))
    names = list(dict.fromkeys(videos or sorted(entries if rules.needs_meta else list_folders(truth))))
    predicted = set(list_folders(predictions))
    missing = [name for name in names if name not in predicted]
    if missing and not allow_missing:
        raise DataError(f"{predictions / missing[0]}: no such folder of predictions ({len(missing)} of {len(names)})")
    folders: list[tuple[str, str]] = []
    for name in names:
        if name not in missing:
            folders += [(name, of_object) for of_object in _objects(truth / name, rules)]
    rows: list[Row] = []
    if rules.missing_video == "counted as 0":
        nothing = rules.summarise(np.zeros((0, len(rules.measures))))
        for name in missing:
            rows += [Row(video=name, object=number, values=nothing) for number in entries[name]["objects"]]
    optional = allow_missing and not rules.folder_per_object  # where each folder is there for an object
    work = partial(_score_folder, rules, truth, predictions, entries, keep_ends, optional)
    with ThreadPoolExecutor(usable_cores()) as pool:
        for of_folder in list(pool.map(lambda folder: work(*folder), folders)):
            rows += of_folder
    if not rows:
        raise DataError(f"{predictions}: holds no video of {truth}; expected {predictions}/VIDEO/FRAME.png")
    rows.sort(key=attrgetter("name"))
    scored = {row.video for row in rows}.difference(missing)
    data = {
        "rules": rules.stated(),
        "keep_ends": keep_ends,
        "missing_videos": [name for name in names if name not in scored],
        "truth": truth,
    }
    table = rules.table

    def scores_of(rows: Sequence[Row]) -> Values:
        objects: dict[tuple[str, Object], Values] = {}
        for row in rows:
            objects[row.video, row.object] = {column: float(value) for column, value in row.values.items()}
        return table(objects, entries, set(unseen))

    with errors_at(meta, *WRONG_JSON):
        without = leave_one_out(rows, scores_of) if rules.pooled else {}
        scores = scores_of(rows)
        conditions = ["first and last frame too"] if keep_ends else []
        return result_of(rules.name, predictions, rows, conditions, scores=scores, without=without, data=data)


def result_of(
    benchmark: str, predictions: str | Path, rows: Sequence[Row], conditions: Sequence[str] = (), **fields: Any
) -> Result:
    """Return the result of predictions on disk, with their folder as the name of the network.

    Args:
        benchmark: name of the benchmark.
        predictions: the folder.
        rows: the scored sequences or objects, sorted.
        conditions: what comparable scores share, in words; the number of sequences is added.
        **fields: further fields of the result.
    """
    network = Network(name=str(predictions))
    videos = videos_of(rows)
    fields |= {"conditions": [*conditions, f"{len(videos)} sequences"], "provenance": Provenance.now()}
    return Result(benchmark=benchmark, network=network, rows=rows, sequences=videos, **fields)


def _objects(folder: Path, rules: Rules) -> Iterator[str]:
    """Yield the folders of a video's objects; "" if the folder holds its masks.

    Raises:
        DataError: if a folder holds no masks, folders that the rules do not know, or masks and folders.
    """
    for name in mask_folders(folder):
        if name and not rules.folder_per_object:
            raise DataError(f"{folder}: holds the folder {name}, no masks; rules {rules.name} score VIDEO/FRAME.png")
        if not list_images(folder / name):
            raise DataError(f"{folder / name}: holds no masks")
        yield name


def _score_folder(
    rules: Rules, truth: Path, mine: Path, entries: Entries, keep_ends: bool, optional: bool, name: str, of_object: str
) -> list[Row]:
    """Return a row per object of a folder; none for a folder without objects if `optional`."""
    folder = truth / name / of_object
    annotations = MaskFolder(folder, of_object=bool(of_object), has_void=rules.has_void)
    predictions = MaskFolder(mine / name / of_object, of_object=bool(of_object), has_void=rules.has_void)

    def shown(stem: str) -> Collection[int]:
        return annotations.shown(annotations.numbers[stem])

    with errors_at(folder, *WRONG_JSON):
        video = Video(name, list(annotations.numbers), shown, entries.get(name, {}), keep_ends)
        scorer = MaskScorer(rules, video)
    if not scorer.plan and not optional:
        raise DataError(f"{folder}: rules {rules.name} score no object here")
    required = rules.required(video, scorer.plan)
    missing = [stem for stem in required if stem not in predictions.numbers]
    if missing:
        path = mine / name / of_object / f"{missing[0]}.png"
        raise DataError(f"{path}: a predicted mask is missing ({len(missing)} of {len(required)})")
    for stem in scorer.objects:
        t = predictions.numbers[stem]
        with errors_at(predictions[t]):
            scorer.add(stem, annotations.read(annotations.numbers[stem]), predictions.read(t))
    with errors_at(mine / name / of_object):
        objects = scorer.finish()
    return [Row(video=name, object=of_object or str(number), values=values) for number, values in objects.items()]
