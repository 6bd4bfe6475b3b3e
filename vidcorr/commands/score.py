"""Score masks, point tracks or boxes of any method against a data set, by the rules of the data set."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..experiments.configured import positive
from ..results.rendering import print_result
from ..videos.files import read_names, read_videos, write_atomically

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
    print_result(result)
    if flags.json is not None:
        scores = {name: None if math.isnan(value) else value for name, value in flat_scores(result).items()}
        write_atomically(flags.json, json.dumps(scores, indent=1) + "\n")
    if flags.output is not None:
        result.save(flags.output)
    if left_out := result.data.get("missing_videos"):
        from ..metrics.rules import RULES

        print(f"{RULES[flags.rules].missing_video}, for want of predictions or objects: {', '.join(left_out)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vidcorr score", description=__doc__)
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="folder with a folder of masks per video")
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="predictions in the same layout")
    rules = (
        "davis-2017 (default), davis-2016, youtube-vos, lvos, lvos-2023, vost, sa-v, mose-v2, vos-benchmark (also for "
        "MOSE v1) or naf"
    )
    parser.add_argument("--rules", default="davis-2017", metavar="RULES", help=rules)
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
    if flags.boxes or flags.tracks:
        from .score_tracks import score_boxes, score_tracks  # they need torch

        if flags.boxes:
            return score_boxes(flags.truth, flags.predictions, flags.boxes)
        return score_tracks(flags.truth, flags.predictions, flags.tracks)
    from . import score_masks

    return score_masks.score(
        flags.truth,
        flags.predictions,
        flags.rules,
        videos=read_names(flags.list, "name a file with one video per line") if flags.list else None,
        meta=flags.meta,
        unseen=_unseen(flags),
        keep_ends=flags.keep_ends,
        allow_missing=flags.allow_missing,
        workers=flags.workers,
    )


def _unseen(flags: argparse.Namespace) -> set[str]:
    """Return unseen videos or categories: names, names in files, and categories that --trained-meta lacks."""
    words = [read_names(Path(word), "") if Path(word).is_file() else [word] for word in flags.unseen]
    names = {name for listed in words for name in listed}
    if flags.meta is None and (names or flags.trained_meta):
        raise ValueError("score: --trained-meta and --unseen need --meta, which gives each object's video and category")
    if flags.rules != "youtube-vos" or flags.meta is None:
        return names
    known = _categories(flags.meta)
    if strange := sorted(names - known):
        raise ValueError(f"--unseen {strange[0]}: {flags.meta} lacks this category; it has {', '.join(sorted(known))}")
    if flags.trained_meta is not None:
        names |= known - _categories(flags.trained_meta)
    elif not names:
        raise ValueError("score: --meta needs --trained-meta or --unseen, which say what training has not seen")
    return names


def _categories(meta: Path) -> set[str]:
    return {str(thing.get("category")) for video in read_videos(meta).values() for thing in video["objects"].values()}
