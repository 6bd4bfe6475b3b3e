"""Open a video file and read its header, its frames' times and key frames, and their orientation."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .addresses import StoredFile
from .files import DecodingError
from .folders import OTHER_SUFFIXES, PHOTO_SUFFIXES
from .packet_headers import Picture, picture_of, shown_order

if TYPE_CHECKING:
    from typing import Self

    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

_FILMS = ".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .ts .mts .m2ts .wmv .asf .flv .f4v .3gp .3g2 .ogv .vob .mxf .divx"
# raw streams have neither times nor an index
_OF_RAW_STREAMS = ".h264 .264 .avc .h265 .265 .hevc .m1v .m2v .mjpeg .mjpg .ivf .obu .y4m"
VIDEO_SUFFIXES = (*_FILMS.split(), *_OF_RAW_STREAMS.split())

# FFmpeg's formats of these files; some of its other formats make it open further files (ffconcat, HLS)
_DEMUXERS = "mov,matroska,avi,mpeg,mpegts,asf,flv,ogg,mxf,h264,hevc,mpegvideo,m4v,mjpeg,ivf,obu,av1,yuv4mpegpipe"

WITHOUT_FIRST_FRAMES = {"analyzeduration": "1", "skip_frame": "all"}
"""FFmpeg's options for opening a file without decoding its first frames, which takes 1 to 50 ms."""

MOST_PIXELS = 89_000_000
"""Limit on the pixels of a frame, more than twice an 8K frame: a damaged header would take all memory."""

# codecs with a packet per frame in the containers with reliable time stamps (AVI has none for B-frames of H.264)
_CODECS = frozenset({"h264", "hevc", "vp9", "av1", "libdav1d"})


def open_container(path: Path | StoredFile, timeout: float) -> InputContainer:
    """Open a video file with one decoding thread, and check its header.

    Args:
        timeout: seconds allowed for opening or reading.

    Returns:
        PyAV's container, with a video stream.

    Raises:
        DecodingError: if the file cannot be opened, its format does not belong to `VIDEO_SUFFIXES`, or it has no video
            stream besides cover pictures.
    """
    # the header of an MP4 mostly tells all: then FFmpeg need not decode the first frames, which saves time
    is_mp4 = path.name.lower().endswith((".mp4", ".m4v", ".mov"))
    options = {"format_whitelist": _DEMUXERS}
    container = _open(path, timeout, options | (WITHOUT_FIRST_FRAMES if is_mp4 else {}))
    if is_mp4 and not _header_tells_all(container):
        container.close()
        container = _open(path, timeout, options)
    codec = film_stream(container).codec_context
    codec.thread_count = 1  # the workers are the parallelism
    codec.options = {"max_pixels": str(MOST_PIXELS), "err_detect": "explode"}  # "explode": damage is an error
    return container


def _open(path: Path | StoredFile, timeout: float, options: dict[str, str]) -> InputContainer:
    """Open a file with a video stream.

    Args:
        timeout: seconds allowed for opening, and for each read.

    Raises:
        DecodingError: if it cannot be opened, or has no video stream besides cover pictures.
    """
    import av

    # Tags in other encodings than UTF-8 are an error before PyAV 19, which keeps them as surrogates.
    tags: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
    try:
        file = path.open() if isinstance(path, StoredFile) else f"file:{path}"
        container = av.open(file, "r", timeout=timeout, options=options, **tags)
    except (av.FFmpegError, OSError) as error:
        reason = f"cannot be opened as a video ({error.strerror})"
        if path.name.lower().endswith(PHOTO_SUFFIXES + OTHER_SUFFIXES):
            reason = "is a picture, or holds pictures: give a video file, or a folder of its frames as .jpg or .png"
        raise DecodingError(path, reason) from error
    if not films(container):
        container.close()
        raise DecodingError(path, "has no video stream besides cover pictures")
    return container


def _header_tells_all(container: InputContainer) -> bool:
    """Return whether the header states number of frames, rate and order of decoding.

    Otherwise FFmpeg must decode the first frames to find these facts. It must also decode the first frames to choose
    the film among several video streams. And H.264 without B-frames in its header may have some all the same.
    """
    streams = container.streams.video
    # several films to choose from; or a format or codec in which packets may have other times than their frames
    if len(streams) != 1 or not has_reliable_times(container, streams[0]):
        return False
    codec = streams[0].codec_context
    has_count_and_rate = streams[0].frames > 0 and streams[0].average_rate is not None
    return has_count_and_rate and (codec.name != "h264" or codec.has_b_frames)


def films(container: InputContainer) -> list[VideoStream]:
    """Return the video streams of a container, without attached pictures, the covers of songs and films."""
    import av

    pictures = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & pictures]


def film_stream(container: InputContainer) -> VideoStream:
    """Return the film of a container: the video stream that FFmpeg shows (`av_find_best_stream`).

    An attached picture is no film. A still, a stream of a single frame beside longer streams, is no film either, though
    some files mark a still as the default stream. If FFmpeg chooses a picture or a still, the film is the longest other
    stream.

    Raises:
        ValueError: if there is no stream but attached pictures.
    """
    best = container.streams.best("video")
    candidates = films(container)
    moving = [film for film in candidates if film.frames != 1]  # 0: the header does not say
    return max(moving or candidates, key=lambda film: (film is best, film.frames))  # FFmpeg's choice, else the longest


def has_reliable_times(container: InputContainer, stream: VideoStream) -> bool:
    """Return True if, in this kind of file, each packet holds a frame that is shown at the packet's time."""
    return stream.codec_context.name in _CODECS and container.format.name.startswith(("mov", "matroska"))


@dataclass(frozen=True)
class FrameTable:
    """Times of all frames of a file, and its key frames.

    Attributes:
        times: time stamps, ascending; frame k has the k-th time stamp.
        keys: indices of key frames, ascending; frames shown from a key frame on can be decoded from it.

    Example:
        >>> table = FrameTable(times=[2, 4, 6, 9], keys=[0, 2])
        >>> [table.key(index) for index in range(len(table))]
        [0, 0, 2, 2]
    """

    times: Sequence[int]
    keys: Sequence[int]

    def __len__(self) -> int:
        return len(self.times)

    @property
    def is_computed(self) -> bool:
        """True if the times were computed from the index in the header, not read from the packets."""
        return isinstance(self.times, range)

    def key(self, index: int) -> int:
        """Return the index of the latest key frame up to frame `index`, from which that frame can be decoded."""
        return self.keys[bisect_right(self.keys, index) - 1]

    @classmethod
    def from_index(cls, stream: VideoStream) -> Self | None:
        """Make the table from the index in the header.

        The entries of the index are packets, in the order and at the times of decoding. If these times have equal
        steps, the frames are shown at the same steps from the stream's start on. A key frame of the index is right if
        no later frame refers to frames before it; `VideoFile` confirms this by the first packet after a seek.

        Returns:
            None if the index is incomplete, has unequal steps or hidden frames, or begins without a key frame.

        Example:
            >>> from types import SimpleNamespace
            >>> def stream(keys, times=(0, 3, 6), **other):
            ...     entries = [SimpleNamespace(timestamp=t, is_keyframe=t in keys, is_discard=t == 4) for t in times]
            ...     header = {"index_entries": entries, "frames": len(times), "start_time": 7}
            ...     return SimpleNamespace(**header | other)
            >>> FrameTable.from_index(stream(keys=[0, 6]))
            FrameTable(times=range(7, 16, 3), keys=[0, 2])
            >>> [len(FrameTable.from_index(stream([0], times))) for times in ([0], [0, 3])]
            [1, 2]
            >>> unequal, descending, hidden = stream([0], [0, 3, 5]), stream([0], [0, -3]), stream([0], [0, 4])
            >>> without_first_key, empty, equal = stream([3]), stream([], []), stream([0], [0, 0])
            >>> incomplete, without_start = stream([0], frames=4, start_time=0), stream([0], start_time=None)
            >>> others = [unequal, equal, descending, hidden, without_first_key, empty, incomplete, without_start]
            >>> [FrameTable.from_index(each) for each in others] == [None] * 8
            True
        """
        entries = tuple(stream.index_entries)
        if not entries or len(entries) != stream.frames or stream.start_time is None:
            return None
        times = [entry.timestamp for entry in entries]
        # the header's times of decoding; with equal steps, frames are shown at the same steps from `start_time` on
        step = times[1] - times[0] if len(times) > 1 else 1  # of a single frame any step will do
        has_equal_steps = step > 0 and times == list(range(times[0], times[0] + step * len(times), step))
        has_hidden = any(entry.is_discard for entry in entries)
        if not has_equal_steps or has_hidden or not entries[0].is_keyframe:
            return None
        keys = [index for index, entry in enumerate(entries) if entry.is_keyframe]
        return cls(range(stream.start_time, stream.start_time + step * len(entries), step), keys)

    @classmethod
    def from_pictures(cls, pictures: Sequence[tuple[int, Picture]]) -> Self | None:
        """Make the table from the time stamp and picture of each packet, in the order of the file.

        Returns:
            None if two time stamps are equal, or the first frame shown is not the file's first packet and a key frame.

        Example:
            >>> FrameTable.from_pictures([(0, "I"), (4, "P"), (2, "B"), (6, "I")])
            FrameTable(times=[0, 2, 4, 6], keys=[0, 3])
            >>> FrameTable.from_pictures([(0, "P"), (2, "I")]) is None
            True
        """
        times = sorted(time for time, _ in pictures)
        index = {time: i for i, time in enumerate(times)}
        starts_with_key = bool(pictures) and pictures[0] == (times[0], "I")
        if not starts_with_key or len(index) < len(times):
            return None
        return cls(times, sorted(index[time] for time, picture in pictures if picture == "I"))


def scan_packets(container: InputContainer) -> tuple[FrameTable | None, int]:
    """Read all packets of a file just opened, without decoding them.

    Counts in headers are unreliable: in JHMDB's AVIs they are a sixth too high.

    Returns:
        The table, or None unless the packets certainly give the times of all frames; and the number of readable packets
        with a frame, from the first key frame on.
    """
    stream = film_stream(container)
    has_headers = stream.codec_context.name == "mpeg4"  # `picture_of` reads the pictures' own headers
    is_certain = has_headers or has_reliable_times(container, stream)  # that the packets give the times of all frames
    pictures: list[tuple[int, Picture]] = []  # time stamp and kind of picture of each packet
    count = 0
    has_key = False
    for packet in container.demux(stream):
        if not packet.size:
            continue  # the empty packet that ends the stream
        if packet.is_keyframe and not has_key:
            has_key = True
            count = 0  # a stream that is cut within a group of pictures decodes from here on
        if not packet.is_discard:  # the file may mark a packet whose frame is not shown
            count += 1
        picture = picture_of(packet) if is_certain else None
        if picture is None or packet.pts is None or packet.is_discard:
            is_certain = False
        else:
            pictures.append((packet.pts, picture))
    shown = shown_order(pictures)
    if has_headers and shown != sorted(shown):  # the time stamps are wrong: frames would be shown out of order
        is_certain = False
    table = FrameTable.from_pictures(pictures) if is_certain else None
    return table, count


def upright(image: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Turn and mirror a decoded image by its frame's display matrix, rounded to the nearest quarter turn.

    The matrix [a b u, c d v, x y w] takes a stored pixel (p, q) to (a p + c q + x, b p + d q + y); the translation is
    ignored, as it only brings the image back into view.

    Args:
        image: (H, W, …), the frame's pixels as stored.
        frame: decoded frame of the image.

    Returns:
        (H, W, …) or (W, H, …), contiguous; `image` itself if the frame has no matrix.

    Example:
        >>> from types import SimpleNamespace
        >>> matrix = np.array([0, 1, 0, -1, 0, 0, 0, 0, 1], np.int32)  # of a phone that was held upright
        >>> frame = SimpleNamespace(side_data={"DISPLAYMATRIX": matrix.tobytes()})
        >>> upright(np.array([[1, 2, 3], [4, 5, 6]]), frame)
        array([[4, 1],
               [5, 2],
               [6, 3]])
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return image
    a, b, _, c, d = np.frombuffer(bytes(memoryview(data)), np.int32)[:5].astype(float)  # type: ignore[arg-type]
    is_transposed = abs(a) + abs(d) < abs(b) + abs(c)
    to_right, to_bottom = (c, b) if is_transposed else (a, d)  # negative: the picture is mirrored along this axis
    shown = image.swapaxes(0, 1) if is_transposed else image
    if to_bottom < 0:
        shown = shown[::-1]
    if to_right < 0:
        shown = shown[:, ::-1]
    return np.ascontiguousarray(shown)
