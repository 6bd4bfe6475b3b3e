"""Make videos small and fast to read at random: mp4 files with a short side of 256 px and close key frames."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..videos.decoding import VideoFile
from ..videos.files import DataError, DecodingError, partial_path, remove, unfinished, write_atomically
from ..videos.images import reformatter, require_size
from ..videos.markers import Marker
from ..videos.mp4 import Mp4Writer
from ..videos.processes import in_processes
from ..videos.source import FRAME_RATE, OpenedVideo, VideoEntry, list_line, list_videos, open_video

if TYPE_CHECKING:
    import av

SECONDS = 3600.0
"""Time limit of a video."""
_RGB = 0  # FFmpeg's AVCOL_SPC_RGB; encoders refuse it for yuv420p


@dataclass(frozen=True)
class OutputFormat:
    """Format of the output.

    Attributes:
        short_side: pixels; smaller videos keep their size.
        key_interval: most frames from one key frame to the next.
        crf: x264's constant rate factor; more is smaller and worse.
    """

    short_side: int = 256
    key_interval: int = 12
    crf: int = 23


def transcode(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    form: OutputFormat | None = None,
    workers: int | None = None,
) -> tuple[int, dict[Path, str]]:
    """Re-encode the videos of a source in parallel, with the same folders and names.

    An output is written atomically, and one that is there is kept, so that a stopped run resumes. Rotation is applied,
    sound left out, the frame rate made constant. For a list, a list with the new paths and the same labels is written
    next to the outputs.

    H.264 is tuned for fast decoding (x264's `fastdecode`: one and a half times as many clips/s for a tenth more bytes),
    and no frame refers to a B-frame, so that `VideoFile` can skip B-frames.

    Args:
        source: folder of videos, searched with its subfolders; or a list (.txt, .csv) with a path per line, whose
            missing files fail.
        destination: folder, new or from an earlier run with the same format.
        form: format of the outputs.
        workers: processes; by default the usable cores.

    Returns:
        Number of videos written now, and path → reason of the videos that failed.

    Raises:
        DataError: before any work, if two videos would get the same name, or the destination has another format.
        OSError: if the destination cannot be written.
    """
    form = form or OutputFormat()
    source = Path(source).expanduser()
    destination = Path(destination).expanduser()
    entries = list_videos(source, strict=False)
    outputs = plan(source, entries, destination)
    _claim(destination, form)
    written = 0
    failed: dict[Path, str] = {}
    try:
        with closing(in_processes(partial(_run, form), list(outputs.items()), workers, SECONDS, "transcode")) as jobs:
            for (path, _), outcome in jobs:
                if isinstance(outcome, DataError):
                    failed[path] = str(outcome).removeprefix(f"{path}: ")
                else:
                    written += outcome
    finally:
        for output in outputs.values():
            remove(partial_path(output))
    if source.is_file():
        lines: list[str] = []
        for entry in entries:
            path = _absolute(entry.path)
            if path not in failed:
                relative = os.path.join(".", os.path.relpath(outputs[path], destination))
                lines.append(f"{list_line(relative, entry.label)}\n")
        write_atomically(destination / source.name, "".join(lines))
    return written, failed


def plan(source: Path, entries: Sequence[VideoEntry], destination: Path) -> dict[Path, Path]:
    """Return absolute path of a video → its output.

    Raises:
        DataError: if two videos would get the same name, or an output would lie in the source.
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
        stem = name.name if path.is_dir() else name.stem
        output = target / name.with_name(f"{stem}.mp4")
        if taken.setdefault(output, path) != path:
            raise DataError(f"{path} and {taken[output]} would both become {output}; rename one of them")
    return {path: output for output, path in taken.items()}


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def _claim(destination: Path, form: OutputFormat) -> None:
    """Mark the folder with the format, or check its mark.

    Raises:
        DataError: if the folder holds other files or has another format.
    """
    marker = Marker("made by transcode", "transcode.json", json.dumps(asdict(form), indent=1) + "\n")
    maker = marker.maker(destination)
    if maker == "stranger":
        raise marker.stranger(destination)
    if maker == "other":
        file = destination / marker.name
        raise DataError(f"{destination}: was made with other flags ({file}); repeat them, or give another folder")
    if maker == "nobody":
        destination.mkdir(parents=True, exist_ok=True)
        marker.write(destination)


def _run(form: OutputFormat, job: tuple[Path, Path]) -> bool:
    """Encode a video, and return True; False if its output is there. Runs in a separate process."""
    source, output = job
    if output.exists():
        return False
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with unfinished(output, partial_path(output)) as temporary, open_video(source) as video:
            write_video(video, temporary, form)
            if video.truncation:
                raise DataError(video.truncation)
    except (DataError, OSError):
        raise
    except Exception as error:  # an error of the encoder concerns this video alone
        raise DecodingError(source, f"cannot be encoded: {error}") from error
    return True


def write_video(video: OpenedVideo, path: Path, form: OutputFormat) -> None:
    """Encode all frames at the average rate: equal distances in time make the file's index a table of its frames."""
    rate = Fraction(video.frame_rate).limit_denominator(1001) or Fraction(FRAME_RATE)
    options = {"crf": str(form.crf), "preset": "veryfast", "tune": "fastdecode"}
    with closing(Mp4Writer(path, rate, form.key_interval, "b-pyramid=none", **options)) as writer:
        for count, frame in enumerate(_resized(video, form.short_side)):
            frame.pts = count
            frame.time_base = 1 / rate
            frame.pict_type = 0  # the encoder chooses, not the source
            writer.encode(frame)


def _resized(video: OpenedVideo, short_side: int) -> Iterator["av.VideoFrame"]:
    """Iterate over all frames in yuv420p, scaled down to a short side; the first frame sets the size, which is even."""
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    reformat = reformatter()
    size: tuple[int, int] | None = None
    options: dict[str, Any] = {"interpolation": Interpolation.BICUBIC, "dst_color_range": ColorRange.MPEG}
    for frame in _upright(video):
        if size is None:
            scale = min(1.0, short_side / min(frame.width, frame.height))
            size = _even(frame.width, scale), _even(frame.height, scale)
        of_rgb = {"dst_colorspace": Colorspace.ITU601} if frame.colorspace == _RGB else {}
        yield reformat(frame, *size, "yuv420p", **options, **of_rgb)


def _even(side: int, scale: float) -> int:
    """Return a scaled side in even pixels, at least 2 and never enlarged."""
    return 2 * max(1, min(round(side * scale / 2), side // 2))


def _upright(video: OpenedVideo) -> Iterator["av.VideoFrame"]:
    """Iterate over all frames, turned and mirrored by their display matrices."""
    import av

    if isinstance(video, VideoFile):
        for frame in video.decode():
            if "DISPLAYMATRIX" in frame.side_data:
                frame = av.VideoFrame.from_ndarray(video.to_rgb(frame), format="rgb24")
            yield frame
        return
    size = None
    for index, image in enumerate(video.frames()):
        size = size or image.shape
        require_size(video.path, image.shape, size, index)
        yield av.VideoFrame.from_ndarray(image, format="rgb24")


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
    parser.add_argument("--workers", type=int, help="number of processes (default: one per core)")
    flags = parser.parse_args(list(args))
    form = OutputFormat(flags.short_side, flags.key_interval, flags.crf)
    try:
        written, failed = transcode(flags.source, flags.destination, form, flags.workers)
    except KeyboardInterrupt as stopped:
        stopped.args = ("run the same command again to resume",)
        raise
    for path, reason in failed.items():
        print(f"{path}: {reason}")
    print(f"{written} videos written to {flags.destination}")
    if failed:
        sys.exit(f"vidcorr: {len(failed)} videos failed; run the same command again when they are mended")
