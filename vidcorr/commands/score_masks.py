"""Score masks on disk by the rules of DAVIS and related data sets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..metrics.rules import RULES
from ..metrics.scoring import Ids, Object, Plan, Rules, Values, Video, VideoScore
from ..results.result import Network, Provenance, Result, Row
from ..videos.guards import DataError, read_videos, require_folder, require_one_of
from ..videos.images import image_header, opened_image
from ..videos.mask_files import object_ids, read_mask
from ..videos.processes import CrashedError, in_processes, usable_cores
from ..videos.source import list_images

MASKS_PER_PROCESS = 400
"""Masks per process: scoring them takes as long as starting a process."""
KEPT_MASKS = 2**26
"""Bytes of annotations that a process caches, since rules and scores both read them."""
log = logging.getLogger(__name__)
ByObject = dict[tuple[str, Object], Values]
"""(video, object) → its values."""


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


def flat_scores(result: Result) -> dict[str, float]:
    """Return the scores of the data set, and of sequences or objects (`J/bike/1`), as a flat dictionary."""
    in_pixels = {key: value for key, value in result.data.items() if key == "median_error"}
    of_rows = {
        "/".join(filter(None, (key.removesuffix("-Mean"), row.video, row.object))): value
        for row in result.rows
        for key, value in row.values.items()
        if key != "Queries" and not isinstance(value, str)
    }
    return {**result.scores, **in_pixels, **of_rows}


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
    workers: int | None = None,
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
        allow_missing: treat videos without predictions or without objects as the official code does: leave them out,
            or count them as 0.
        workers: number of processes; by default a process per core, or fewer for few masks. The scores do not depend on
            it.

    Raises:
        DataError: for a missing or damaged mask, a mask of another size, or a video without an object to score; the
            message names the file.
        ValueError: for unknown rules, or rules without their metadata.

    Example:
        >>> score("DAVIS/Annotations/480p", "prediction", "davis-2017").scores  # doctest: +SKIP
        {'J&F-Mean': 0.66, ...}
    """
    if isinstance(rules, str):
        require_one_of(RULES, rules=rules)
        rules = RULES[rules]
    truth = require_folder(Path(truth).expanduser(), "name the folder that holds the annotations")
    truth = truth / "Annotations" if (truth / "Annotations").is_dir() else truth
    predictions = require_folder(Path(predictions).expanduser(), "name the folder that holds the predictions")
    if rules.needs_meta and meta is None:
        raise ValueError(f"rules {rules.name} take objects and frames from the data set's metadata: give --meta FILE")
    entries = read_videos(Path(meta)) if meta is not None else {}
    names = _videos(truth, rules, videos, entries, meta)
    missing = _missing(names, predictions, rules, allow_missing)
    objects: ByObject = {}
    if rules.missing_video == "counted as 0":
        nothing = rules.summarise(np.zeros((0, len(rules.measures))))
        objects = {(name, int(number)): nothing for name in missing for number in entries[name]["objects"]}
    folders = [masks for name in names if name not in missing for masks in _folders(truth, predictions, name, rules)]
    optional = allow_missing and rules.empty_video == "left out"
    work = partial(_score_folder, rules, entries, keep_ends, optional)
    enough = 1 + sum(len(masks.truth) for masks in folders) // MASKS_PER_PROCESS
    _compare_palettes(folders)
    for of_folder in _results(work, folders, workers or min(usable_cores(), enough)):
        objects |= of_folder
    if not objects:
        raise DataError(f"{predictions}: no video of {truth} to score")
    ordered = {key: objects[key] for key in sorted(objects, key=lambda key: (key[0], str(key[1]).zfill(9)))}
    try:
        table = rules.table(ordered, entries, set(unseen))
    except ValueError as error:
        raise DataError(f"{meta}: {error}") from error
    scored = {video for video, _ in ordered}
    data = {
        "rules": rules.stated(),
        "keep_ends": keep_ends,
        "missing_videos": [name for name in names if name in missing or name not in scored],
        "truth": truth,
    }
    rows = [Row(video=video, object=str(number), values=values) for (video, number), values in ordered.items()]
    return result_of(rules.name, predictions, table, rows, data)


def result_of(
    benchmark: str, predictions: str | Path, scores: dict[str, float], rows: Sequence[Row], data: dict[str, Any]
) -> Result:
    """Return the result of predictions on disk, with their folder as the name of the network."""
    return Result(
        benchmark=benchmark,
        network=Network(name=str(predictions)),
        scores=scores,
        rows=rows,
        sequences=list(dict.fromkeys(row.video for row in rows)),
        data=data,
        provenance=Provenance.now(),
    )


def _videos(
    truth: Path, rules: Rules, wanted: Sequence[str] | None, entries: Mapping[str, Any], meta: str | Path | None
) -> Sequence[str]:
    """Return the videos to score, after checking their folders and their entries in `meta`."""
    names = wanted or sorted(entries if rules.needs_meta else _folders_in(truth))
    for name in names:
        require_folder(truth / name, "the truth lacks this video")
        if rules.needs_meta and name not in entries:
            raise DataError(f"{meta}: has no video {name}")
    return names


def _missing(names: Sequence[str], predictions: Path, rules: Rules, allowed: bool) -> list[str]:
    """Return the videos without predictions.

    Raises:
        DataError: if there are any, unless they are allowed and the official code does not refuse them.
    """
    missing = [name for name in names if not (predictions / name).is_dir()]
    if missing and (rules.missing_video == "refused" or not allowed):
        treatment = f"; by the official code they are {rules.missing_video}: --allow-missing"
        remedy = "" if rules.missing_video == "refused" else treatment
        raise DataError(f"{predictions / missing[0]}: {len(missing)} of {len(names)} videos are missing{remedy}")
    return missing


def _folders_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _folders(truth: Path, predictions: Path, video: str, rules: Rules) -> Iterator[MaskFolder]:
    """Yield the folders of a video: a single folder, or a folder per object."""
    objects = _folders_in(truth / video) if rules.folder_per_object else []
    for name in objects or [""]:
        masks = list_images(truth / video / name)
        if not masks:
            raise DataError(f"{truth / video / name}: no masks")
        yield MaskFolder(video, name, masks, predictions / video / name)


def _results(work: Callable[[MaskFolder], ByObject], folders: Sequence[MaskFolder], workers: int) -> Iterator[ByObject]:
    """Yield the values of the folders, longest first; the error of the longest faulty folder ends the scoring."""
    folders = sorted(folders, key=lambda masks: -len(masks.truth))
    if min(workers, len(folders)) <= 1:
        yield from map(work, folders)
        return
    unfinished, faults = [masks.predictions for masks in folders], dict[Path, DataError]()
    for masks, outcome in in_processes(work, folders, workers, timeout=0, title="folders"):
        if isinstance(outcome, CrashedError):
            remedy = "--workers 1 needs less memory"
            faults[masks.predictions] = DataError(f"{masks.predictions}: {outcome}; {remedy}")
        elif isinstance(outcome, DataError):
            faults[masks.predictions] = outcome
        else:
            unfinished.remove(masks.predictions)
            yield outcome
        if faults and unfinished[0] in faults:  # no longer folder is left, so the number of workers changes no message
            raise faults[unfinished[0]]


def _compare_palettes(folders: Sequence[MaskFolder]) -> None:
    """Warn of the first video in which a predicted object has the colour of another annotated object."""
    for folder in folders:
        truth = folder.truth[len(folder.truth) // 2]
        prediction = folder.predictions / truth.name
        if not prediction.is_file():
            continue
        annotated, predicted = _colours(truth), _colours(prediction)
        objects = object_ids(read_mask(truth))
        for number in filter(predicted.__contains__, object_ids(read_mask(prediction))):
            colour = predicted[number]
            others = [other for other in objects if other != number and annotated.get(other) == colour]
            if others and annotated.get(number) != colour:
                log.warning(
                    "%s: object %d has the colour of object %d of the annotation; ids are scored, not colours, so save "
                    "predictions with the annotation's palette",
                    *(prediction, number, others[0]),
                )
                return


def _colours(path: Path) -> dict[int, list[int]]:
    """Return id → RGB of a mask's palette; empty without a palette."""
    with opened_image(path) as image:
        return dict(enumerate(np.array(image.getpalette() or []).reshape(-1, 3).tolist()))


def _score_folder(
    rules: Rules, entries: Mapping[str, Any], keep_ends: bool, optional: bool, masks: MaskFolder
) -> ByObject:
    """Return the values of a folder's objects; an empty dictionary for a folder without objects if `optional`."""
    files = {path.stem: path for path in masks.truth}
    predictions = {path.stem: path for path in list_images(masks.predictions)}
    folder, one_object = masks.truth[0].parent, bool(masks.object)
    height, width = image_header(masks.truth[0])[0]

    @lru_cache(max(1, KEPT_MASKS // (height * width)))
    def annotation(stem: str) -> Ids:
        if stem not in files:
            raise DataError(f"{folder / stem}.png: the metadata names this frame, but it has no annotation")
        return _read(files[stem], one_object)

    video = Video(masks.video, sorted(files), annotation, entries.get(masks.video, {}), keep_ends)
    try:
        plan = rules.plan(video)
    except DataError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: {error}") from error
    if not plan and not optional:
        remedy = "; the official code leaves it out: --allow-missing" if rules.empty_video == "left out" else ""
        raise DataError(f"{folder}: {len(files)} masks, none of which is left to score an object on{remedy}")
    if missing := [stem for stem in rules.required(video, plan) if stem not in predictions]:
        raise DataError(f"{masks.predictions / missing[0]}.png: {len(missing)} predicted masks are missing")
    scored = VideoScore(rules, plan)
    for stem in sorted(scored.objects):
        target, predicted = annotation(stem), _read(predictions[stem], one_object)
        if predicted.shape != target.shape:
            size, expected = (" × ".join(map(str, mask.shape)) for mask in (predicted, target))
            raise DataError(f"{predictions[stem]}: is {size} px, the annotation {expected}")
        if rules.refuses_unknown:
            _refuse_unknown(files[stem], rules.ids(target), plan)
            _refuse_unknown(predictions[stem], rules.ids(predicted), plan)
        scored.add(stem, predicted, scored.outlines(stem, target))
    return {(masks.video, masks.object or number): values for number, values in scored.values().items()}


def _refuse_unknown(file: Path, ids: Ids, plan: Plan) -> None:
    """Refuse a mask with an id that is no object of the video; the objects are 1 to n."""
    if ids.max(initial=0) <= len(plan):  # a histogram takes longer than the scores
        return
    if unknown := set(object_ids(ids)) - set(plan):
        raise DataError(
            f"{file}: holds id {min(unknown)}; the video has the objects {', '.join(map(str, plan))}. Rules "
            "youtube-vos and vos-benchmark score objects that enter later"
        )


def _read(path: Path, one_object: bool) -> Ids:
    ids = read_mask(path)
    if one_object and len(np.unique(ids[ids > 0])) > 1:
        raise DataError(f"{path}: holds more than one object; with a folder per object each mask holds one")
    return (ids > 0).astype(np.uint8) if one_object else ids
