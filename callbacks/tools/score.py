"""Score masks, point tracks or boxes of any method against a data set's own, by the rules of that data set."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datamodules.reading.files import usable_cores, write_atomically
from datamodules.reading.guards import DataError, read_names, read_videos, require_folder
from datamodules.reading.mask_files import object_ids, read_mask
from datamodules.reading.source import list_images

from ..command_line.configs import positive
from ..metrics.rules import RULES
from ..metrics.scoring import Ids, Object, Rules, Values, Video, VideoScore
from ..results.written import Results, require_writable

MASKS_PER_PROCESS = 400
"""Masks that are worth a further process: it takes as long to start as these take to score."""


class MaskFolder(NamedTuple):
    """A folder of masks that is scored by itself: a video, or an object of a video with a folder per object.

    Attributes:
        video: name of the video.
        object: name of the object's folder; empty where the masks hold all objects.
        truth: its masks, at least one.
        predictions: the folder of its predictions.
    """

    video: str
    object: str
    truth: Sequence[Path]
    predictions: Path


@dataclass
class Scored(Results):
    """The scores of predictions on disk.

    Args:
        names: name of each row in `flat`, for example of an object, `bike/1`; empty: those of the sequences.
    """

    names: Sequence[str] = ()

    @property
    def flat(self) -> dict[str, float]:
        """The scores of the data set and of each sequence or object (`J/bike/1`) in one dictionary."""
        in_pixels = {key: value for key, value in self.metadata.items() if key == "median_error"}
        of_rows = {
            f"{key.removesuffix('-Mean')}/{name}": value
            for name, row in zip(self.names or [row["Sequence"] for row in self.rows], self.rows, strict=True)
            for key, value in row.items()
            if key not in ("Sequence", "Queries")
        }
        return {**self.scores, **in_pixels, **of_rows}


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
) -> Scored:
    """Score masks on disk; no network is involved.

    Args:
        truth: folder with a folder of indexed PNGs for each video; the root of a data set that holds it as
            `Annotations` is taken too.
        predictions: the same for the predictions; every scored frame needs one, of the same name.
        rules: name in `RULES`, or rules of your own.
        videos: their names; None is all that the metadata lists, or every folder of `truth`.
        meta: the data set's metadata file, where the rules need one.
        unseen: videos (LVOS) or categories (YouTube-VOS) that training has not seen.
        keep_ends: count the first and the last frame too.
        allow_missing: where the official code leaves a video without predictions or without objects to score out, or
            counts it as 0, do so.
        workers: processes; None is one per core, or fewer for few masks. The scores are the same to the last digit.

    Raises:
        DataError: one line that names the file, for a missing or damaged mask, one of another size, or a video with
            nothing to score.
        ValueError: if there are no such rules, or they lack something.

    Example:
        >>> score("DAVIS/Annotations/480p", "prediction", "davis-2017").scores  # doctest: +SKIP
        {'J&F-Mean': 0.66, ...}
    """
    if isinstance(rules, str):
        if rules not in RULES:
            raise ValueError(f"rules {rules!r}: expected one of {', '.join(RULES)}")
        rules = RULES[rules]
    truth = require_folder(Path(truth).expanduser(), "name the folder that holds the annotations")
    truth = truth / "Annotations" if (truth / "Annotations").is_dir() else truth
    predictions = require_folder(Path(predictions).expanduser(), "name the folder that holds the predictions")
    if rules.needs_meta and meta is None:
        raise ValueError(f"rules {rules.name} take objects and frames from the data set's metadata: give --meta FILE")
    entries = read_videos(Path(meta)) if meta is not None else {}
    names = _videos(truth, rules, videos, entries, meta)
    missing = [name for name in names if not (predictions / name).is_dir()]
    if missing and (rules.missing_video == "refused" or not allow_missing):
        treatment = f"by the official code they are {rules.missing_video}"
        remedy = "" if rules.missing_video == "refused" else f"; {treatment}: --allow-missing"
        raise DataError(f"{predictions / missing[0]}: {len(missing)} of {len(names)} videos are missing{remedy}")
    objects: dict[tuple[str, Object], Values] = {}
    if rules.missing_video == "counted as 0":
        nothing = np.zeros((0, len(rules.measures)))
        objects = {(name, int(k)): rules.summarise(nothing) for name in missing for k in entries[name]["objects"]}
    folders = [each for name in names if name not in missing for each in _folders(truth, predictions, name, rules)]
    optional = allow_missing and rules.empty_video == "left out"
    work = partial(_score_folder, rules, entries, keep_ends, optional)
    enough = 1 + sum(len(each.truth) for each in folders) // MASKS_PER_PROCESS
    for each, values in _results(work, folders, workers or min(usable_cores(), enough)):
        objects |= {(each.video, each.object or number): found for number, found in values.items()}
    if not objects:
        raise DataError(f"{predictions}: no video of {truth} to score")
    ordered = {key: objects[key] for key in sorted(objects, key=lambda key: (key[0], str(key[1]).zfill(9)))}
    try:
        table = rules.table(ordered, entries, set(unseen))
    except ValueError as error:
        raise DataError(f"{meta}: {error}") from error
    scored = {video for video, _ in ordered} - set(missing)
    metadata = {
        "rules": rules.stated(),
        "keep_ends": keep_ends,
        "missing_videos": [name for name in names if name not in scored],
        "truth": str(truth),
        "predictions": str(predictions),
        "sequences": len({video for video, _ in ordered}),
    }
    rows = [{"Sequence": f"{video}_{number}", **values} for (video, number), values in ordered.items()]
    return Scored(rules.name, table, rows, metadata, [f"{video}/{number}" for video, number in ordered])


def _videos(
    truth: Path, rules: Rules, wanted: Sequence[str] | None, entries: Mapping[str, Any], meta: str | Path | None
) -> Sequence[str]:
    """Return the videos to score: those wanted, else all; each has a folder of masks, and an entry in `meta`."""
    names = wanted or sorted(entries if rules.needs_meta else _folders_in(truth))
    for name in names:
        require_folder(truth / name, "the truth lacks this video")
        if rules.needs_meta and name not in entries:
            raise DataError(f"{meta}: has no video {name}")
    return names


def _folders_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _folders(truth: Path, predictions: Path, video: str, rules: Rules) -> Iterator[MaskFolder]:
    """Yield a video, or each of its objects where it has a folder for each."""
    for name in (rules.folder_per_object and _folders_in(truth / video)) or [""]:
        masks = list_images(truth / video / name)
        if not masks:
            raise DataError(f"{truth / video / name}: no masks")
        yield MaskFolder(video, name, masks, predictions / video / name)


def _results(
    work: Callable[[MaskFolder], dict[Object, Values]], folders: Sequence[MaskFolder], workers: int
) -> Iterator[tuple[MaskFolder, dict[Object, Values]]]:
    """Yield each folder with its values; the longest are begun first. An error ends it, whichever process met it."""
    folders = sorted(folders, key=lambda each: -len(each.truth))
    if min(workers, len(folders)) <= 1:
        yield from zip(folders, map(work, folders), strict=True)
        return
    # not forked: OpenCV's threads do not survive a fork, and the caller may have used them
    with ProcessPoolExecutor(min(workers, len(folders)), mp_context=get_context("forkserver")) as pool:
        try:
            yield from zip(folders, pool.map(work, folders), strict=True)
        except BrokenProcessPool as error:
            raise DataError("a process that scored masks was killed; with --workers 1 less memory is needed") from error


def _score_folder(
    rules: Rules, entries: Mapping[str, Any], keep_ends: bool, optional: bool, masks: MaskFolder
) -> dict[Object, Values]:
    """Score one folder of masks: object → its values; nothing for one without objects, if that is `optional`."""
    files = {path.stem: path for path in masks.truth}
    found = {path.stem: path for path in list_images(masks.predictions)}
    folder = masks.truth[0].parent

    @lru_cache(maxsize=256)
    def annotation(stem: str) -> Ids:
        if stem not in files:
            raise DataError(f"{folder / stem}.png: the metadata names this frame, but it has no annotation")
        return _read(files[stem], bool(masks.object))

    video = Video(masks.video, sorted(files), annotation, entries.get(masks.video, {}), keep_ends)
    try:
        plan = rules.plan(video)
    except (ValueError, KeyError, TypeError) as error:
        raise error if isinstance(error, DataError) else DataError(f"{folder}: {error}") from error
    if not plan and not optional:
        remedy = "; the official code leaves it out: --allow-missing" if rules.empty_video == "left out" else ""
        raise DataError(f"{folder}: {len(files)} masks, none of which is left to score an object on{remedy}")
    if missing := [stem for stem in rules.required(video, plan) if stem not in found]:
        raise DataError(f"{masks.predictions / missing[0]}.png: {len(missing)} predicted masks are missing")
    scored = VideoScore(rules, plan)
    for stem in sorted(scored.objects):
        target, predicted = annotation(stem), _read(found[stem], bool(masks.object))
        known = plan if rules.refuses_unknown else None
        _check(rules.ids(predicted), rules.ids(target), found[stem], files[stem], known)
        scored.add(stem, predicted, scored.outlines(stem, target))
    return scored.values()


def _read(path: Path, one_object: bool) -> Ids:
    ids = read_mask(path)
    if not one_object:
        return ids
    if len(np.unique(ids[ids > 0])) > 1:
        raise DataError(f"{path}: holds more than one object; with a folder per object each mask holds one")
    return (ids > 0).astype(np.uint8)


def _check(predicted: Ids, target: Ids, path: Path, truth: Path, objects: Collection[Object] | None) -> None:
    if predicted.shape != target.shape:
        sizes = (" × ".join(map(str, mask.shape)) for mask in (predicted, target))
        raise DataError("{}: is {} px, the annotation {}".format(path, *sizes))
    if objects is None:
        return
    for file, ids in ((truth, target), (path, predicted)):
        # the objects are 1 to n, and a histogram takes longer than the scores
        if ids.max(initial=0) > len(objects) and (unknown := set(object_ids(ids)) - set(objects)):
            raise DataError(
                f"{file}: holds id {min(unknown)}; the video has the objects {', '.join(map(str, objects))}. Rules "
                "youtube-vos and vos-benchmark score objects that enter later"
            )


def _unseen(rules: str, given: Sequence[str], meta: Path | None, trained: Path | None) -> set[str]:
    """Return names of videos or categories: those given, of which a file is a list, and those training lacks."""
    names = {name for word in given for name in (read_names(Path(word), "") if Path(word).is_file() else [word])}
    if meta is None and (names or trained is not None):
        raise ValueError("score: --trained-meta and --unseen need --meta, which gives each object's video and category")
    if rules != "youtube-vos" or meta is None:
        return names
    if not names and trained is None:
        raise ValueError("score: --meta needs --trained-meta or --unseen, which say what training has not seen")
    known = _categories(meta)
    if strange := sorted(names - known):
        raise ValueError(f"--unseen {strange[0]}: {meta} has no such category; it has {', '.join(sorted(known))}")
    return names | (known - _categories(trained) if trained is not None else set())


def _categories(meta: Path) -> set[str]:
    return {str(thing.get("category")) for video in read_videos(meta).values() for thing in video["objects"].values()}


def command(args: Sequence[str]) -> None:
    """Run `vidcorr score` with its arguments; a user's mistake raises a one-line ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr score", description=__doc__)
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="folder with a folder of masks for each video")
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="folder of predictions in the same form")
    parser.add_argument(
        "--rules", choices=list(RULES), default="davis-2017", help="a data set's rules (default: davis-2017)"
    )
    parser.add_argument("--tracks", choices=["first", "strided"], help="score point tracks: TAP-Vid, BADJA")
    parser.add_argument(
        "--boxes", nargs="?", const="otb", choices=["otb", "got-10k"], help="score boxes (by default by OTB's rules)"
    )
    parser.add_argument("--masks", type=Path, metavar="FOLDER", help="masks of BADJA's animals, for --tracks")
    parser.add_argument("--meta", type=Path, metavar="FILE", help="metadata: lvos, mose-v2, youtube-vos's categories")
    parser.add_argument(
        "--unseen", nargs="+", default=[], metavar="NAME", help="unseen videos (lvos) or categories, or a file of them"
    )
    parser.add_argument(
        "--trained-meta", type=Path, metavar="FILE", help="meta.json of YouTube-VOS's training set; others are unseen"
    )
    parser.add_argument("--list", type=Path, metavar="FILE", help="file of video names, one per line")
    parser.add_argument("--keep-ends", action="store_true", help="count the first and the last frame too")
    parser.add_argument(
        "--allow-missing", action="store_true", help="leave videos without predictions to the official code's rule"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="all scores in one flat object")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="folder for results.json and per_sequence.csv")
    parser.add_argument("--workers", type=positive, help="number of processes (default: by the number of masks)")
    flags = parser.parse_args(list(args))
    if flags.output is not None:
        require_writable(flags.output)
    if flags.boxes:
        from .score_tracks import score_boxes

        found = score_boxes(flags.truth, flags.predictions, flags.boxes)
    elif flags.tracks:
        from .score_tracks import score_tracks

        found = score_tracks(flags.truth, flags.predictions, flags.tracks, flags.masks)
    else:
        found = score(
            flags.truth,
            flags.predictions,
            flags.rules,
            videos=read_names(flags.list, "name a file with one video per line") if flags.list else None,
            meta=flags.meta,
            unseen=_unseen(flags.rules, flags.unseen, flags.meta, flags.trained_meta),
            keep_ends=flags.keep_ends,
            allow_missing=flags.allow_missing,
            workers=flags.workers,
        )
    found.print()
    if flags.json is not None:
        flags.json.parent.mkdir(parents=True, exist_ok=True)
        known = {name: None if math.isnan(value) else value for name, value in found.flat.items()}
        write_atomically(flags.json, json.dumps(known, indent=1) + "\n")
    if flags.output is not None:
        found.write(flags.output)
    if left_out := found.metadata.get("missing_videos"):
        treatment, listed = RULES[flags.rules].missing_video, ", ".join(left_out[:10])
        print(f"{len(left_out)} videos without predictions or objects to score, {treatment}: {listed}")
