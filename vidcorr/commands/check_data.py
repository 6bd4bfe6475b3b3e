"""Check a source of videos before training: open every video and decode some of its frames."""

import argparse
import hashlib
import json
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ..videos.decoding import VideoFile
from ..videos.files import DataError, write_atomically
from ..videos.processes import in_processes
from ..videos.source import fingerprint, list_line, list_videos, open_video

Kind = Literal["unreadable", "too short"]

_SHOWN = 20  # unusable videos that are printed


@dataclass(frozen=True)
class VideoReport:
    """Findings on a video.

    Attributes:
        path: absolute path.
        bytes: size on disk.
        modified: time of the last change, ns; a video with the same path, bytes and time is not read again.
        frames: number of frames.
        seconds: duration, 0 if unknown.
        fps: average frame rate, 0 if unknown.
        width: pixels as stored.
        height: pixels as stored.
        codec: name of the codec, "frames" for a folder of images.
        kind: kind of problem that keeps it out of clean.txt; None if it is usable.
        reason: the problem in words.
    """

    path: str
    bytes: int = 0
    modified: int = 0
    frames: int = 0
    seconds: float = 0.0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    codec: str = ""
    kind: Kind | None = None
    reason: str = ""


def check_data(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str] = "checked",
    workers: int | None = None,
    min_frames: int = 8,
    timeout: float = 60.0,
) -> list[VideoReport]:
    """Check the videos of a source in parallel; write report.json (all videos) and clean.txt (a list of usable videos).

    Videos that an earlier report.json in `output` lists as readable are read again only if they have changed. An
    interrupted run keeps its findings in report.json.

    Args:
        source: see `list_videos`; a list may name missing files.
        output: folder of the report.
        workers: processes; by default the usable cores.
        min_frames: smallest usable number of frames.
        timeout: seconds per video.

    Returns:
        Reports on the videos of the source, in its order.

    Raises:
        DataError: if the source cannot be listed, or has no usable video (the report is written).
        OSError: if `output` cannot be written.
    """
    output = Path(output).expanduser()
    output.mkdir(parents=True, exist_ok=True)
    entries = list_videos(source, strict=False)
    paths = list(dict.fromkeys(os.path.abspath(entry.path) for entry in entries))
    reports = _earlier(output / "report.json")
    items = [(path, reports.get(path)) for path in paths]
    try:
        work, limit = partial(_inspect, timeout), 2 * timeout + 5
        with closing(in_processes(work, items, workers, limit, "check-data")) as outcomes:
            for (path, _), outcome in outcomes:
                reports[path] = (
                    VideoReport(path, kind="unreadable", reason=str(outcome).removeprefix(f"{path}: "))
                    if isinstance(outcome, DataError)
                    else outcome
                )
    finally:
        known = [(entry, reports[path]) for entry in entries if (path := os.path.abspath(entry.path)) in reports]
        rows = [_judged(report, min_frames) for _, report in known]
        videos = [asdict(row) | {"label": entry.label} for (entry, _), row in zip(known, rows, strict=True)]
        content = {"source": os.fspath(source), "videos": videos, "complete": len(rows) == len(entries)}
        write_atomically(output / "report.json", json.dumps(content, indent=1) + "\n")
    usable = [entry for entry, report in zip(entries, rows, strict=True) if report.kind is None]
    if not usable:
        (output / "clean.txt").unlink(missing_ok=True)  # of an earlier run
        raise DataError(f"{source}: none of {len(rows)} videos can be used; {output / 'report.json'} holds the reasons")
    lines = (list_line(os.path.abspath(entry.path), entry.label) for entry in usable)
    write_atomically(output / "clean.txt", "".join(f"{line}\n" for line in lines))
    return rows


def command(args: Sequence[str]) -> None:
    """Run `vidcorr check-data` with its arguments.

    Raises:
        ValueError, OSError: for a user's mistake, one line.
    """
    parser = argparse.ArgumentParser(prog="vidcorr check-data", description=__doc__)
    parser.add_argument("source", metavar="SOURCE", help="folder of videos, or a .txt or .csv list of them")
    parser.add_argument("--output", type=Path, default=Path("checked"), help="folder of the report (default: checked)")
    parser.add_argument("--workers", type=int, help="number of processes (default: one per core)")
    parser.add_argument("--min-frames", type=int, default=8, help="smallest usable number of frames (default: 8)")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds allowed per video (default: 60)")
    flags = parser.parse_args(list(args))
    try:
        rows = check_data(flags.source, flags.output, flags.workers, flags.min_frames, flags.timeout)
    except KeyboardInterrupt as stopped:
        stopped.args = (f"{flags.output / 'report.json'} keeps what is done; run the same command again to resume",)
        raise
    _print(rows, flags.output)


def _inspect(timeout: float, item: tuple[str, VideoReport | None]) -> VideoReport:
    """Read a video, unless its earlier report is still valid; runs in a separate process."""
    path, earlier = item
    size, modified = fingerprint(path)
    if earlier is not None and earlier.kind != "unreadable" and (earlier.bytes, earlier.modified) == (size, modified):
        return earlier
    with open_video(path, timeout) as video:
        last = video.num_frames - 1
        frame = video.read([round(part * last / 4) for part in range(5)])[0]
        frames = video.num_frames  # exact now, as the end has been read
        properties: dict[str, Any] = {"codec": "frames", "height": frame.shape[0], "width": frame.shape[1]}
        if isinstance(video, VideoFile):
            info = video.info
            if cut := video.truncation or _cut_off(path, size):
                raise DataError(cut)
            properties = {"codec": info.codec, "height": info.height, "width": info.width, "fps": round(info.fps, 3)}
            properties["seconds"] = round(info.duration or (frames / info.fps if info.fps else 0.0), 3)
    return VideoReport(path, size, modified, frames, **properties)


def _cut_off(path: str, size: int) -> str:
    """Return a sentence on the missing end of an AVI file, whose frame counts are plausible; else empty."""
    with open(path, "rb") as file:
        head = file.read(8)
    whole = int.from_bytes(head[4:], "little")
    if head[:4] == b"RIFF" and size < whole < 2**32 - 1:  # a writer to a pipe knows no size
        return f"ends early: {size} of {whole} bytes; copy it again"
    return ""


def _earlier(file: Path) -> dict[str, VideoReport]:
    """Return path → report of an earlier run; empty without a valid report."""
    names = VideoReport.__dataclass_fields__
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["videos"]  # no size limit for our file
        reports = [VideoReport(**{name: row[name] for name in names}) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {report.path: report for report in reports}


def _judged(report: VideoReport, min_frames: int) -> VideoReport:
    """Return a report with its problem, if any."""
    if report.kind == "unreadable":
        return report
    if report.frames < min_frames:
        return replace(report, kind="too short", reason=f"{report.frames} frame(s), fewer than {min_frames}")
    return replace(report, kind=None, reason="")


def _print(reports: Sequence[VideoReport], output: Path) -> None:
    readable = [report for report in reports if report.kind != "unreadable"]
    unusable = [report for report in reports if report.kind]
    size, frames = sum(report.bytes for report in readable) / 1e9, [report.frames for report in readable]
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(report.kind for report in unusable).most_common())
    print(f"    readable  {len(readable)} videos, {size:.3g} GB, {sum(frames)} frames")
    print(f"      frames  {_spread(frames)}")
    print(f"      codecs  {_counts(report.codec for report in readable)}")
    print(f" frame rates  {_counts(f'{report.fps:.5g}' for report in readable if report.fps)}")
    print(f"       sizes  {_counts(f'{report.width} × {report.height}' for report in readable)}")
    if seconds := [report.seconds for report in readable if report.seconds]:
        print(f"     seconds  {_spread(seconds)}, {sum(seconds) / 3600:.3g} hours in all")
    detail = f": {kinds}" if kinds else ""
    print(f"      digest  {content_digest(readable)} of names, frames and sizes")
    print(f"    unusable  {len(unusable)} of {len(reports)} ({len(unusable) / len(reports):.1%}){detail}")
    for report in unusable[:_SHOWN]:
        print(f"  {report.path}: {report.reason}")
    if len(unusable) > _SHOWN:
        print(f"  … and {len(unusable) - _SHOWN} more in {output / 'report.json'}")
    print(f"     written  {output / 'report.json'}; {output / 'clean.txt'}: {len(reports) - len(unusable)} videos")


def content_digest(reports: Iterable[VideoReport]) -> str:
    """Return a digest of the videos' stems, numbers of frames and frame sizes.

    It does not change when videos are moved, reordered or encoded again.
    """
    lines = sorted(f"{Path(report.path).stem} {report.frames} {report.width} {report.height}" for report in reports)
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.4g} to {max(values):.4g}, median {statistics.median(values):.4g}"


def _counts(values: Iterable[str], most: int = 6) -> str:
    counts = Counter(values).most_common()
    more = f" and {len(counts) - most} more" if len(counts) > most else ""
    return ", ".join(f"{value} ({count})" for value, count in counts[:most]) + more
