"""The flags and the call of `vidcorr score`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..experiments.flags import Flag, OneOf
from ..videos.files import read_names

if TYPE_CHECKING:  # pydantic would double the time of `--help`
    from ..results.result import Result

RULES = (
    "davis-2017 (default), davis-2016, youtube-vos, lvos, lvos-2023, vost, sa-v, mose-v2, vos-benchmark (also for "
    "MOSE v1) or naf"
)
TRACKS = (
    "score point tracks by these queries of TAP-Vid: PREDICTIONS/VIDEO.npz with tracks (N, T, 2), x before y in "
    "pixels of a 256 × 256 image, and occluded (N, T)"
)
META = 'metadata of lvos, of youtube-vos\'s categories, or of mose-v2: {"videos": {VIDEO: {"objects": {"1": {}}}}}'
FLAGS = (
    Flag("truth", "folder with a folder of masks per video", type=Path, metavar="TRUTH"),
    Flag("predictions", "predictions, PREDICTIONS/VIDEO/FRAME.png", type=Path, metavar="PREDICTIONS"),
    OneOf(
        Flag("--rules", RULES, default="davis-2017", metavar="RULES"),
        Flag("--tracks", TRACKS, choices=["first", "strided"]),
        Flag("--boxes", "score boxes by OTB's one-pass evaluation: PREDICTIONS/SEQUENCE.txt", action="store_true"),
    ),
    Flag("--meta", META, type=Path, metavar="FILE"),
    Flag("--unseen", "file of unseen videos (lvos) or categories (youtube-vos), one per line", metavar="FILE"),
    Flag("--trained-meta", "meta.json of YouTube-VOS's training set; others are unseen", type=Path, metavar="FILE"),
    Flag("--list", "file of video names, one per line", type=Path, metavar="FILE"),
    Flag("--keep-ends", "count the first and the last frame too", action="store_true"),
    Flag("--allow-missing", "leave videos without predictions out (mose-v2: count them as 0)", action="store_true"),
    Flag("--output", "write results.json and per_sequence.csv", type=Path, metavar="FOLDER"),
)


def run(flags: Namespace) -> None:
    """Run the command; a user's mistake raises ValueError or OSError."""
    result = _scored(flags)
    result.print()
    if flags.output is not None:
        result.save(flags.output)
    missing = result.data.get("missing_videos")
    if missing:
        from ..metrics.rules import RULES

        treatment = RULES[flags.rules].missing_video  # "left out" or "counted as 0"
        print(f"{treatment}, for want of predictions or objects: {', '.join(missing)}")


def _scored(flags: Namespace) -> Result:
    """Score boxes, tracks or masks, by the flags."""
    of_masks = (flags.meta, flags.unseen, flags.trained_meta, flags.list, flags.keep_ends, flags.allow_missing)
    if flags.boxes or flags.tracks:
        if any(of_masks):  # else other videos or frames would be scored than the flag says
            raise ValueError("score: --boxes and --tracks take no --meta, --unseen, --list and other flags of masks")
        from ..scoring.tracks import score_boxes, score_tracks  # they need torch

        if flags.boxes:
            return score_boxes(flags.truth, flags.predictions)
        return score_tracks(flags.truth, flags.predictions, flags.tracks)
    from ..scoring.masks import score, unseen_categories

    unseen = set(read_names(flags.unseen)) if flags.unseen else set()
    if flags.rules == "youtube-vos" and flags.meta:
        unseen = unseen_categories(flags.meta, unseen, flags.trained_meta)
    return score(
        flags.truth,
        flags.predictions,
        flags.rules,
        videos=flags.list and read_names(flags.list),
        meta=flags.meta,
        unseen=unseen,
        keep_ends=flags.keep_ends,
        allow_missing=flags.allow_missing,
    )
