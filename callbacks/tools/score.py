"""Score masks, point tracks or boxes of any method against a data set's own, by the rules of that data set."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

from datamodules.reading.guards import read_names, read_videos
from datamodules.writing.files import write_atomically

from ..command_line.configs import positive
from ..results.rendering import print_result

RULE_SETS = (
    "davis-2017",
    "davis-2016",
    "youtube-vos",
    "lvos",
    "lvos-2023",
    "vost",
    "sa-v",
    "mose-v2",
    "vos-benchmark",
    "naf",
)
"""Names of `metrics.rules.RULES`, here too so that `--help` needs no numpy."""


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
        "--rules", choices=RULE_SETS, default="davis-2017", help="a data set's rules (default: davis-2017)"
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

    from ..results.result import require_writable
    from .score_masks import flat_scores

    if flags.output is not None:
        require_writable(flags.output)
    if flags.boxes:
        from .score_tracks import score_boxes

        found = score_boxes(flags.truth, flags.predictions, flags.boxes)
    elif flags.tracks:
        from .score_tracks import score_tracks

        found = score_tracks(flags.truth, flags.predictions, flags.tracks, flags.masks)
    else:
        from ..metrics.rules import RULES
        from .score_masks import score

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
    print_result(found)
    if flags.json is not None:
        flags.json.parent.mkdir(parents=True, exist_ok=True)
        known = {name: None if math.isnan(value) else value for name, value in flat_scores(found).items()}
        write_atomically(flags.json, json.dumps(known, indent=1) + "\n")
    if flags.output is not None:
        found.save(flags.output)
    if left_out := found.data.get("missing_videos"):
        treatment, listed = RULES[flags.rules].missing_video, ", ".join(left_out[:10])
        print(f"{len(left_out)} videos without predictions or objects to score, {treatment}: {listed}")
