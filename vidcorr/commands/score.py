"""Score masks, point tracks or boxes of any method against a data set, by the rules of the data set."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..experiments.configured import positive
from ..videos.files import read_names, read_videos, write_atomically

DEFAULT_RULES = "davis-2017"
OF_MASKS = ("rules", "meta", "unseen", "trained_meta", "list", "keep_ends", "allow_missing", "workers")
"""Arguments that only the scoring of masks uses."""

if TYPE_CHECKING:  # pydantic would double the time of `--help`
    from ..results.result import Result


def command(args: Sequence[str]) -> None:
    """Run `vidcorr score`; a user's mistake raises ValueError or OSError."""
    flags = _parser().parse_args(list(args))
    from ..results.result import require_writable
    from .score_masks import flat_scores

    if flags.json is not None:
        require_writable(flags.json.parent)
    if flags.output is not None:
        require_writable(flags.output)
    result = _scored(flags)
    result.print()
    if flags.json is not None:
        scores: dict[str, float | None] = {}
        for name, value in flat_scores(result).items():
            scores[name] = None if math.isnan(value) else value
        write_atomically(flags.json, json.dumps(scores, indent=1) + "\n")
    if flags.output is not None:
        result.save(flags.output)
    left_out = result.data.get("missing_videos")
    if left_out:
        from ..metrics.rules import RULES

        way = RULES[flags.rules or DEFAULT_RULES].missing_video
        print(f"{way}, for want of predictions or objects: {', '.join(left_out)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vidcorr score", description=__doc__)
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="folder with a folder of masks per video")
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="predictions in the same layout")
    rules = (
        "davis-2017 (default), davis-2016, youtube-vos, lvos, lvos-2023, vost, sa-v, mose-v2, vos-benchmark (also for "
        "MOSE v1) or naf"
    )
    parser.add_argument("--rules", metavar="RULES", help=rules)
    parser.add_argument("--tracks", choices=["first", "strided"], help="score point tracks by these queries of TAP-Vid")
    boxes = "score boxes (by default by OTB's rules)"
    parser.add_argument("--boxes", nargs="?", const="otb", choices=["otb", "got-10k"], help=boxes)
    meta = 'metadata of lvos, of youtube-vos\'s categories, or of mose-v2: {"videos": {VIDEO: {"objects": {"1": {}}}}}'
    parser.add_argument("--meta", type=Path, metavar="FILE", help=meta)
    unseen = "unseen videos (lvos) or categories, or a file of names"
    parser.add_argument("--unseen", nargs="+", default=[], metavar="NAME", help=unseen)
    trained = "meta.json of YouTube-VOS's training set; others are unseen"
    parser.add_argument("--trained-meta", type=Path, metavar="FILE", help=trained)
    parser.add_argument("--list", type=Path, metavar="FILE", help="file of video names, one per line")
    parser.add_argument("--keep-ends", action="store_true", help="count the first and the last frame too")
    missing = "leave videos without predictions out (mose-v2: count them as 0)"
    parser.add_argument("--allow-missing", action="store_true", help=missing)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all scores to a flat JSON object")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write results.json and per_sequence.csv")
    parser.add_argument("--workers", type=positive, help="number of processes (default: by the number of masks)")
    return parser


def _scored(flags: argparse.Namespace) -> Result:
    """Score boxes, tracks or masks, by the flags."""
    _refuse_idle(flags)
    if flags.boxes or flags.tracks:
        from .score_tracks import score_boxes, score_tracks  # they need torch

        if flags.boxes:
            return score_boxes(flags.truth, flags.predictions, flags.boxes)
        return score_tracks(flags.truth, flags.predictions, flags.tracks)
    from . import score_masks

    videos = None
    if flags.list is not None:
        videos = read_names(flags.list, "name a file with one video per line")
    return score_masks.score(
        flags.truth,
        flags.predictions,
        flags.rules or DEFAULT_RULES,
        videos=videos,
        meta=flags.meta,
        unseen=_unseen(flags),
        keep_ends=flags.keep_ends,
        allow_missing=flags.allow_missing,
        workers=flags.workers,
    )


def _refuse_idle(flags: argparse.Namespace) -> None:
    """Refuse flags that would change nothing.

    Raises:
        ValueError: naming the flag, and what it is for.
    """
    given = [name for name in OF_MASKS if getattr(flags, name)]
    if flags.boxes and flags.tracks:
        raise ValueError("score: --boxes and --tracks exclude each other; give one")
    if flags.boxes or flags.tracks:
        if given:
            kind = "--boxes" if flags.boxes else "--tracks"
            raise ValueError(f"score: {_flag(given[0])} is for masks and does nothing with {kind}; leave it out")
        return
    from ..metrics.rules import RULES

    name = flags.rules or DEFAULT_RULES
    if name not in RULES:
        return  # refused with the names of the rules when the masks are scored
    without_ends = [rules.name for rules in RULES.values() if rules.inner_only]
    with_meta = [rules.name for rules in RULES.values() if rules.needs_meta or rules.name == "youtube-vos"]
    users = {
        "keep_ends": without_ends,
        "meta": with_meta,
        "unseen": ["youtube-vos", "lvos", "lvos-2023"],
        "trained_meta": ["youtube-vos"],
    }
    for flag, names in users.items():
        if flag in given and name not in names:
            raise ValueError(f"score: {_flag(flag)} does nothing by rules {name}; it is for {', '.join(names)}")


def _flag(name: str) -> str:
    """Return the flag of an argument."""
    return f"--{name.replace('_', '-')}"


def _unseen(flags: argparse.Namespace) -> set[str]:
    """Return unseen videos or categories: names, names in files, and categories that --trained-meta lacks."""
    names: set[str] = set()
    for word in flags.unseen:
        if Path(word).is_file():
            names.update(read_names(Path(word), ""))
        else:
            names.add(word)
    if flags.meta is None and (names or flags.trained_meta):
        raise ValueError("score: --trained-meta and --unseen need --meta, which gives each object's video and category")
    if flags.rules != "youtube-vos" or flags.meta is None:
        return names
    known = _categories(flags.meta)
    strange = sorted(names - known)
    if strange:
        raise ValueError(f"--unseen {strange[0]}: {flags.meta} lacks this category; it has {', '.join(sorted(known))}")
    if flags.trained_meta is not None:
        names |= known - _categories(flags.trained_meta)
    elif not names:
        raise ValueError("score: --meta needs --trained-meta or --unseen, which say what training has not seen")
    return names


def _categories(meta: Path) -> set[str]:
    """Return the categories of all objects in a metadata file."""
    categories: set[str] = set()
    for video in read_videos(meta).values():
        categories.update(str(entry.get("category")) for entry in video["objects"].values())
    return categories
