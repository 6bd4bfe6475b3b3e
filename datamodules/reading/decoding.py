"""Frames of video files by number: the same frames that decoding from the start gives, but without doing so.

The times of the frames and the key frames are known from the file's index, or else from reading its packets without
decoding them. Then one seek for each group of pictures that holds a wanted frame; frames that no other frame refers to
are skipped unless wanted, and the decoder is drained at the last wanted one. The decoded frames have to agree with the
table; a file that does not is decoded from its start. In files that have no index and are too large to be read through,
frame k is the one shown at k divided by the frame rate.
"""

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from itertools import chain, dropwhile, islice
from math import ceil
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from .container import FrameTable, Orientation, as_fraction, can_seek, open_container, read_header, starts_afresh
from .errors import DecodingError
from .images import Reformatter

if TYPE_CHECKING:
    import av

_LARGE = 32 * 2**20  # bytes; a larger file is not read through
_packet_counts: dict[tuple[str, int, int] | None, int] = {}  # (path, bytes, time of change): packets
_SKIPS = frozenset({"h264", "mpeg4"})  # decoders that can leave out frames to which no other frame refers


class VideoFile:
    """An open video file; a context manager.

    Args:
        path: video file.
        timeout: seconds after which opening or reading is given up.
        table: learn the exact times of the frames; False for the header alone.
        content: the file's bytes, where it is not on a disk; `path` is then its name.

    Raises:
        DecodingError: if it is not a readable video, not a regular file, or has more pixels than `guards` permits.
    """

    def __init__(
        self, path: str | PathLike[str], timeout: float = 60.0, table: bool = True, content: bytes | None = None
    ) -> None:
        self.path = Path(path)
        self._content = content
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._reformat = Reformatter()
        self._end: int | None = None
        self._end_time: float | None = None
        self._packets = 0
        self._open()
        try:
            self.info = read_header(self._container)
            self._can_seek = table and can_seek(self._container, self._stream)
            self._table = FrameTable.from_index(self._stream) if self._can_seek else None
            if self._table is None:
                self._read_packets()
            if table and self._table is None:
                self._packets = self._count_packets()
        except BaseException as error:
            self.close()
            if isinstance(error, Exception):
                raise self._failure(error) from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        self._container.close()

    @property
    def num_frames(self) -> int:
        """Number of frames that can be decoded, at least 1.

        Exact where the file has trustworthy time stamps or its end has been read; else the number of its packets, which
        differs by a few frames in some files; the header's count for files too large to be read through.
        """
        return self._end or (len(self._table) if self._table else self._packets or self.info.num_frames)

    @property
    def is_cut(self) -> bool:
        """True if the file lacks its end, judging by the packets read so far; read the last frame first."""
        start, base = self._stream.start_time or 0, float(self._stream.time_base or 0)
        last_time = self._end_time
        if last_time is None and self._table:
            last_time = self._table.times[-1] * base
        return self.info.is_cut(self.num_frames, None if last_time is None else last_time - start * base)

    @property
    def steady_rate(self) -> Fraction | None:
        """Frames per second, where all have equal distances in time but for the rounding of time stamps."""
        stream, table = self._stream, self._table
        ticks = self._ticks_per_frame
        if not table or ticks is None:
            return None
        is_steady = all(abs(at - table.times[0] - n * ticks) < 1.01 for n, at in enumerate(table.times))
        return as_fraction(stream.average_rate) if is_steady else None

    @property
    def _ticks_per_frame(self) -> float | None:
        """Distance of two frames at the average rate, in units of the time stamps; None where either is not stated."""
        rate, base = as_fraction(self._stream.average_rate), as_fraction(self._stream.time_base)
        return float(1 / (rate * base)) if rate and base else None

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Decode frames by number.

        A number beyond the end gives the last frame; `num_frames` then is exact and not above that number.

        Args:
            indices: zero-based, in any order, repeats allowed.

        Returns:
            One (H, W, 3) uint8 RGB array per index; repeated indices give the same array.

        Raises:
            DecodingError: if a frame cannot be decoded.
        """
        if not indices or min(indices) < 0:
            raise ValueError(f"need frame numbers of 0 or more, got {list(indices)}")
        self._deadline = time.monotonic() + self._timeout
        try:
            frames = self._read_by_seeking(indices)
            if frames is None and self._by_index:
                self._reopen()
                self._read_packets()
                frames = self._read_by_seeking(indices)
            if frames is None and self._is_large:
                frames = self._read_by_time(indices)
            if frames is None:
                frames = self._read_from_start(max(indices), set(indices))
        except Exception as error:
            raise self._failure(error) from error
        last = max(frames)
        return [frames[min(i, last)] for i in indices]

    def frames(self, start: int = 0, every: int = 1) -> Iterator[np.ndarray]:
        """Iterate over the frames in time order, each decoded when it is asked for; the timeout holds for each frame.

        Args:
            start: number of the first frame.
            every: frames `start`, `start + every`, … alone are converted to RGB.

        Yields:
            (H, W, 3) uint8 RGB; nothing where the video ends before `start`.

        Raises:
            DecodingError: where a frame cannot be decoded, or the video has none.
        """
        return map(self.to_rgb, islice(self.decode(start), 0, None, every))

    def decode(self, start: int = 0) -> Iterator["av.VideoFrame"]:
        """Iterate over the frames from number `start` on as the decoder returns them: neither rotated nor converted."""
        self._reopen()
        decoded, number = self._decoder_at(start)
        frame = None
        while True:
            self._deadline = time.monotonic() + self._timeout
            try:
                following = next(decoded, None)
            except Exception as error:
                raise self._failure(error) from error
            if following is None:
                break
            frame = following
            number += 1
            if number > start:
                yield frame
        if frame is None:
            raise DecodingError(self.path, "no frame could be decoded")
        self._end, self._end_time = number, frame.time

    def to_rgb(self, frame: "av.VideoFrame") -> np.ndarray:
        """Convert a decoded frame to (H, W, 3) uint8 RGB, turned and mirrored as the file says."""
        picture: np.ndarray = self._reformat(frame, format="rgb24").to_ndarray()
        orientation = Orientation.of(frame)
        return np.ascontiguousarray(orientation.apply(picture)) if orientation else picture

    def number_at(self, seconds: float) -> int:
        """Return the number of the first frame shown `seconds` or later after the first one.

        It is computed from the frames' time stamps where the file has them, else from the frame rate; after the last
        frame it is the number of frames.
        """
        table, base = self._table, self._stream.time_base
        if table is None or not base:
            return max(0, ceil(seconds * self.info.fps - 1e-3))
        return bisect_left(table.times, table.times[0] + seconds / float(base) - 0.5)

    def _open(self) -> None:
        import av

        try:
            self._container = open_container(self.path, self._content, self._timeout)
        except (av.FFmpegError, OSError) as error:
            raise self._failure(error) from error
        self._stream = self._container.streams.video[0]

    def _reopen(self) -> None:
        self._container.close()
        self._open()

    @property
    def _by_index(self) -> bool:
        return self._table is not None and self._table.is_from_index

    @property
    def _is_large(self) -> bool:
        if not self._can_seek or not self._stream.average_rate:
            return False
        return self._bytes > _LARGE

    @property
    def _bytes(self) -> int:
        return self.path.stat().st_size if self._content is None else len(self._content)

    def _read_packets(self) -> None:
        """Make the table from the packets of a file just opened, where that is possible and not too long.

        A seek to the start would skip packets that have no time, as Matroska's may be before time 0.
        """
        import av

        self._table = None
        if self._can_seek and not self._is_large:
            try:
                self._table = FrameTable.from_packets(self._container, self._stream)
            except av.FFmpegError:  # the end is cut off, and an index with it
                self._reopen()

    def _count_packets(self) -> int:
        """Count the packets that hold a frame; 0 where the file is too large to be read through.

        Counts in headers cannot be trusted: those of JHMDB's AVIs are a sixth too high.
        """
        import av

        if self._bytes > _LARGE:
            return 0
        status = self.path.stat() if self._content is None else None
        key = (str(self.path), status.st_size, status.st_mtime_ns) if status else None
        if key in _packet_counts:
            return _packet_counts[key]
        packets = 0
        self._reopen()
        try:
            for packet in self._container.demux(self._stream):
                self._check_time()
                packets += packet.size > 0 and not packet.is_discard
        except av.FFmpegError:  # the end is cut off: it counts as far as it can be read
            pass
        self._reopen()
        if key is not None:
            _packet_counts[key] = packets
        return packets

    def _failure(self, error: Exception) -> DecodingError:
        if isinstance(error, DecodingError):
            return error
        if time.monotonic() > self._deadline:
            return self._too_late()
        return DecodingError(self.path, getattr(error, "strerror", None) or f"{type(error).__name__}: {error}")

    def _too_late(self) -> DecodingError:
        return DecodingError(self.path, f"not decoded within {self._timeout:g} s")

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise self._too_late()

    def _read_by_seeking(self, indices: Sequence[int]) -> dict[int, np.ndarray] | None:
        """Decode frames by number; None where the file does not agree with its table."""
        import av

        table = self._table
        if table is None:
            return None
        groups: dict[int, dict[int, int]] = defaultdict(dict)  # key frame: time: number
        for number in sorted({min(i, len(table) - 1) for i in indices}):
            groups[table.key(number)][table.times[number]] = number
        frames: dict[int, np.ndarray] = {}
        try:
            for key, wanted in groups.items():
                for frame in self._decode_group(table.times[key], wanted.keys()):
                    if frame.pts in wanted and not frame.is_corrupt:
                        frames[wanted[frame.pts]] = self.to_rgb(frame)
        except DecodingError:
            raise
        except (av.FFmpegError, LookupError, ValueError):
            return None
        return frames if len(frames) == sum(map(len, groups.values())) else None

    def _packets_from(self, key: int) -> Iterator["av.Packet"]:
        """Return the packets from the key frame at this time on; raise `LookupError` where a seek does not find it."""
        self._container.seek(key, stream=self._stream)
        packets = self._container.demux(self._stream)
        first = next(packets)
        is_there = first.pts == key or (first.pts is not None and first.pts < key and not self._by_index)
        if not is_there or not starts_afresh(first):
            raise LookupError("the seek did not lead to the key frame")
        return chain([first], packets)

    def _decoder_at(self, start: int) -> tuple[Iterator["av.VideoFrame"], int]:
        """Return a decoder and the number of its first frame: `start` where a seek leads there, else 0."""
        import av

        if start and self._table is not None and start < len(self._table):
            due = self._table.times[start]
            try:
                packets = self._packets_from(self._table.times[self._table.key(start)])
                decoded = chain.from_iterable(packet.decode() for packet in packets)
                later = dropwhile(lambda frame: frame.pts is None or frame.pts < due, decoded)
                first = next(later, None)
                if first is not None and first.pts == due and not first.is_corrupt:
                    return chain([first], later), start
            except (av.FFmpegError, LookupError, ValueError):
                pass
            self._reopen()
        return self._container.decode(self._stream), 0

    def _decode_group(self, key: int, wanted: Collection[int]) -> Iterator["av.VideoFrame"]:
        """Decode from the key frame at this time until the frames of all wanted times are out."""
        codec, last, missing, beyond = self._stream.codec_context, max(wanted), len(wanted), 0
        for packet in self._packets_from(key):
            self._check_time()
            beyond += packet.is_keyframe and packet.pts is not None and packet.pts > last
            if packet.pts is None or beyond > 1:  # what is shown just before one key frame may follow it
                raise LookupError("a frame has another time")
            is_wanted = packet.pts in wanted
            if codec.name in _SKIPS:
                codec.skip_frame = "DEFAULT" if is_wanted else "NONREF"
            yield from codec.decode(packet)
            missing -= is_wanted
            if not missing:
                break
        yield from codec.decode(None)

    def _read_by_time(self, indices: Sequence[int]) -> dict[int, np.ndarray] | None:
        """Decode frames by number, taken as time; the last frame stands in for times beyond the end."""
        stream = self._stream
        ticks = self._ticks_per_frame
        assert ticks is not None
        frames: dict[int, np.ndarray] = {}
        for number in sorted(set(indices)):
            due = (stream.start_time or 0) + (number - 0.5) * ticks
            self._container.seek(int(due), stream=stream)
            frame = None
            for frame in self._container.decode(stream):
                self._check_time()
                if frame.pts is not None and frame.pts >= due:
                    break
            if frame is None:
                return None
            if frame.pts is not None and frame.pts < due:  # the video ends earlier
                last = round((frame.pts - (stream.start_time or 0)) / float(ticks))
                self._end, self._end_time = last + 1, frame.time
            frames[number] = self.to_rgb(frame)
        return frames

    def _read_from_start(self, last: int, wanted: set[int]) -> dict[int, np.ndarray]:
        """Decode frames by number; the last frame stands in for numbers beyond the end."""
        self._reopen()
        frames: dict[int, np.ndarray] = {}
        frame, number = None, -1
        for packet in self._container.demux(self._stream):
            self._check_time()
            for frame in packet.decode():
                number += 1
                if number in wanted:
                    frames[number] = self.to_rgb(frame)
                if number == last:
                    self._end_time = frame.time if last + 1 == self._packets else self._end_time
                    return frames
        if frame is None:
            raise DecodingError(self.path, "no frame could be decoded")
        self._end, self._end_time = number + 1, frame.time
        frames[number] = self.to_rgb(frame)
        return frames
