"""Times and key frames of a video file, read from its packets without decoding them."""

import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

_MOST_REMEMBERED = 2**20
_counts: dict[tuple[str, int, int], int] = {}  # (path, bytes, time of change): packets

# Containers whose time stamps can be trusted (AVI has none for B-frames), and codecs with one packet per frame
# (VP8 has packets that show nothing).
_CONTAINERS = ("mov", "matroska")
_CODECS = frozenset({"h264", "mpeg4", "hevc", "vp9", "av1", "libdav1d"})
_KEY, _DISCARD = 1, 2  # flags of an index entry


def can_seek(container: Any, stream: Any) -> bool:
    """Return whether a time stamp leads to its frame in this kind of file."""
    codec = stream.codec_context
    if codec.name not in _CODECS or not container.format.name.startswith(_CONTAINERS):
        return False
    # H.264: lengths of parts are in avcC only; to decode 4:4:4 needs the first packet, which names the encoder's build
    return codec.name != "h264" or ((codec.extradata or b"")[:1] == b"\1" and "444" not in (codec.pix_fmt or ""))


@dataclass(frozen=True)
class FrameTable:
    """Time and key frame of each frame of a file.

    Attributes:
        times: time stamps, ascending; frame k is the one with the k-th.
        keys: numbers of key frames, ascending; what is shown from one of them on can be decoded from it.
    """

    times: Sequence[int]
    keys: Sequence[int]

    def __len__(self) -> int:
        return len(self.times)

    @property
    def is_from_index(self) -> bool:
        """True if the times were computed, not read from the packets."""
        return isinstance(self.times, range)

    def key(self, number: int) -> int:
        """Number of the key frame from which a frame is decoded."""
        return self.keys[bisect_right(self.keys, number) - 1]

    @classmethod
    def from_index(cls, stream: Any) -> Self | None:
        """Make the table from the index in the header; None unless that gives the frames equal distances in time.

        The index has the packets' order and not the frames': it holds for key frames that end all references to what
        was before them, which the first packet after a seek must confirm.
        """
        entries = getattr(stream, "index_entries", ())  # av 14 has none
        if not entries or len(entries) != stream.frames or stream.start_time is None:
            return None
        times, flags = zip(*((entry.timestamp, entry.flags) for entry in entries), strict=True)
        step = times[1] - times[0] if len(times) > 1 else 1
        if step <= 0 or any(later - earlier != step for earlier, later in pairwise(times)):
            return None
        keys = [number for number, flag in enumerate(flags) if flag & _KEY]
        if keys[:1] != [0] or any(flag & _DISCARD for flag in flags):
            return None
        return cls(range(stream.start_time, stream.start_time + step * len(times), step), keys)

    @classmethod
    def from_packets(cls, container: Any, stream: Any) -> Self | None:
        """Build the table from all packets of the file; None where they do not give the frames' times."""
        times: list[int] = []
        keys: list[int] = []
        for packet in container.demux(stream):
            if packet.pts is None:
                if packet.size:
                    return None
                continue  # the empty packet that ends the stream
            if packet.is_discard:
                return None
            if starts_afresh(packet):
                keys.append(packet.pts)
            times.append(packet.pts)
        first = times[:1]
        times.sort()
        number = {time: i for i, time in enumerate(times)}
        if not keys or keys[:1] != first or len(number) < len(times):
            return None
        return cls(times, sorted(number[time] for time in keys))


def starts_afresh(packet: Any) -> bool:
    """Return whether nothing that is shown after this packet's frame refers to what was before it.

    That is true of a key frame, except in H.264, where a key frame may be a mere recovery point.
    """
    codec = packet.stream.codec_context
    return packet.is_keyframe and (codec.name != "h264" or _is_idr(bytes(packet), (codec.extradata[4] & 3) + 1))


def _is_idr(packet: bytes, length_size: int) -> bool:
    """Return whether an H.264 packet cuts all references to what was before it; a mere recovery point need not."""
    offset = 0
    while offset + length_size < len(packet):
        kind = packet[offset + length_size] & 31
        if 1 <= kind <= 5:
            return kind == 5
        offset += length_size + int.from_bytes(packet[offset : offset + length_size], "big")
    return False


def count_packets(container: Any, stream: Any, check_time: Callable[[], None]) -> int:
    """Count the packets of an open file that hold a frame, from where it stands to its end.

    Args:
        container: PyAV's.
        stream: the video stream in it.
        check_time: called before each packet; raises when it has taken too long.

    Returns:
        The number; a file whose end is cut off counts as far as it can be read.
    """
    import av

    count = 0
    try:
        for packet in container.demux(stream):
            check_time()
            count += packet.size > 0 and not packet.is_discard
    except av.FFmpegError:
        pass
    return count


def cached_packet_count(path: Path, count: Callable[[], int]) -> int:
    """Return the count of a file that has not changed since it was counted in this process; else count it."""
    status = os.stat(path)
    key = (str(path), status.st_size, status.st_mtime_ns)
    if key not in _counts:
        if len(_counts) >= _MOST_REMEMBERED:
            _counts.clear()
        _counts[key] = count()
    return _counts[key]
