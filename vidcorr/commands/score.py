"""The flags and the call of `vidcorr score`."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datasets.lists import read_names
from ..experiments.runs.flags import Flag, OneOf
from ..videos.files import write_atomically

if TYPE_CHECKING:  # pydantic would double the time of `--help`
    from ..results.result import Result

FOLDERS = "TRUTH, with a folder of masks per video, and PREDICTIONS/VIDEO/FRAME.png; with --on PREDICTIONS alone"
ON = "benchmark and its data, davis=/data/DAVIS, for a table beside the results of vidcorr evaluate"
RULES = (
    "davis-2017 (default without --on), davis-2016, youtube-vos, lvos, lvos-2023, vost, sa-v, mose-v2, "
    "vos-benchmark (also for MOSE v1) or naf"
)
TRACKS = (
    "score point tracks by these queries of TAP-Vid: PREDICTIONS/VIDEO.npz with tracks (N, T, 2), x before y in "
    "pixels of a 256 × 256 image, and occluded (N, T)"
)
META = 'metadata of lvos, of youtube-vos\'s categories, or of mose-v2: {"videos": {VIDEO: {"objects": {"1": {}}}}}'
FLAGS = (
    Flag("folders", FOLDERS, nargs="+", type=Path, metavar="FOLDER"),
    Flag("--on", ON, default="", metavar="NAME=FOLDER"),
    OneOf(
        Flag("--rules", RULES, default="", metavar="RULES"),
        Flag("--tracks", TRACKS, choices=["first", "strided"]),
        Flag("--boxes", "score boxes by OTB's one-pass evaluation: PREDICTIONS/SEQUENCE.txt", action="store_true"),
    ),
    Flag("--meta", META, type=Path, metavar="FILE"),
    Flag("--unseen", "file of unseen videos (lvos) or categories (youtube-vos), one per line", metavar="FILE"),
    Flag("--list", "file of video names, one per line", type=Path, metavar="FILE"),
    Flag("--keep-ends", "count the first and the last frame too", action="store_true"),
    Flag("--allow-missing", "leave videos without predictions out (mose-v2: count them as 0)", action="store_true"),
    Flag("--json", "write all scores to a flat JSON object", type=Path, metavar="FILE"),
    Flag("--output", "write results.json and per_sequence.csv", type=Path, metavar="FOLDER"),
)


def run(flags: Namespace) -> None:
    """Run the command; a user's mistake raises ValueError or OSError."""
    result = _scored(flags)
    result.print()
    if flags.json is not None:
        from ..results.checked import plain

        flags.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(flags.json, json.dumps(plain(result.flat_scores()), indent=1) + "\n")
    if flags.output is not None:
        result.save(flags.output)
    missing = result.data.get("missing_videos")
    if missing:
        from ..metrics.rules import RULES

        treatment = RULES[result.data["rules"]["name"]].missing_video  # "left out" or "counted as 0"
        print(f"{treatment}, for want of predictions or objects: {', '.join(missing)}")


def _scored(flags: Namespace) -> Result:
    """Score boxes, tracks or masks, by the flags."""
    of_masks = any((flags.meta, flags.unseen, flags.list, flags.keep_ends, flags.allow_missing))
    if of_masks and (flags.boxes or flags.tracks):  # else other videos or frames would be scored than the flag says
        raise ValueError("score: --boxes and --tracks take no --meta, --unseen, --list and other flags of masks")
    if len(flags.folders) != (1 if flags.on else 2):
        raise ValueError("score: name TRUTH and PREDICTIONS, or PREDICTIONS alone and --on NAME=FOLDER")
    if flags.on:
        from ..experiments.runs.benchmark_choice import read_on
        from ..scoring.beside import score_beside

        (choice,) = read_on([flags.on])
        options = {"rules": flags.rules, "query_mode": flags.tracks, **_options_of_masks(flags)}
        given = {name: value for name, value in options.items() if value}  # the others are the benchmark's own
        return score_beside(choice.build(), *flags.folders, **given)
    truth, predictions = flags.folders
    if flags.boxes or flags.tracks:
        from ..datasets import Otb, TapVid
        from ..scoring.tracks import score_boxes, score_tracks  # they need torch

        if flags.boxes:
            return score_boxes(Otb(truth, version=None), predictions)
        return score_tracks(TapVid(truth), predictions, flags.tracks)
    from ..scoring.masks import score

    return score(truth, predictions, flags.rules or "davis-2017", **_options_of_masks(flags))


def _options_of_masks(flags: Namespace) -> dict[str, Any]:
    """Return the arguments of `score` that flags give."""
    from ..scoring.masks import require_categories

    unseen = read_names(flags.unseen) if flags.unseen else []
    if flags.rules == "youtube-vos" and flags.meta:
        require_categories(flags.meta, unseen)
    return {
        "videos": flags.list and read_names(flags.list),
        "meta": flags.meta,
        "unseen": unseen,
        "keep_ends": flags.keep_ends,
        "allow_missing": flags.allow_missing,
    }
