"""Make videos small and fast to read at random: short side 256, close key frames, or folders of JPEGs."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..videos.files import DataError, DecodingError, partial_path, remove, unfinished, write_atomically
from ..videos.images import list_images
from ..videos.processes import in_processes
from ..videos.source import VideoEntry, fingerprint, list_line, list_videos, open_video
from .encoding import OutputFormat, write_images, write_video

_SAME_TIME = 2 * 10**9  # ns; file systems round
_TIMEOUT = 60.0  # seconds for one frame


class Made(NamedTuple):
    """Outcome of a job.

    Attributes:
        is_new: False if an earlier run made the output.
        before: bytes of the source.
        after: bytes of the output.
    """

    is_new: bool
    before: int
    after: int


def transcode(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    form: OutputFormat | None = None,
    workers: int | None = None,
    timeout: float = 3600.0,
) -> tuple[list[Made], dict[Path, str]]:
    """Re-encode the videos of a source in parallel, with the same folders and names.

    An output is written atomically with its source's modification time. An output with this time is kept, so that a
    stopped run resumes. Rotation is applied, sound left out, the frame rate made constant. For a list, a list with the
    new paths and the same labels is written next to the outputs. `failed.txt` names the unreadable videos.

    H.264 is tuned for fast decoding (x264's `fastdecode`: one and a half times as many clips/s for a tenth more bytes),
    and no frame refers to a B-frame, so that `VideoFile` can skip B-frames.

    Args:
        source: see `list_videos`; missing files of a list fail.
        destination: folder, new or from an earlier run with the same format.
        form: format of the outputs.
        workers: processes; by default the usable cores.
        timeout: seconds per video.

    Returns:
        Outcomes of the successful jobs, and path → reason of the failed ones.

    Raises:
        DataError: before any work, if two videos would get the same name, or the destination has another format.
        OSError: if the destination cannot be written.
    """
    form = form or OutputFormat()
    source, destination = Path(source).expanduser(), Path(destination).expanduser()
    entries = list_videos(source, strict=False)
    outputs = plan(source, entries, destination, form.frames)
    _claim(destination, form)
    made: dict[Path, Made] = {}
    failed: dict[Path, str] = {}
    work = partial(_run, form)
    try:
        with closing(in_processes(work, list(outputs.items()), workers, timeout, "transcode")) as outcomes:
            for (path, _), outcome in outcomes:
                if isinstance(outcome, DataError):
                    failed[path] = str(outcome).removeprefix(f"{path}: ")
                else:
                    made[path] = outcome
    finally:
        for output in outputs.values():
            remove(partial_path(output))
    (destination / "failed.txt").unlink(missing_ok=True)
    if failed:
        write_atomically(destination / "failed.txt", "".join(f"{path}: {reason}\n" for path, reason in failed.items()))
    if source.is_file():
        lines = [
            list_line(os.path.join(".", os.path.relpath(outputs[path], destination)), entry.label)
            for entry in entries
            if (path := _absolute(entry.path)) in made
        ]
        write_atomically(destination / source.name, "".join(f"{line}\n" for line in lines))
    return list(made.values()), failed


def plan(source: Path, entries: Sequence[VideoEntry], destination: Path, frames: bool) -> dict[Path, Path]:
    """Return absolute path of a video → its output.

    Raises:
        DataError: if two videos would get the same name, an output would lie in another or replace a source.
    """
    paths = dict.fromkeys(_absolute(entry.path) for entry in entries)
    root = _absolute(source if source.is_dir() else source.parent)
    if not all(path.is_relative_to(root) for path in paths):
        root = Path(os.path.commonpath([path.parent for path in paths]))
    target = _absolute(destination)
    if target == root or (source.is_dir() and target.is_relative_to(root)):
        raise DataError(f"{destination}: lies in the source; give a folder outside {root}")
    taken: dict[Path, Path] = {}
    for path in paths:
        name = path.relative_to(root)
        if not path.is_dir():
            name = name.with_suffix("")
        output = target / (name if frames else name.with_name(f"{name.name}.mp4"))
        if taken.setdefault(output, path) != path:
            raise DataError(f"{path} and {taken[output]} would both become {output}; rename one of them")
    for output, path in taken.items():
        if inner := next((parent for parent in output.parents if parent in taken), None):
            raise DataError(f"{path} would go into {inner}, the folder of frames of {taken[inner]}; rename one of them")
    return {path: output for output, path in taken.items()}


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def command(args: Sequence[str]) -> None:
    """Run `vidcorr transcode` with its arguments.

    Raises:
        SystemExit: with status 1 if a video failed.
        ValueError, OSError: for a user's mistake, one line.
    """
    parser = argparse.ArgumentParser(prog="vidcorr transcode", description=__doc__)
    parser.add_argument("source", metavar="SOURCE", help="folder of videos, or a .txt or .csv list of them")
    parser.add_argument("destination", metavar="DESTINATION", help="folder, new or left by an interrupted run")
    parser.add_argument("--short-side", type=int, default=256, help="pixels; never enlarged (default: 256)")
    parser.add_argument("--key-interval", type=int, default=12, help="frames between key frames (default: 12)")
    parser.add_argument("--crf", type=int, default=23, help="x264's rate factor; more is smaller (default: 23)")
    parser.add_argument("--frames", action="store_true", help="write folders of JPEGs instead of mp4 files")
    parser.add_argument("--quality", type=int, default=90, help="JPEG quality (default: 90)")
    parser.add_argument("--workers", type=int, help="number of processes (default: one per core)")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds allowed per video (default: 3600)")
    flags = parser.parse_args(list(args))
    form = OutputFormat(flags.short_side, flags.key_interval, flags.crf, flags.frames, flags.quality)
    try:
        made, failed = transcode(flags.source, flags.destination, form, flags.workers, flags.timeout)
    except KeyboardInterrupt as stopped:
        stopped.args = ("run the same command again to resume",)
        raise
    before, after = sum(outcome.before for outcome in made), sum(outcome.after for outcome in made)
    new = sum(outcome.is_new for outcome in made)
    print(f"{new} written, {len(made) - new} up to date: {before / 1e6:.1f} MB became {after / 1e6:.1f} MB")
    if failed:
        sys.exit(
            f"vidcorr: {len(failed)} of {len(failed) + len(made)} failed: {Path(flags.destination) / 'failed.txt'}"
        )


def _run(form: OutputFormat, job: tuple[Path, Path]) -> Made:
    """Encode a video, unless its output is up to date; runs in a separate process."""
    source, output = job
    size, changed = fingerprint(source)
    if len(os.fsencode(output.name)) > 255:
        raise DecodingError(source, f"its name is too long to end in {output.suffix}; shorten it")
    files = list_images(output) or [output]  # which may have been emptied since
    if (
        output.exists()
        and abs(fingerprint(output)[1] - changed) <= _SAME_TIME
        and all(file.stat().st_size for file in files)
    ):
        return Made(False, size, fingerprint(output)[0])
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with unfinished(output, partial_path(output)) as temporary:
            with open_video(source, _TIMEOUT) as video:
                (write_images if form.frames else write_video)(video, temporary, form)
                if video.truncation:
                    raise DataError(video.truncation)
            after = fingerprint(temporary)[0]
            for path in [*temporary.iterdir(), temporary] if form.frames else [temporary]:
                os.utime(path, ns=(changed, changed))
            for image in list_images(output):  # of an earlier state of the source
                image.unlink()
    except (DataError, OSError):
        raise
    except Exception as error:  # of the encoder: it concerns this video alone
        raise DecodingError(source, f"cannot be encoded: {error}") from error
    return Made(True, size, after)


def _claim(destination: Path, form: OutputFormat) -> None:
    """Mark the folder with the format, or check its mark.

    Raises:
        DataError: if the folder holds other files or has another format.
    """
    marker, wanted = destination / "transcode.json", json.dumps(asdict(form), indent=1) + "\n"
    destination.mkdir(parents=True, exist_ok=True)
    if marker.is_file():
        if marker.read_text(encoding="utf-8", errors="replace") != wanted:
            raise DataError(f"{destination}: was made with other flags ({marker}); repeat them, or give another folder")
    elif any(destination.iterdir()):
        raise DataError(f"{destination}: holds files that were not made by transcode; give another folder or empty it")
    else:
        write_atomically(marker, wanted)
