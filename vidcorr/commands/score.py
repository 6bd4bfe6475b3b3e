"""The flags and the call of `vidcorr score`."""

from argparse import Namespace
from typing import Any

from ..datasets.lists import read_names
from ..experiments.runs.flags import Flag, OneOf, folder
from ..videos.files import user_path

FOLDERS = "TRUTH, with a folder of masks per video, and PREDICTIONS/VIDEO/FRAME.png; with --on PREDICTIONS alone"
ON = "benchmark and its data, davis=/data/DAVIS, for a table beside the results of vidcorr evaluate"
ABOUT_RULES = "davis-2017 (default without --on), davis-2016, youtube-vos or vos-benchmark (also for MOSE v1)"
TRACKS = (
    "score point tracks by these queries of TAP-Vid: PREDICTIONS/VIDEO.npz with tracks (N, T, 2), x before y in "
    "pixels of a 256 × 256 image, and occluded (N, T)"
)
META = "metadata of youtube-vos's categories, meta.json"
KIND = OneOf(
    Flag("--rules", ABOUT_RULES, default="", metavar="RULES"),
    Flag("--tracks", TRACKS, choices=["first", "strided"]),
    Flag("--boxes", "score boxes by OTB's one-pass evaluation: PREDICTIONS/SEQUENCE.txt", action="store_true"),
)
OF_MASKS = (
    Flag("--meta", META, type=user_path, metavar="FILE"),
    Flag("--unseen", "file of unseen categories (youtube-vos), one per line", metavar="FILE"),
    Flag("--list", "file of video names, one per line", type=user_path, metavar="FILE"),
    Flag("--keep-ends", "count the first and the last frame too", action="store_true"),
    Flag("--allow-missing", "leave videos without predictions out", action="store_true"),
)
"""Flags that boxes and tracks do not have."""
FLAGS = (
    Flag("folders", FOLDERS, nargs="+", type=user_path, metavar="FOLDER"),
    Flag("--on", ON, default="", metavar="NAME=FOLDER"),
    KIND,
    *OF_MASKS,
    Flag("--output", "write results.json, per_sequence.csv and report.html", type=folder, metavar="FOLDER"),
)


def require(flags: Namespace) -> None:
    """Check that the flags belong together.

    Raises:
        ValueError: for flags of masks beside boxes or tracks, `--boxes` beside `--on`, or folders that are not two, or
            with `--on` not one.
    """
    of_masks = any((flags.meta, flags.unseen, flags.list, flags.keep_ends, flags.allow_missing))
    if of_masks and (flags.boxes or flags.tracks):  # they would be ignored: videos that they exclude would be scored
        raise ValueError("score: --boxes and --tracks take no --meta, --unseen, --list and other flags of masks")
    if flags.on and flags.boxes:
        raise ValueError("score: --boxes is told by the benchmark of --on; leave it out")
    if len(flags.folders) != (1 if flags.on else 2):
        raise ValueError("score: name TRUTH and PREDICTIONS, or PREDICTIONS alone and --on NAME=FOLDER")


def run(flags: Namespace) -> None:
    """Score predictions against annotations, print the scores, and write them if flags name files."""
    from ..scoring.mask_scores import score

    truth, predictions = flags.folders[0], flags.folders[-1]
    if flags.on:
        from ..experiments.runs.benchmark_choice import read_on
        from ..scoring.beside import score_beside

        (choice,) = read_on([flags.on])
        # the value of `--tracks` is TAP-Vid's query mode, "first" or "strided"
        options = {"rules": flags.rules, "query_mode": flags.tracks, **_options_of_masks(flags)}
        given = {name: value for name, value in options.items() if value}  # without a flag the benchmark's value counts
        result = score_beside(choice.build(), predictions, flags.output, **given)
    elif flags.boxes:
        from ..datasets import Otb
        from ..scoring.tracks import score_boxes

        result = score_boxes(Otb(truth, version=None), predictions)
    elif flags.tracks:
        from ..datasets import TapVid
        from ..scoring.tracks import score_tracks

        result = score_tracks(TapVid(truth), predictions, flags.tracks)
    else:
        options = _options_of_masks(flags) | {"pictures": flags.output}
        result = score(truth, predictions, flags.rules or "davis-2017", **options)
    result.print()
    if flags.output is not None:
        from ..benchmarks.output import Output

        Output(flags.output).finish(result)
    missing = result.data.get("missing_videos")
    if missing:
        print(f"left out, for want of predictions or objects: {', '.join(missing)}")


def _options_of_masks(flags: Namespace) -> dict[str, Any]:
    from ..scoring.mask_scores import require_categories

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
