"""A check of a source of videos: which of them can be used, and their frames."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from .addresses import file_name, is_address
from .files import DataError, user_path, write_atomically
from .processes import in_processes
from .source import list_videos, open_video

SECONDS = 3600.0
"""Time limit of a video, all of whose frames are decoded; `open_video` allows a minute a frame."""


class Frames(NamedTuple):
    """The frames of a video: their number, their size in pixels, and sentences about them for the user."""

    number: int
    width: int
    height: int
    notes: tuple[str, ...] = ()


def check_data(
    sources: Sequence[str | os.PathLike[str]], output: str | os.PathLike[str], workers: int | None, min_frames: int
) -> tuple[dict[str, Frames], dict[str, str]]:
    """Check the videos of some sources in parallel, and write clean.txt, a list of the usable videos with their labels.

    It replaces an earlier clean.txt, and prints how many annotations and results are left out.

    Args:
        sources: folders of videos, searched with their subfolders; or lists (.txt) with a path per line, which may name
            missing files; or addresses of both.
        workers: processes; None: the usable cores.
        min_frames: smallest usable number of frames.

    Returns:
        Absolute path → frames of the usable videos, and path → reason of the others, both in the order of the sources.

    Raises:
        DataError: if a source cannot be listed, or none has a usable video.
        OSError: if `output` cannot be written.
    """
    entries: list[tuple[str, int | None]] = []  # absolute path and label
    for source in sources:
        listing = list_videos(source, strict=False)
        if listing.annotations:
            print(f"{source}: {listing.left_out()}")
        entries += [(file if is_address(file) else os.path.abspath(file), label) for file, label in listing.entries]
    clean = user_path(output) / "clean.txt"
    clean.parent.mkdir(parents=True, exist_ok=True)  # now: a folder that cannot be made should not cost the check
    if clean.resolve() not in [user_path(source).resolve() for source in sources]:
        # no list of an earlier check may stay if this one fails; as a source of this check it stays until the end
        clean.unlink(missing_ok=True)
    paths = list(dict(entries))  # a path twice in a list is checked once
    usable: dict[str, Frames] = {}
    unusable: dict[str, str] = {}
    with closing(in_processes(_frames, paths, workers, SECONDS, "check-data")) as outcomes:
        outcome_of = dict(outcomes)  # path → frames, or the error of a video that cannot be used
    for path in paths:
        outcome = outcome_of[path]
        if isinstance(outcome, DataError):
            unusable[path] = str(outcome).removeprefix(f"{path}: ")
        elif outcome.number < min_frames:
            unusable[path] = f"{outcome.number} frame(s), fewer than --min-frames {min_frames}"
        else:
            usable[path] = outcome
    if not usable:
        path, reason = next(iter(unusable.items()))
        named = ", ".join(map(str, sources))
        raise DataError(f"{named}: none of {len(paths)} videos can be used; the first is {path}: {reason}")
    lines = [path if label is None else f"{path} {label}" for path, label in entries if path in usable]
    write_atomically(clean, "\n".join([*lines, ""]))
    return usable, unusable


def _frames(path: str) -> Frames:
    """Decode all frames of a video, and return their number and size.

    It runs in a process of its own, as a damaged file may hang or crash the decoder.

    Raises:
        DataError: for a damaged frame, a frame of another size, or a video without a frame.
    """
    with open_video(path) as video:
        # `frames` raises the errors: so there is a first frame, and all frames have its size
        sizes = [frame.shape[:2] for frame in video.frames()]
        height, width = sizes[0]
        return Frames(len(sizes), width, height, tuple(video.notes()))


def content_digest(videos: Mapping[str, Frames]) -> str:
    """Return a digest of the videos' stems, numbers of frames and frame sizes.

    The digest stays the same when videos are moved, reordered or encoded again.

    Example:
        >>> dog, cat = Frames(30, 8, 6), Frames(31, 8, 6)
        >>> digest = content_digest({"a/dog.avi": dog, "a/cat.avi": cat})
        >>> digest == content_digest({"b/cat.mp4": cat, "b/dog.mp4": dog})
        True
        >>> digest == content_digest({"a/dog.avi": cat, "a/cat.avi": dog})
        False
    """
    lines = [f"{Path(file_name(path)).stem} {each.number} {each.width} {each.height}" for path, each in videos.items()]
    text = "\n".join(sorted(lines))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
