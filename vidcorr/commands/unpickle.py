"""Rewrite a TAP-Vid set without pickle, as an .npz per video, without executing the pickle."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..videos.files import DataError, unfinished


def unpickle(source: str | Path, destination: str | Path) -> list[Path]:
    """Write every video of a TAP-Vid set as an .npz of `video`, `points` and `occluded`.

    JPEG frames keep their bytes, padded with zeros to the longest of a video. Memory holds one file of the set.

    Args:
        source: pickle of a released set (TAP-Vid-DAVIS, RGB-Stacking, Kinetics, RoboTAP), or the folder of its shards.
        destination: folder without .npz files.

    Returns:
        The files, written atomically.

    Raises:
        DataError: if the source cannot be read, or the destination holds .npz files.
        OSError: if the destination cannot be written.
    """
    from ..datasets.tap_vid import read_sets

    folder = Path(destination)
    folder.mkdir(parents=True, exist_ok=True)
    present = sorted(folder.glob("*.npz"))
    if present:
        raise DataError(f"{folder}: holds {present[0].name} already; name an empty folder")
    written: list[Path] = []
    for sequence in read_sets(Path(source).expanduser()):
        path = folder / f"{sequence.name}.npz"
        hidden = folder / f".{path.name}.partial"  # replaces the rest of a run that was killed
        with unfinished(path, hidden) as temporary, temporary.open("wb") as file:
            np.savez(file, video=np.asarray(sequence.stored()), points=sequence.points, occluded=sequence.occluded)
        written.append(path)
    return written


def command(args: Sequence[str]) -> None:
    """Run `vidcorr unpickle` with its arguments.

    Raises:
        DataError: for a user's mistake, one line.
    """
    parser = argparse.ArgumentParser(prog="vidcorr unpickle", description=__doc__)
    parser.add_argument("source", metavar="SOURCE", help=".pkl file of TAP-Vid, or the folder of its shards")
    parser.add_argument("destination", metavar="DESTINATION", help="folder for the .npz files, one per video")
    options = parser.parse_args(list(args))
    written = unpickle(options.source, options.destination)
    print(f"{len(written)} videos in {options.destination}: tap_vid reads that folder in place of {options.source}")
