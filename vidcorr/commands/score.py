"""Score masks, point tracks or boxes of any method against a data set, by the rules of the data set."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..near_names import CommandParser
from ..videos.files import read_names, read_videos, write_atomically

if TYPE_CHECKING:  # pydantic would double the time of `--help`
    from ..results.result import Result


def command(args: Sequence[str]) -> None:
    """Run `vidcorr score`; a user's mistake raises ValueError or OSError."""
    flags = _parser().parse_args(list(args))
    result = _scored(flags)
    result.print()
    if flags.json is not None:
        from ..results.checked import plain

        flags.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(flags.json, json.dumps(plain(flat_scores(result)), indent=1) + "\n")
    if flags.output is not None:
        result.save(flags.output)
    missing = result.data.get("missing_videos")
    if missing:
        from ..metrics.rules import RULES

        treatment = RULES[flags.rules].missing_video  # "left out" or "counted as 0"
        print(f"{treatment}, for want of predictions or objects: {', '.join(missing)}")


def flat_scores(result: Result) -> dict[str, float]:
    """Return the scores of the data set, and of sequences or objects (`J/bike/1`), as a flat dictionary."""
    scores = dict(result.scores)
    for row in result.rows:
        for column, value in row.values.items():
            if isinstance(value, float):
                place = (column.removesuffix("-Mean"), row.video, row.object)
                scores["/".join(filter(None, place))] = value
    return scores


def _parser() -> CommandParser:
    parser = CommandParser(prog="vidcorr score", description=__doc__)
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="folder with a folder of masks per video")
    parser.add_argument(
        "predictions", type=Path, metavar="PREDICTIONS", help="predictions, PREDICTIONS/VIDEO/FRAME.png"
    )
    rules = (
        "davis-2017 (default), davis-2016, youtube-vos, lvos, lvos-2023, vost, sa-v, mose-v2, vos-benchmark (also for "
        "MOSE v1) or naf"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--rules", default="davis-2017", metavar="RULES", help=rules)
    tracks = (
        "score point tracks by these queries of TAP-Vid: PREDICTIONS/VIDEO.npz with tracks (N, T, 2), x before y in "
        "pixels of a 256 × 256 image, and occluded (N, T)"
    )
    kind.add_argument("--tracks", choices=["first", "strided"], help=tracks)
    boxes = "score boxes (by default by OTB's rules)"
    kind.add_argument("--boxes", nargs="?", const="otb", choices=["otb", "got-10k"], help=boxes)
    meta = 'metadata of lvos, of youtube-vos\'s categories, or of mose-v2: {"videos": {VIDEO: {"objects": {"1": {}}}}}'
    parser.add_argument("--meta", type=Path, metavar="FILE", help=meta)
    unseen = "file of unseen videos (lvos) or categories (youtube-vos), one per line"
    parser.add_argument("--unseen", type=Path, metavar="FILE", help=unseen)
    trained = "meta.json of YouTube-VOS's training set; others are unseen"
    parser.add_argument("--trained-meta", type=Path, metavar="FILE", help=trained)
    parser.add_argument("--list", type=Path, metavar="FILE", help="file of video names, one per line")
    parser.add_argument("--keep-ends", action="store_true", help="count the first and the last frame too")
    missing = "leave videos without predictions out (mose-v2: count them as 0)"
    parser.add_argument("--allow-missing", action="store_true", help=missing)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all scores to a flat JSON object")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write results.json and per_sequence.csv")
    return parser


def _scored(flags: argparse.Namespace) -> Result:
    """Score boxes, tracks or masks, by the flags."""
    of_masks = (flags.meta, flags.unseen, flags.trained_meta, flags.list, flags.keep_ends, flags.allow_missing)
    if flags.boxes or flags.tracks:
        if any(of_masks):  # else other videos or frames would be scored than the flag says
            raise ValueError("score: --boxes and --tracks take no --meta, --unseen, --list and other flags of masks")
        from ..scoring.tracks import score_boxes, score_tracks  # they need torch

        if flags.boxes:
            return score_boxes(flags.truth, flags.predictions, flags.boxes)
        return score_tracks(flags.truth, flags.predictions, flags.tracks)
    from ..scoring.masks import score

    return score(
        flags.truth,
        flags.predictions,
        flags.rules,
        videos=flags.list and read_names(flags.list),
        meta=flags.meta,
        unseen=_unseen(flags),
        keep_ends=flags.keep_ends,
        allow_missing=flags.allow_missing,
    )


def _unseen(flags: argparse.Namespace) -> set[str]:
    """Return unseen videos or categories: names of --unseen, and categories that --trained-meta lacks."""
    names = set(read_names(flags.unseen)) if flags.unseen else set()
    if flags.rules == "youtube-vos" and flags.meta:
        categories = _categories(flags.meta)
        if flags.trained_meta:
            names |= categories - _categories(flags.trained_meta)
        if not names or not names <= categories:
            raise ValueError(f"score: --trained-meta or --unseen must name unseen categories of {flags.meta}")
    return names


def _categories(meta: Path) -> set[str]:
    """Return the categories of all objects in a metadata file."""
    categories: set[str] = set()
    for video in read_videos(meta).values():
        categories.update(str(entry.get("category")) for entry in video["objects"].values())
    return categories
