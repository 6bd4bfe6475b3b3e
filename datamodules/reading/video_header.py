"""Opening of video files, and the properties that their headers state."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import DecodingError
from .guards import check_pixels, max_pixels, require_regular

if TYPE_CHECKING:
    from av.container import InputContainer

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".asf", ".flv",
    ".f4v", ".3gp", ".3g2", ".ogv", ".vob", ".mxf", ".divx",
    ".h264", ".264", ".avc", ".h265", ".265", ".hevc", ".m1v", ".m2v", ".mjpeg", ".mjpg", ".ivf", ".obu", ".y4m",
})  # the last line: raw streams, which have neither times nor an index
# fmt: on


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video that its file's header states.

    Attributes:
        num_frames: count in the header, else duration times frame rate; an estimate, at least 1, and often wrong: see
            `VideoFile.num_frames` for what can be decoded.
        fps: average frame rate.
        width: pixels as stored, before rotation.
        height: pixels as stored, before rotation.
        codec: name of the codec.
        duration: seconds, 0 where the header is silent.
    """

    num_frames: int
    fps: float
    width: int
    height: int
    codec: str
    duration: float

    def is_cut(self, frames: int, last_time: float | None) -> bool:
        """Return whether a file that holds this many frames is truncated.

        Frames and time have to be less than the header says by a tenth: headers count frames that were dropped.

        Args:
            frames: found.
            last_time: seconds from the start to the last of them, where known.
        """
        few = max(2, self.num_frames // 10)
        is_late = last_time is None or not self.fps or last_time < self.duration - (few + 1) / self.fps
        return self.num_frames - frames > few and is_late


def open_container(path: Path, content: bytes | None, timeout: float) -> InputContainer:
    """Open a video file with one decoding thread, and check its header.

    Args:
        path: video file.
        content: the file's bytes, where it is not on a disk; `path` is then its name.
        timeout: seconds after which opening or reading is given up.

    Returns:
        PyAV's container; its first video stream is the one to decode.

    Raises:
        DecodingError: if it has no video stream or an unknown codec, is not a regular file, or has more pixels than
            `guards` permits.
        av.FFmpegError, OSError: if it cannot be opened.
    """
    import av

    if content is None:
        require_regular(path)
    source = f"file:{path}" if content is None else _named(content, path.name)
    # Tags in other encodings than UTF-8 are an error before PyAV 19, which keeps them as surrogates.
    tags: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
    container = av.open(source, "r", timeout=timeout, **tags)
    try:
        if not container.streams.video:
            raise DecodingError(path, "no video stream")
        codec = container.streams.video[0].codec_context
        if codec is None:
            raise DecodingError(path, "unknown codec")
        codec.thread_count = 1  # the workers are the parallelism
        codec.options = {"max_pixels": str(max_pixels())}  # for frames that are larger than the header says
        check_pixels(path, codec.width, codec.height)
    except DecodingError:
        container.close()
        raise
    return container


def as_fraction(value: Fraction | None) -> Fraction | None:
    """Return a rate or a unit of time of PyAV as a fraction; None where it is not set, which is 0 from PyAV 19 on."""
    return Fraction(value.numerator, value.denominator) if value else None


def read_header(container: InputContainer) -> VideoInfo:
    """Return what the header of an open file states of its first video stream."""
    stream = container.streams.video[0]
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    if stream.duration and (base := as_fraction(stream.time_base)):
        duration = float(stream.duration * base)
    else:
        duration = (container.duration or 0) / 1e6
    codec = stream.codec_context
    count = stream.frames or round(duration * rate)
    return VideoInfo(max(count, 1), rate, codec.width, codec.height, codec.name, duration)


def _named(content: bytes, name: str) -> io.BytesIO:
    """Wrap a file's bytes with its name, whose suffix serves the decoder as that of a file on disk does."""
    file = io.BytesIO(content)
    file.name = name
    return file
