"""The flags and the call of `vidcorr check-data`."""

import sys
from argparse import Namespace
from pathlib import Path
from statistics import mode

from ..errors import printable
from ..experiments.runs.flags import Flag, folder

FLAGS = (
    Flag("sources", "folders of videos, or .txt lists of them", nargs="+", metavar="SOURCE"),
    Flag("--output", "folder of clean.txt (default: checked)", type=folder, default=Path("checked")),
    Flag("--workers", "number of processes (default: one per core)", type=int),
    Flag("--min-frames", "smallest usable number of frames (default: 8)", type=int, default=8),
)


def run(flags: Namespace) -> None:
    """Decode videos to their ends; print which cannot be used, and write clean.txt, a list of the usable ones.

    Also print notes on videos, their number, their commonest size and a digest.

    Raises:
        SystemExit: with status 1 if a video cannot be used.
        ValueError, OSError: for a user's mistake, one line.
    """
    from ..videos.check import check_data, content_digest

    usable, unusable = check_data(flags.sources, flags.output, flags.workers, flags.min_frames)
    for path, reason in unusable.items():
        print(printable(f"{path}: {reason}"))
    for path, video in usable.items():
        for note in video.notes:
            print(printable(f"{path}: {note}"))
    frames = sum(video.number for video in usable.values())
    commonest = mode(f"{video.width} × {video.height}" for video in usable.values())
    print(f"{len(usable)} videos, {frames} frames, most of {commonest} px")
    print(f"digest {content_digest(usable)} of names, frames and sizes")
    print(f"{flags.output / 'clean.txt'} lists the videos")
    if unusable:
        sys.exit(f"vidcorr: {len(unusable)} of {len(usable) + len(unusable)} videos cannot be used")
