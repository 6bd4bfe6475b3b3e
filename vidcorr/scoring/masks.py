"""Score masks on disk by the rules of DAVIS and related data sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import lru_cache, partial
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..metrics.rules import RULES
from ..metrics.scoring import Ids, MaskScorer, Object, Rules, Values, Video
from ..results.provenance import Provenance
from ..results.result import Network, Result, Row, leave_one_out, videos_of
from ..videos.files import DataError, errors_at, read_videos, require_folder, require_one_of
from ..videos.folders import list_folders, list_images
from ..videos.images import image_size
from ..videos.masks import ids_by_value, mask_folders, read_ids, read_mask
from ..videos.processes import usable_cores

KEPT_MASKS = 2**26
"""Bytes of a folder's annotations that are cached, since rules and scores both read them."""
Scored = tuple[str, dict[Object, Values]]
"""A video and the values of its objects."""
Entries = Mapping[str, Mapping[str, Any]]
"""Video → its entry in the metadata file of the data set."""


class MaskFolder(NamedTuple):
    """A unit of scoring: a video, or an object of a video if objects have separate folders.

    Attributes:
        video: name of the video.
        object: name of the object's folder; empty if the masks hold all objects.
        truth: annotated masks, at least one.
        predictions: folder of the predicted masks.
    """

    video: str
    object: str
    truth: Sequence[Path]
    predictions: Path


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
        truth: folder with a folder of indexed PNGs per video, or the root of a data set with this folder as
            `Annotations`.
        predictions: folder of predictions with the same layout and file names, for all scored frames.
        rules: name in `RULES`, or your rules.
        videos: names of videos; by default all videos of the metadata, or all folders of `truth`.
        meta: metadata file of the data set, if the rules need it.
        unseen: videos (LVOS) or categories (YouTube-VOS) that training has not seen.
        keep_ends: count the first and the last frame too.
        allow_missing: count videos without predictions as 0 where the official code does (MOSEv2), else leave them
            out, as videos without an object to score.

    Raises:
        DataError: for a missing or damaged mask, a mask of another size, or a video without an object to score; the
            message names the file.
        ValueError: for unknown rules, rules without their metadata, or a video that is named twice.

    Example:
        >>> score("DAVIS/Annotations/480p", "prediction", "davis-2017").scores  # doctest: +SKIP
        {'J&F-Mean': 0.66, ...}
    """
    if isinstance(rules, str):
        require_one_of(RULES, rules=rules)
        rules = RULES[rules]
    truth = require_folder(Path(truth).expanduser())
    if (truth / "Annotations").is_dir():
        truth /= "Annotations"
    predictions = require_folder(Path(predictions).expanduser())
    if rules.needs_meta and meta is None:
        raise ValueError(f"rules {rules.name} need the data set's metadata: give meta, a file")
    entries: Entries = {} if meta is None else read_videos(Path(meta))
    names = _names_of(videos, truth, entries, meta, rules)
    missing = [name for name in names if not (predictions / name).is_dir()]
    if missing and not allow_missing:
        raise DataError(
            f"{predictions / missing[0]}: no such folder of predictions ({len(missing)} of {len(names)} are missing); "
            f"expected {predictions}/VIDEO/FRAME.png"
        )
    folders: list[MaskFolder] = []
    for name in names:
        if name not in missing:
            folders += _folders(truth, predictions, name, rules)
    optional = allow_missing and not rules.folder_per_object  # where each folder is there for an object
    work = partial(_score_folder, rules, entries, keep_ends, optional)
    rows = _rows_of_missing(missing, entries, rules)
    with ThreadPoolExecutor(usable_cores()) as pool:
        for video, objects in list(pool.map(work, folders)):
            rows += rows_of_objects(video, objects)
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
    scores_of = partial(_scores_of, rules, entries, set(unseen))
    with errors_at(meta):
        without = leave_one_out(rows, scores_of) if rules.pooled else {}
        return result_of(rules.name, predictions, rows, scores_of(rows), data, without)


def _names_of(
    videos: Sequence[str] | None, truth: Path, entries: Entries, meta: str | Path | None, rules: Rules
) -> Sequence[str]:
    """Return the videos to score: those that are named, else all of the metadata or of the truth.

    Raises:
        ValueError: for a video that is named twice.
        DataError: for a video without a folder of annotations, or without the metadata that the rules need.
    """
    known = entries if rules.needs_meta else list_folders(truth)
    names = videos or sorted(known)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"videos names {', '.join(twice[:5])} more than once: their rows would count twice")
    for name in names:
        require_folder(truth / name)
        if rules.needs_meta and name not in entries:
            raise DataError(f"{meta}: has no video {name}")
    return names


def _rows_of_missing(missing: Sequence[str], entries: Entries, rules: Rules) -> list[Row]:
    """Return rows of zeros for the objects of videos without predictions, if the rules count such videos."""
    rows: list[Row] = []
    if rules.missing_video == "counted as 0":
        nothing = rules.summarise(np.zeros((0, len(rules.measures))))
        for name in missing:
            rows += rows_of_objects(name, dict.fromkeys(entries[name]["objects"], nothing))
    return rows


def _scores_of(rules: Rules, entries: Entries, unseen: Collection[str], rows: Sequence[Row]) -> dict[str, float]:
    """Return the scores of the data set, by the rules, from rows of its objects."""
    objects: dict[tuple[str, Object], Values] = {}
    for row in rows:
        values = {column: float(value) for column, value in row.values.items()}
        objects[row.video, row.object] = values
    return rules.table(objects, entries, unseen)


def rows_of_objects(video: str, objects: Mapping[Any, Values]) -> list[Row]:
    """Return a row per object of a video, from object → values."""
    rows: list[Row] = []
    for number, values in objects.items():
        rows.append(Row(video=video, object=str(number), values=values))
    return rows


def result_of(
    benchmark: str,
    predictions: str | Path,
    rows: Sequence[Row],
    scores: dict[str, float],
    data: dict[str, Any],
    without: dict[str, dict[str, float]],
) -> Result:
    """Return the result of predictions on disk, with their folder as the name of the network.

    Args:
        benchmark: name of the benchmark.
        predictions: the folder.
        rows: the scored sequences or objects, sorted.
        scores: key → fraction.
        data: facts that the scores depend on.
        without: for scores that are no means over the rows: score → sequence → score of all the others.
    """
    return Result(
        benchmark=benchmark,
        network=Network(name=str(predictions)),
        scores=scores,
        without=without,
        rows=rows,
        sequences=videos_of(rows),
        data=data,
        provenance=Provenance.now(),
    )


def _folders(truth: Path, predictions: Path, video: str, rules: Rules) -> Iterator[MaskFolder]:
    """Yield the folders of a video: a single folder, or a folder per object.

    Raises:
        DataError: if a folder holds no masks, or masks and folders.
    """
    objects = mask_folders(truth / video)
    if not rules.folder_per_object and objects != [""]:
        raise DataError(
            f"{truth / video}: holds folders ({objects[0]}), no masks; expected {truth}/VIDEO/FRAME.png, by rules sa-v "
            "also a folder per object"
        )
    for name in objects:
        masks = list_images(truth / video / name)
        if not masks:
            raise DataError(f"{truth / video / name}: holds no masks")
        yield MaskFolder(video, name, masks, predictions / video / name)


class _MaskReader:
    """Reads the masks of a folder with the ids of its video.

    Args:
        paths: all masks of the video.
        one_object: they lie in a folder of one object; then 1 is every pixel of the object.
        has_void: 255 is void beside ids.
    """

    def __init__(self, paths: Iterable[Path], one_object: bool, has_void: bool) -> None:
        self.files = {path.stem: path for path in paths}
        self.one_object = one_object
        self.values: Mapping[int, int] = {}  # pixel value → object id
        if not one_object:
            self.values = ids_by_value(self.files.values(), has_void)

    def read(self, stem: str) -> Ids:
        """Read a mask.

        Raises:
            DataError: if the mask is damaged or holds no ids, or two objects in a folder of one.
        """
        path = self.files[stem]
        if not self.one_object:
            return read_ids(path, self.values, self.files.values())
        ids = read_mask(path)
        if len(np.unique(ids[ids > 0])) > 1:
            raise DataError(f"{path}: holds more than one object, in a folder of one")
        return (ids > 0).astype(np.uint8)

    def errors(self, stem: str) -> AbstractContextManager[None]:
        """Return a context whose errors name the mask."""
        return errors_at(self.files[stem])


def _score_folder(rules: Rules, entries: Entries, keep_ends: bool, optional: bool, masks: MaskFolder) -> Scored:
    """Return the values of a folder's objects; none for a folder without objects if `optional`."""
    one_object = bool(masks.object)
    annotations = _MaskReader(masks.truth, one_object, rules.has_void)
    predictions = _MaskReader(list_images(masks.predictions), one_object, rules.has_void)
    folder = masks.truth[0].parent
    height, width = image_size(masks.truth[0])

    @lru_cache(max(1, KEPT_MASKS // (height * width)))
    def annotation(stem: str) -> Ids:
        if stem not in annotations.files:
            raise DataError(f"{folder / stem}.png: the metadata names this frame, but it has no annotation")
        return annotations.read(stem)

    with errors_at(folder):
        video = Video(masks.video, list(annotations.files), annotation, entries.get(masks.video, {}), keep_ends)
        scorer = MaskScorer(rules, video)
    if not scorer.plan and not optional:
        raise DataError(f"{folder}: rules {rules.name} score no object here")
    required = rules.required(video, scorer.plan)
    missing = [stem for stem in required if stem not in predictions.files]
    if missing:
        path = masks.predictions / f"{missing[0]}.png"
        raise DataError(f"{path}: a predicted mask is missing ({len(missing)} of {len(required)})")
    with errors_at(masks.predictions):
        objects = scorer.score(predictions.read, predictions.errors)
    named: dict[Object, Values] = {}
    for number, values in objects.items():
        named[masks.object or number] = values
    return masks.video, named
